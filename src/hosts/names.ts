/**
 * From labels to names: the helper composes every name itself, so that no
 * request can point a host of its choice at an address.
 */
import type { HostsEntry, LeftOutName } from "../model/hosts.ts";
import { CzctlError } from "../model/errors.ts";
import type { BlockLine } from "./block.ts";
import { lineSpans, textOf } from "./bytes.ts";
import { findBlocks, findMarkers } from "./markers.ts";
import { isMachineName, isPublicDomain, publicEndingOf } from "./public_names.ts";

/** Entries of one user: more than the services of any cluster seen, far fewer than the 65,536 addresses. */
export const MAX_ENTRIES = 16_384;
/** Bytes of one block; 16,384 entries of the usual length stay below. */
export const MAX_BLOCK_BYTES = 4 * 1024 * 1024;
/** RFC 1035. */
export const MAX_NAME_LENGTH = 253;
/** RFC 1123 labels in lower case, as Kubernetes demands of services, namespaces and pods. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const ADDRESS = /^127\.1\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$/;

/** Whether `address` is inside 127.1.0.0/16, written the usual way. */
export function isLocalServiceAddress(address: string): boolean {
  const parts = ADDRESS.exec(address);
  return parts !== null && Number(parts[1]) <= 255 && Number(parts[2]) <= 255;
}

/** All names of an entry, the most used first. Throws CzctlError `usage` for anything that is no label. */
export function namesOf(entry: HostsEntry): string[] {
  if (!isLocalServiceAddress(entry.address)) {
    throw refused(`address ${quoted(entry.address)} is not inside 127.1.0.0/16`);
  }
  checkLabel("service", entry.service);
  checkLabel("namespace", entry.namespace);
  if (entry.pod !== undefined) checkLabel("pod", entry.pod);
  for (const label of entry.domain.split(".")) checkLabel("domain", label);
  if (isPublicDomain(entry.domain)) throw refused(`domain ${quoted(entry.domain)} is public`);
  const service = serviceOf(entry);
  const qualified = qualifiedNameOf(entry);
  if (qualified.length > MAX_NAME_LENGTH) {
    throw refused(`name ${quoted(qualified)} is longer than ${MAX_NAME_LENGTH} characters`);
  }
  if (entry.qualifiedOnly === true) return [qualified];
  const names = [
    `${service}.${entry.namespace}`,
    `${service}.${entry.namespace}.svc`,
    qualified,
  ];
  if (entry.bare) names.push(service);
  return names;
}

function serviceOf(entry: HostsEntry): string {
  return entry.pod === undefined ? entry.service : `${entry.pod}.${entry.service}`;
}

function qualifiedNameOf(entry: HostsEntry): string {
  return `${serviceOf(entry)}.${entry.namespace}.svc.${entry.domain}`;
}

/** What stands outside the user's own block. */
export interface Surroundings {
  /** Why a name is taken, by the name in lower case. */
  readonly names: ReadonlyMap<string, string>;
  /** The user in whose block an address stands. */
  readonly addresses: ReadonlyMap<string, number>;
}

/** Reads who else has which names and addresses, without the block of `uid`. */
export function surroundingsOf(file: Uint8Array, uid: number): Surroundings {
  const lines = lineSpans(file);
  const blocks = findBlocks(findMarkers(file, lines));
  const names = new Map<string, string>();
  const addresses = new Map<string, number>();
  lines.forEach(({ start, end }, index) => {
    const block = blocks.find((one) => start >= one.start && start < one.end);
    if (block?.uid === uid) return;
    const text = textOf(file.subarray(start, end)).split("#", 1)[0]!;
    const [address, ...hosts] = text.trim().split(/[ \t\r\f\v]+/);
    if (address === undefined || address === "") return;
    if (block !== undefined) addresses.set(address, block.uid);
    const where = block === undefined
      ? `line ${index + 1} of /etc/hosts has it already`
      : `a session of user ${block.uid} has it`;
    for (const host of hosts) {
      const key = host.toLowerCase();
      if (!names.has(key)) names.set(key, where);
    }
  });
  return { names, addresses };
}

export interface ComposedBlock {
  readonly lines: readonly BlockLine[];
  readonly leftOut: readonly LeftOutName[];
}

/**
 * The lines of a user's block. Names that somebody else has, or that mean
 * something on every machine, are left out with the reason; anything malformed
 * refuses the whole request with CzctlError `usage`.
 */
export function composeBlock(
  entries: readonly HostsEntry[],
  around: Surroundings,
  hostName: string,
): ComposedBlock {
  if (entries.length > MAX_ENTRIES) {
    throw refused(`${entries.length} entries are more than ${MAX_ENTRIES}`);
  }
  const own = ownNames(hostName);
  const byAddress = new Map<string, string[]>();
  const takenBy = new Map<string, string>();
  const leftOut: LeftOutName[] = [];
  let size = 0;
  for (const entry of entries) {
    const omitted = new Set(entry.omit ?? []);
    const names = namesOf(entry);
    const qualified = qualifiedNameOf(entry);
    for (const name of names) {
      if (omitted.has(name)) continue;
      // The qualified name ends with the domain, which namesOf has judged.
      const ending = name === qualified ? undefined : publicEndingOf(name);
      const reason = reasonAgainst(name, ending, own, around, entry.address, takenBy);
      if (reason !== undefined) {
        if (takenBy.get(name) !== entry.address) leftOut.push({ name, reason });
        continue;
      }
      takenBy.set(name, entry.address);
      const line = byAddress.get(entry.address);
      if (line === undefined) byAddress.set(entry.address, [name]);
      else line.push(name);
      size += name.length + 1;
    }
  }
  if (size + byAddress.size * 18 > MAX_BLOCK_BYTES) {
    throw refused(`the names take more than ${MAX_BLOCK_BYTES} bytes`);
  }
  return { lines: [...byAddress].map(([address, names]) => ({ address, names })), leftOut };
}

function reasonAgainst(
  name: string,
  publicEnding: string | undefined,
  own: ReadonlySet<string>,
  around: Surroundings,
  address: string,
  takenBy: ReadonlyMap<string, string>,
): string | undefined {
  const owner = around.addresses.get(address);
  if (owner !== undefined) return `its address ${address} belongs to a session of user ${owner}`;
  if (isMachineName(name)) return "it means this machine itself";
  if (own.has(name)) return "it is this machine's own name";
  if (publicEnding !== undefined) {
    return `names under .${publicEnding} belong to others on the internet or this network`;
  }
  // A resolver reads "10.1" or "7" as an address and never asks the hosts file.
  if (/^[0-9]+$/.test(name.slice(name.lastIndexOf(".") + 1))) return "it reads like an address";
  const other = around.names.get(name);
  if (other !== undefined) return other;
  const first = takenBy.get(name);
  return first === undefined ? undefined : `it already points at ${first}`;
}

/** The host's own name: as it is, and its first label. */
function ownNames(hostName: string): Set<string> {
  const lower = hostName.toLowerCase().replace(/\.$/, "");
  return new Set([lower, lower.split(".")[0]!]);
}

/** Whether the helper takes `text` as a part of a name. */
export function isLabel(text: string): boolean {
  return LABEL.test(text);
}

function checkLabel(what: string, label: string): void {
  if (!isLabel(label)) throw refused(`${what} ${quoted(label)} is not a DNS label`);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}

function refused(reason: string): CzctlError {
  return new CzctlError("usage", `Cannot write the hosts block: ${reason}`);
}
