import { MAX_BLOCK_BYTES, MAX_ENTRIES } from "../hosts/names.ts";
import { MAX_REQUEST_BYTES } from "../hosts/protocol.ts";
import { CzctlError } from "../model/errors.ts";
import type { HostsEntry, HostsResult, LeftOutName } from "../model/hosts.ts";

/** An address with its padding, and the newline. */
const LINE_BYTES = 18;

/** What the board needs of the hosts room. */
export interface HostsWriter {
  apply(entries: readonly HostsEntry[]): Promise<HostsResult>;
}

/**
 * The entries of all open sessions as the one block that is in the hosts file.
 * Sessions put theirs here; the board merges them and has them written.
 */
export class HostsBoard {
  #entries: ReadonlyMap<string, readonly HostsEntry[]> = new Map<string, readonly HostsEntry[]>();
  #last: HostsResult = { lines: [], leftOut: [], changed: false };

  constructor(private readonly writer: HostsWriter) {}

  /**
   * Replaces one session's entries; resolves when the hosts file has them.
   * Throws CzctlError `failed` for more than the helper takes: the session then
   * keeps the ones it had, and the others are not held up.
   */
  async put(sessionId: string, entries: readonly HostsEntry[]): Promise<BoardResult> {
    const sessions = new Map(this.#entries);
    if (entries.length === 0) sessions.delete(sessionId);
    else sessions.set(sessionId, entries);
    const merged = mergeEntries([...sessions.values()]);
    if (entries.length > 0) refuseTooMany(merged.entries);
    this.#entries = sessions;
    const result = await this.writer.apply(merged.entries);
    this.#last = { ...result, leftOut: [...merged.leftOut, ...result.leftOut] };
    return new BoardResult(this.#last);
  }

  /** What the last write put into the file. */
  get current(): BoardResult {
    return new BoardResult(this.#last);
  }
}

/** By what the helper counts: entries, the request, and the block it becomes. */
function refuseTooMany(entries: readonly HostsEntry[]): void {
  // What is around the entries of a request is shorter than this.
  let request = 1024;
  let block = 0;
  for (const entry of entries) {
    request += JSON.stringify(entry).length + 1;
    const names = namesOfEntry(entry);
    const written = entry.bare || entry.qualifiedOnly === true ? names : names.slice(0, -1);
    block += LINE_BYTES + written.reduce((sum, name) => sum + name.length + 1, 0);
  }
  const fits = entries.length <= MAX_ENTRIES && request <= MAX_REQUEST_BYTES &&
    block <= MAX_BLOCK_BYTES;
  if (fits) return;
  throw new CzctlError(
    "failed",
    `Cannot write the hosts block: the names of ${entries.length} services and pods are too ` +
      `many; ${MAX_ENTRIES} in ${MAX_BLOCK_BYTES / 1024 / 1024} MiB are the most`,
    { hint: "Choose fewer with --only, --exclude or -l" },
  );
}

export class BoardResult {
  /** By address. */
  readonly #names: ReadonlyMap<string, readonly string[]>;

  constructor(readonly result: HostsResult) {
    this.#names = new Map(result.lines.map((line) => [line.address, line.names]));
  }

  /** The names of one entry; those of another one that has the same address are not among them. */
  namesOf(address: string, entry: Omit<HostsEntry, "address">): readonly string[] {
    const names = namesOfEntry(entry);
    return (this.#names.get(address) ?? []).filter((name) => names.includes(name));
  }

  get leftOut(): readonly LeftOutName[] {
    return this.result.leftOut;
  }
}

/** Every name an entry may have. */
export function namesOfEntry(entry: Omit<HostsEntry, "address">): readonly string[] {
  const own = ownName(entry);
  const full = `${own}.${entry.namespace}`;
  const qualified = `${full}.svc.${entry.domain}`;
  if (entry.qualifiedOnly === true) return [qualified];
  return [full, `${full}.svc`, qualified, own];
}

/** `service` or `pod.service`: what a name begins with, and the bare name. */
export function ownName({ service, pod }: Omit<HostsEntry, "address">): string {
  return pod === undefined ? service : `${pod}.${service}`;
}

/**
 * One entry per Service, address and domain. Two sessions of one cluster share a service's
 * address: the entry has the bare name if either wants it. A bare name that
 * two namespaces want goes to the session that was there first.
 */
export function mergeEntries(
  sessions: readonly (readonly HostsEntry[])[],
): { entries: HostsEntry[]; leftOut: LeftOutName[] } {
  const merged = new Map<string, HostsEntry>();
  const bareAt = new Map<string, string>();
  const leftOut: LeftOutName[] = [];
  for (const entries of sessions) {
    for (const entry of entries) {
      let bare = entry.bare;
      if (bare) {
        const name = ownName(entry);
        const owner = bareAt.get(name);
        if (owner === undefined) bareAt.set(name, entry.address);
        else if (owner !== entry.address) {
          bare = false;
          leftOut.push({ name, reason: "another session holds this name" });
        }
      }
      const key = `${entry.address} ${ownName(entry)}.${entry.namespace} ${entry.domain} ${!!entry
        .qualifiedOnly}`;
      const before = merged.get(key);
      const take = [...new Set([...(before?.take ?? []), ...(entry.take ?? [])])];
      merged.set(key, {
        ...entry,
        bare: bare || (before?.bare ?? false),
        ...(take.length === 0 ? {} : { take }),
      });
    }
  }
  return { entries: [...merged.values()], leftOut };
}
