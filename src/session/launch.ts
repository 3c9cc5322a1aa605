import { join } from "node:path";
import type { StatusInfo } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import type { Clock } from "../model/clock.ts";
import { daemonEnvironment, ownExecutable, startDaemon } from "../platform/daemon.ts";
import type { StatePaths } from "../platform/paths.ts";
import {
  ensurePrivateDir,
  leadsNowhere,
  pathExists,
  readIfPresent,
  replaceLink,
  tryLock,
} from "../platform/private_files.ts";
import { requestUnix } from "../platform/unix_http.ts";
import { helperCommand } from "./hosts_access.ts";

/** A fresh svc must answer within this, in ms; a cold disk and a busy machine included. */
const START_DEADLINE_MS = 20_000;
const POLL_MS = 25;
/** What svc logs, with the reason, when it cannot come up. */
export const START_FAILED = "czfwd cannot start";
/** Enough of the log's end to hold that line, in bytes. */
const LOG_TAIL_BYTES = 16 * 1024;
/** A living svc answers within this, in ms. */
const STATUS_MS = 5_000;

/**
 * Makes sure that this user's `czfwd svc` runs and answers; starts it when it
 * does not. `resident`: it stays when no session is open (`czctl start`).
 * Throws CzctlError `not_elevated` when there is no way to root on this
 * machine yet, `failed` when it does not come up.
 */
export async function ensureSvc(
  options: { paths: StatePaths; resident: boolean; clock: Clock; debug?: boolean },
): Promise<StatusInfo> {
  const { paths, clock } = options;
  const running = await svcStatus(paths);
  if (running) {
    await mendLink(paths);
    return running;
  }
  await helperCommand(paths);
  for (const folder of [paths.base, join(paths.base, "run"), join(paths.base, "log")]) {
    await ensurePrivateDir(folder);
  }
  await replaceLink(paths.czfwd, ownExecutable());
  const daemon = startDaemon(
    paths.czfwd,
    ["svc", ...(options.resident ? ["--resident"] : []), ...(options.debug ? ["--debug"] : [])],
    { env: daemonEnvironment({ HOME: paths.home }), logPath: paths.log, cwd: "/" },
  );
  let ended: string | undefined;
  daemon.ended.then((how) => ended = how);
  const deadline = clock.monotonic() + START_DEADLINE_MS;
  try {
    for (;;) {
      const status = await svcStatus(paths);
      if (status) return status;
      // Another call may have started svc at the same moment; then its lock is held.
      if (ended !== undefined && !(await svcIsAlive(paths))) break;
      if (clock.monotonic() > deadline) break;
      await clock.sleep(POLL_MS);
    }
  } finally {
    daemon.release();
  }
  const how = ended === undefined ? "it does not answer within 20 s" : `it ${ended}`;
  throw new CzctlError("failed", `Cannot start czfwd: ${await lastReason(paths.log) ?? how}`, {
    hint: "See more: czctl logs",
  });
}

/**
 * svc starts each helper of root through its link. Where the binary behind it
 * has been moved or removed meanwhile, this one takes its place.
 */
export async function mendLink(paths: StatePaths): Promise<void> {
  if (!(await leadsNowhere(paths.czfwd))) return;
  // Where that cannot be written, what was asked for may do without.
  await replaceLink(paths.czfwd, ownExecutable()).catch(() => {});
}

/** Resolves when no svc lives any more; false when one still does after `ms`. */
export async function svcEnded(paths: StatePaths, ms: number, clock: Clock): Promise<boolean> {
  const until = clock.monotonic() + ms;
  while (await svcIsAlive(paths)) {
    if (clock.monotonic() > until) return false;
    await clock.sleep(POLL_MS);
  }
  return true;
}

/** Why the svc that was just started gave up, as it logged it. */
async function lastReason(log: string): Promise<string | undefined> {
  const text = await readIfPresent(log).catch(() => undefined);
  const last = text?.slice(-LOG_TAIL_BYTES).trimEnd().split("\n").at(-1);
  const found = last?.split(` error ${START_FAILED} reason=`)[1];
  if (found === undefined) return undefined;
  const quoted = /^"(?:[^"\\]|\\.)*"/.exec(found)?.[0];
  return quoted === undefined ? found.split(" ")[0] : JSON.parse(quoted);
}

/** What svc says of itself, or undefined when none answers. */
export async function svcStatus(paths: StatePaths): Promise<StatusInfo | undefined> {
  try {
    const answer = await requestUnix(paths.socket, {
      method: "GET",
      path: "/v1/status",
      timeoutMs: STATUS_MS,
    });
    try {
      return await new Response(answer.body).json() as StatusInfo;
    } finally {
      answer.close();
    }
  } catch {
    return undefined;
  }
}

/** True while a svc of this user lives: it holds the lock until its very end. */
export async function svcIsAlive(paths: StatePaths): Promise<boolean> {
  // Looking must not make the folder.
  if (!(await pathExists(paths.lock))) return false;
  const lock = await tryLock(paths.lock);
  lock?.release();
  return lock === undefined;
}
