import { join } from "node:path";
import { messageOf } from "../model/errors.ts";
import type { Clock } from "../model/clock.ts";
import type { StatusInfo } from "../model/control.ts";
import type { Logger } from "../model/log.ts";
import { buildInfo } from "../platform/build_info.ts";
import { systemClock } from "../platform/clock.ts";
import { onSignals, onUnhandled, ownPid } from "../platform/daemon.ts";
import { callerUid, environment } from "../platform/caller.ts";
import { fileLogger } from "../platform/log_file.ts";
import { machineView } from "../platform/machine_view.ts";
import { type StatePaths, statePaths } from "../platform/paths.ts";
import {
  ensurePrivateDir,
  type HeldLock,
  readIfPresent,
  tryLock,
  writeAtomic,
} from "../platform/private_files.ts";
import { claimRange } from "../platform/range_claim.ts";
import { serveUnix } from "../platform/unix_server.ts";
import { SYSTEM_PLACE } from "../hosts/place.ts";
import { startInspector } from "../inspector/inspector.ts";
import { AddressBook, parseAddressState } from "./addresses.ts";
import { Claims } from "./claims.ts";
import { controlHandler } from "./control_server.ts";
import { foreignRanges } from "./foreign_ranges.ts";
import { startHosts } from "./hosts_access.ts";
import { HostsBoard } from "./hosts_board.ts";
import { START_FAILED } from "./launch.ts";
import { removeLeftovers } from "./recovery.ts";
import { SessionRegistry } from "./registry.ts";
import { SessionStore } from "./store.ts";

/** A svc that `teleport` started ends when it has been without a session for this long, in ms. */
const IDLE_MS = 300;
/** Without a session, the next request must come within this after the last one, in ms. */
const NEXT_REQUEST_MS = 5_000;
/** A lock that somebody only looks at is free within this, in ms. */
const LOOKED_AT_MS = 200;
/** Answers under way get this long when svc ends, in ms. */
const DRAIN_MS = 1_000;

/**
 * The background process of one user: holds the sessions, serves the control
 * socket, and cleans everything up when it ends by SIGTERM, SIGINT or `stop`.
 * Resolves with the exit code. `--resident`: stays when no session is open.
 */
export async function runSvc(args: string[]): Promise<number> {
  const paths = statePaths(environment()["HOME"]);
  for (
    const folder of [paths.base, join(paths.base, "run"), join(paths.base, "log"), paths.sessions]
  ) {
    await ensurePrivateDir(folder);
  }
  const clock = systemClock;
  const log = fileLogger(paths.log, clock, args.includes("--debug") ? "debug" : "info");
  try {
    return await serve(args, paths, clock, log);
  } catch (error) {
    // One that stayed without its socket would hold the lock and answer nobody.
    log.error(START_FAILED, {
      reason: messageOf(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    return 1;
  }
}

async function serve(
  args: readonly string[],
  paths: StatePaths,
  clock: Clock,
  log: Logger,
): Promise<number> {
  const lock = await ownLock(paths.lock, clock);
  if (!lock) {
    log.info("Another czfwd is running already; this one ends");
    return 0;
  }
  onUnhandled((error) =>
    log.error("Unhandled failure, this is a bug", {
      error: messageOf(error),
      stack: error instanceof Error ? error.stack : undefined,
    })
  );

  let resident = args.includes("--resident");
  let stopping = false;
  const startedAt = new Date(clock.now()).toISOString();
  const ended = Promise.withResolvers<string>();
  const store = new SessionStore(paths.sessions, ownPid());
  // Read anew by every svc; while one runs, the claims speak for the other living ones.
  const foreign = foreignRanges(
    await readIfPresent(SYSTEM_PLACE.hosts).catch(() => undefined) ?? "",
    callerUid() ?? -1,
  );
  const addresses = new AddressBook(
    parseAddressState(await readIfPresent(paths.addresses)),
    (range) => !foreign.has(range) && claimRange(range),
    () => clock.now(),
  );
  const hosts = startHosts({ paths, clock, log });
  const inspector = await startInspector({
    clock,
    log,
    sessions: () => registry.list(),
    look: () => void registry.look(),
  });
  let cancelIdle = () => {};
  const idleAfter = (ms: number) => {
    cancelIdle();
    if (!resident) {
      cancelIdle = clock.after(ms, () => {
        if (registry.size === 0) ended.resolve("no session is open");
      });
    }
  };
  const registry: SessionRegistry = new SessionRegistry({
    home: paths.home,
    clock,
    log,
    addresses,
    claims: new Claims(),
    board: new HostsBoard(hosts),
    relays: hosts,
    store,
    tap: inspector.tap,
    saveAddresses: async () => {
      const state = addresses.takeChanges();
      if (state) await writeAtomic(paths.addresses, JSON.stringify(state) + "\n");
    },
  }, () => idleAfter(IDLE_MS));

  const status = async (): Promise<StatusInfo> => {
    await registry.look();
    return {
      version: buildInfo().version,
      pid: ownPid(),
      machine: machineView(),
      startedAt,
      resident,
      helper: hosts.state,
      inspector: inspector.state,
      opening: registry.opening,
      sessions: registry.list(),
    };
  };

  const unhook = onSignals(["SIGTERM", "SIGINT"], (signal) => ended.resolve(signal));
  const ignoreHangup = onSignals(["SIGHUP"], () => {});
  await removeLeftovers({ store, log });
  const control = controlHandler({
    status,
    open: async (request, emit, signal) => {
      cancelIdle();
      await hosts.ready().catch((error) => {
        idleAfter(IDLE_MS);
        throw error;
      });
      const { session, already } = await registry.open(request, emit, signal);
      inspector.sessionsChanged();
      emit({ type: "session", session, already });
      if (!request.forProgram || request.holder === undefined) return;
      await registry.hold(request.holder, signal);
      inspector.sessionsChanged();
    },
    release: async (holder, emit) => {
      await registry.release(holder, emit);
      inspector.sessionsChanged();
      // Interrupted before it had asked for a session: it does not come again.
      if (registry.size === 0) idleAfter(IDLE_MS);
    },
    close: async (ids, force, emit) => {
      await registry.close(ids, force, emit);
      inspector.sessionsChanged();
    },
    stop: async (emit) => {
      await registry.stop(emit);
      stopping = true;
      ended.resolve("stop was asked for");
    },
    stay: () => {
      resident = true;
      cancelIdle();
    },
    ending: () => stopping || (!resident && registry.size === 0),
    inspectUrl: () => inspector.inspectUrl(),
  }, log);
  const server = await serveUnix(paths.socket, (request) => {
    if (registry.size === 0) idleAfter(NEXT_REQUEST_MS);
    return control(request);
  });
  log.info("czfwd is up", { pid: ownPid(), version: buildInfo().version, resident });
  idleAfter(NEXT_REQUEST_MS);
  if (resident) hosts.ready().catch((error) => log.error("No helper", { error: messageOf(error) }));

  const reason = await ended.promise;
  log.info("czfwd ends", { reason });
  cancelIdle();
  let code = 0;
  await registry.stop(() => {}).catch((error) => {
    log.error("Cannot close every session cleanly", { error: messageOf(error) });
    code = 1;
  });
  await server.close(DRAIN_MS);
  await inspector.close();
  await hosts.close().catch((error) => {
    log.error("The hosts file may still hold the block", { error: messageOf(error) });
    code = 1;
  });
  unhook();
  ignoreHangup();
  lock.release();
  return code;
}

/**
 * The lock that says that this svc lives. Undefined when another one does;
 * commands that wait for one to end hold it for a moment, too.
 */
async function ownLock(path: string, clock: Clock): Promise<HeldLock | undefined> {
  const until = clock.monotonic() + LOOKED_AT_MS;
  for (;;) {
    const lock = await tryLock(path);
    if (lock !== undefined || clock.monotonic() > until) return lock;
    await clock.sleep(20);
  }
}
