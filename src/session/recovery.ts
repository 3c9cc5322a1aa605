import type { Clock } from "../model/clock.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import { type Logger, silentLogger } from "../model/log.ts";
import { systemClock } from "../platform/clock.ts";
import { recoverEnvFile } from "../envfile/file.ts";
import type { StatePaths } from "../platform/paths.ts";
import { tryLock } from "../platform/private_files.ts";
import { hasOwnBlock, helperAvailable, startHosts } from "./hosts_access.ts";
import { SessionStore } from "./store.ts";

/**
 * Cleans up after a svc that is gone without having been able to: takes this
 * user's block out of the hosts file, removes env files that are still what
 * czctl wrote, and forgets the records. Returns what was done or could not be,
 * in words; nothing when there was nothing to do or a svc lives. With `strict`
 * a block that stays where it is is thrown as CzctlError, when the rest is done.
 */
export async function recoverIfNeeded(
  { paths, clock = systemClock, log = silentLogger, onlyRecords = false, strict = false }: {
    paths: StatePaths;
    clock?: Clock;
    log?: Logger;
    /** Leaves the hosts file to somebody else. */
    onlyRecords?: boolean;
    /** Cleaning up is what was asked for. */
    strict?: boolean;
  },
): Promise<string[]> {
  const store = new SessionStore(paths.sessions);
  const stale = !onlyRecords && await hasOwnBlock();
  if (!stale && (await store.list()).length === 0) return [];
  // Held while cleaning, so that no svc starts meanwhile; taken means that one lives.
  const lock = await tryLock(paths.lock);
  if (!lock) return [];
  try {
    const said: string[] = [];
    let failure: unknown;
    if (stale) {
      if (!(await helperAvailable(paths))) {
        const left = "A block of czctl is left in /etc/hosts";
        if (strict) throw new CzctlError("not_elevated", left, { hint: "Run: czctl start" });
        return [`${left}; to take it out, run: czctl start`];
      }
      const hosts = startHosts({ paths, clock, log });
      try {
        await hosts.apply([]);
        said.push("Took a block that was left behind out of /etc/hosts");
      } catch (error) {
        // Broken markers, or a svc with another HOME: said, but what was asked for goes on.
        failure = error;
        if (!strict) said.push(wordsOf(error));
      } finally {
        await hosts.close().catch((error) => log.warn(messageOf(error)));
      }
    }
    said.push(...await removeLeftovers({ store, log }));
    if (strict && failure !== undefined) throw failure;
    return said;
  } finally {
    lock.release();
  }
}

function wordsOf(error: unknown): string {
  const hint = error instanceof CzctlError ? error.hint : undefined;
  return hint === undefined ? messageOf(error) : `${messageOf(error)}. ${hint}`;
}

/** What a dead svc left besides the hosts block: env files and its session records. */
export async function removeLeftovers(
  options: {
    store: SessionStore;
    log: Logger;
  },
): Promise<string[]> {
  const said: string[] = [];
  for (const { id, record } of await options.store.list()) {
    try {
      if (record?.envFile) {
        const result = await recoverEnvFile(record.envFile);
        if (result.removed) {
          said.push(`Removed ${record.envFile.path}, left behind by session ${id}`);
        } else if (result.reason !== undefined) said.push(result.reason);
      }
      await options.store.remove(id);
    } catch (error) {
      said.push(`Cannot clean up after session ${id}: ${messageOf(error)}`);
    }
  }
  for (const text of said) options.log.info(text);
  return said;
}
