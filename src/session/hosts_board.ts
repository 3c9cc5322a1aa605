import type { HostsEntry, HostsResult, LeftOutName } from "../model/hosts.ts";

/** What the board needs of the hosts room. */
export interface HostsWriter {
  apply(entries: readonly HostsEntry[]): Promise<HostsResult>;
}

/**
 * The entries of all open sessions as the one block that is in the hosts file.
 * Sessions put theirs here; the board merges them and has them written.
 */
export class HostsBoard {
  readonly #entries = new Map<string, readonly HostsEntry[]>();
  #last: HostsResult = { lines: [], leftOut: [], changed: false };

  constructor(private readonly writer: HostsWriter) {}

  /** Replaces one session's entries; resolves when the hosts file has them. */
  async put(sessionId: string, entries: readonly HostsEntry[]): Promise<BoardResult> {
    if (entries.length === 0) this.#entries.delete(sessionId);
    else this.#entries.set(sessionId, entries);
    const merged = mergeEntries([...this.#entries.values()]);
    const result = await this.writer.apply(merged.entries);
    this.#last = { ...result, leftOut: [...merged.leftOut, ...result.leftOut] };
    return new BoardResult(this.#last);
  }

  /** What the last write put into the file. */
  get current(): BoardResult {
    return new BoardResult(this.#last);
  }
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
