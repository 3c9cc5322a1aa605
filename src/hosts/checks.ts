/** What `czctl doctor` looks at in this room: the hosts file, its backup, and the way to root. */
import { CzctlError, messageOf } from "../model/errors.ts";
import type { Clock } from "../model/clock.ts";
import { silentLogger } from "../model/log.ts";
import { shellWord } from "../model/shell_word.ts";
import { codeOf, realFiles } from "../platform/files.ts";
import { currentUser } from "../platform/run_program.ts";
import { mayListen, systemLookup } from "../platform/system_resolver.ts";
import { type BlockLine, blockOf } from "./block.ts";
import { lineSpans, textOf } from "./bytes.ts";
import { HostsKeeper } from "./client.ts";
import { type Elevation, helperCommand, inspectElevation } from "./elevate.ts";
import { readHosts } from "./look.ts";
import { findMarkers } from "./markers.ts";
import { isLocalServiceAddress } from "./names.ts";
import { LET_LOW_PORTS, NO_LOW_PORTS } from "./low_ports.ts";
import { SYSTEM_PLACE } from "./place.ts";
import { blockIsKept } from "./probe.ts";
import { rangeList, strayLines } from "./remains.ts";

export interface HostsFinding {
  readonly id:
    | "hosts_unreadable"
    | "markers"
    | "stale_block"
    | "kept_elsewhere"
    | "unwritable"
    | "foreign_lines"
    | "stray_lines"
    | "cut_short"
    | "helper"
    | "low_ports"
    | "resolver"
    | "backup";
  /** What is wrong, one sentence. */
  readonly what: string;
  /** The next command or step. */
  readonly mend: string;
  /** Mends it without harm to anything of the user's; says what was done. Throws CzctlError. */
  readonly safeFix?: () => Promise<string>;
}

export interface HostsCheckOptions {
  readonly version: string;
  readonly prefix?: string;
  /** Path of this program. */
  readonly binary: string;
  /** `~/hosts.original` */
  readonly hostsOriginal: string;
  /** Whether a svc of this user lives: then its block is as it should be. */
  readonly svcAlive: boolean;
  readonly clock: Clock;
}

const LOOKUP_MS = 3_000;

/** Everything that is wrong here; nothing when all is well. Changes nothing. */
export async function checkHosts(options: HostsCheckOptions): Promise<HostsFinding[]> {
  const elevation = await inspectElevation(options);
  let file: Uint8Array;
  try {
    file = await readHosts();
  } catch (error) {
    const { hosts } = SYSTEM_PLACE;
    const gone = codeOf(error) === "ENOENT";
    return [{
      id: "hosts_unreadable",
      what: `${hosts} ${gone ? "does not exist" : `cannot be read: ${messageOf(error)}`}`,
      mend: gone ? `sudo touch ${hosts}` : `ls -l ${hosts}`,
    }];
  }
  return [
    ...await checkWritable(),
    ...await checkBlock(file, options, elevation),
    ...checkStrayLines(file),
    ...await checkCutShort(options, elevation),
    ...checkElevation(elevation),
    ...await checkBackup(file, options),
  ];
}

async function checkBlock(
  file: Uint8Array,
  options: HostsCheckOptions,
  elevation: Elevation,
): Promise<HostsFinding[]> {
  const { uid } = currentUser();
  let block: ReturnType<typeof blockOf>;
  try {
    block = blockOf(file, uid);
  } catch (error) {
    const mend = (error as CzctlError).hint ?? "Look at it with: grep -n czctl /etc/hosts";
    return [{ id: "markers", what: messageOf(error), mend }];
  }
  if (block === undefined) return [];
  const found: HostsFinding[] = [];
  const { known, foreign } = blockLines(file, block.begin.line, block.endMarker.line);
  if (foreign.length > 0) {
    found.push({
      id: "foreign_lines",
      what: `The czctl block of /etc/hosts has lines czctl did not write (line ${
        foreign.join(", ")
      })`,
      mend: "Move them out of the block; czctl puts them behind it at its next edit",
    });
  }
  if (!options.svcAlive) {
    const ready = elevation.state === "ready" || elevation.state === "root";
    if (ready && await blockIsKept(helperCommand(elevation, options.binary))) {
      found.push({
        id: "kept_elsewhere",
        what: "Another czfwd of this user, started with another HOME, keeps the block there",
        mend: "Use that HOME (as sudo or a login shell sets it), or end it: killall czfwd",
      });
      return found;
    }
    found.push({
      id: "stale_block",
      what: "A block of a session that is gone is left in /etc/hosts",
      mend: ready ? "czctl doctor --fix" : "czctl start",
      safeFix: cleanUp(options, elevation),
    });
    return found;
  }
  const first = known[0];
  if (first === undefined) return found;
  const answer = await systemLookup(first.names[0]!, LOOKUP_MS);
  if (!answer.includes(first.address)) {
    found.push({
      id: "resolver",
      what: `The system resolver says ${answer.join(", ") || "nothing"} for ` +
        `"${first.names[0]}", which /etc/hosts has at ${first.address}`,
      mend: "See that /etc/nsswitch.conf has a line such as: hosts: files dns",
    });
  }
  return found;
}

/** They may be somebody's own, so nothing here removes them. */
function checkStrayLines(file: Uint8Array): HostsFinding[] {
  const stray = strayLines(file);
  if (stray.length === 0) return [];
  return [{
    id: "stray_lines",
    what: "Addresses of 127.1.0.0/16 are in no czctl block of /etc/hosts " +
      `(${rangeList(stray)}): what is left of one, or lines of your own`,
    mend: "Delete those lines if they are not yours; no session is given the names they have",
  }];
}

/**
 * What stops even root is told to everybody: the kernel looks at the mount and
 * at the immutable flag before it looks at who asks. Nothing is written.
 */
async function checkWritable(): Promise<HostsFinding[]> {
  try {
    await (await realFiles.open(SYSTEM_PLACE.hosts, "write")).close();
    return [];
  } catch (error) {
    const found = {
      EROFS: { why: "it is on a read-only file system", mend: "findmnt -T" },
      EPERM: { why: "it is immutable or append-only", mend: "lsattr" },
    }[codeOf(error) ?? ""];
    if (found === undefined) return [];
    const { hosts } = SYSTEM_PLACE;
    return [{
      id: "unwritable",
      what: `${hosts} cannot be written: ${found.why}`,
      mend: `See: ${found.mend} ${hosts}`,
    }];
  }
}

/** The lines between two line numbers, and the numbers of those that cannot be ours. */
function blockLines(file: Uint8Array, begin: number, end: number) {
  const known: BlockLine[] = [];
  const foreign: number[] = [];
  lineSpans(file).slice(begin, end - 1).forEach((span, at) => {
    const [address = "", ...names] = textOf(file.subarray(span.start, span.end)).trim().split(
      /\s+/,
    );
    if (isLocalServiceAddress(address) && names.length > 0) known.push({ address, names });
    else foreign.push(begin + at + 1);
  });
  return { known, foreign };
}

async function checkCutShort(
  options: HostsCheckOptions,
  elevation: Elevation,
): Promise<HostsFinding[]> {
  if (options.svcAlive) return [];
  if (await realFiles.lstat(SYSTEM_PLACE.temporary).catch(() => undefined) === undefined) return [];
  return [{
    id: "cut_short",
    what: `An edit of /etc/hosts was cut short and left ${SYSTEM_PLACE.temporary}`,
    mend: "czctl doctor --fix",
    safeFix: cleanUp(options, elevation),
  }];
}

/** A helper that starts and ends finishes what a crash left and takes the block out. */
function cleanUp(options: HostsCheckOptions, elevation: Elevation): () => Promise<string> {
  return async () => {
    const keeper = await HostsKeeper.start({
      command: () => Promise.resolve(helperCommand(elevation, options.binary)),
      version: options.version,
      clock: options.clock,
      log: silentLogger,
    });
    await keeper.close();
    return "Took what a session that is gone had left out of /etc/hosts";
  };
}

function checkElevation(elevation: Elevation): HostsFinding[] {
  const lowPorts: HostsFinding[] = mayListen("127.1.255.254", 1) ? [] : [{
    id: "low_ports",
    what: "Ports below 1024 cannot be opened without the helper",
    mend: "czctl start",
  }];
  switch (elevation.state) {
    case "root":
      return lowPorts.map((finding) => ({
        ...finding,
        what: `Ports below 1024 cannot be opened: ${NO_LOW_PORTS}`,
        mend: `Run the container with ${LET_LOW_PORTS}`,
      }));
    case "ready":
      return [];
    case "absent":
      return [{
        id: "helper",
        what: "No helper is installed, so /etc/hosts cannot be edited",
        mend: "czctl start",
      }, ...lowPorts];
    case "outdated":
      return [{
        id: "helper",
        what: `The installed helper is version ${elevation.version}, not this czctl's`,
        mend: "czctl stop; czctl start",
      }, ...lowPorts];
    case "unusable":
      return [{
        id: "helper",
        what: `The installed helper does not work: ${elevation.reason}`,
        mend: "czctl start, or elsewhere: czctl start --prefix FOLDER",
      }, ...lowPorts];
  }
}

async function checkBackup(
  hosts: Uint8Array,
  { hostsOriginal, svcAlive }: HostsCheckOptions,
): Promise<HostsFinding[]> {
  const wrong = (what: string, mend: string): HostsFinding[] => [{ id: "backup", what, mend }];
  const facts = await realFiles.lstat(hostsOriginal).catch(() => undefined);
  if (facts === undefined) {
    const { uid } = currentUser();
    const hasBlock = findMarkers(hosts).some((marker) => marker.uid === uid);
    return svcAlive && hasBlock
      ? wrong(
        `The backup "${hostsOriginal}" is gone while a session is open`,
        "Nothing to do: closing the session restores /etc/hosts without it",
      )
      : [];
  }
  if (facts.kind !== "file") {
    return wrong(
      `"${hostsOriginal}" is not a regular file`,
      `Move it away: mv ${shellWord(hostsOriginal)} ${shellWord(`${hostsOriginal}.old`)}`,
    );
  }
  try {
    const content = await readHosts(hostsOriginal);
    if (findMarkers(content).length === 0) return [];
    return wrong(
      `The backup "${hostsOriginal}" has a czctl block in it`,
      `Remove the lines between the markers: grep -n czctl ${hostsOriginal}`,
    );
  } catch (error) {
    return wrong(
      `The backup "${hostsOriginal}" cannot be read: ${messageOf(error)}`,
      `ls -l ${hostsOriginal}`,
    );
  }
}
