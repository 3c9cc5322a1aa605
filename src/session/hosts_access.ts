import type { Clock } from "../model/clock.ts";
import type { StatusInfo } from "../model/control.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import type { HostsEntry, HostsResult } from "../model/hosts.ts";
import type { Logger } from "../model/log.ts";
import { HostsKeeper } from "../hosts/client.ts";
import {
  helperCommand as commandOf,
  inspectElevation,
  rememberedPrefix,
} from "../hosts/elevate.ts";
import { findMarkers } from "../hosts/markers.ts";
import { saveOriginal } from "../hosts/original.ts";
import { SYSTEM_PLACE } from "../hosts/place.ts";
import { buildInfo } from "../platform/build_info.ts";
import { ownExecutable, userId } from "../platform/daemon.ts";
import type { StatePaths } from "../platform/paths.ts";
import { pathExists, readBytesIfPresent, replaceLink } from "../platform/private_files.ts";
import type { HostsWriter } from "./hosts_board.ts";
import type { Relays } from "./rooms.ts";

/** The hosts file and the low ports, through a helper that is started when first needed. */
export interface HostsAccess extends HostsWriter, Relays {
  readonly state: StatusInfo["helper"];
  /** Starts the helper. Throws CzctlError `not_elevated` when there is none. */
  ready(): Promise<void>;
  /** Restores the hosts file and ends the helper. */
  close(): Promise<void>;
}

export function startHosts(
  options: { paths: StatePaths; clock: Clock; log: Logger },
): HostsAccess {
  return new LazyHosts(options.paths, options.clock, options.log);
}

/**
 * The command that starts a helper as root: this very program where we are
 * root, else the installed set-uid copy. Throws CzctlError `not_elevated`.
 */
export async function helperCommand(paths: StatePaths): Promise<string[]> {
  const elevation = await inspectElevation({
    version: buildInfo().version,
    prefix: await rememberedPrefix(paths.base),
  });
  // As root through the link, so that its process name is czfwd.
  if (elevation.state === "root") await replaceLink(paths.czfwd, ownExecutable());
  return commandOf(elevation, paths.czfwd);
}

export async function helperAvailable(paths: StatePaths): Promise<boolean> {
  try {
    await helperCommand(paths);
    return true;
  } catch {
    return false;
  }
}

/** True when a block of this user is in the hosts file, or one that cannot be told from it. */
export async function hasOwnBlock(): Promise<boolean> {
  try {
    const bytes = await readBytesIfPresent(SYSTEM_PLACE.hosts) ?? new Uint8Array();
    return findMarkers(bytes).some((marker) => marker.uid === undefined || marker.uid === userId());
  } catch {
    return false;
  }
}

class LazyHosts implements HostsAccess {
  #keeper: Promise<HostsKeeper> | undefined;
  #running: HostsKeeper | undefined;
  #failure: unknown;
  #hasBlock = false;
  #command: string[] | undefined;

  constructor(
    private readonly paths: StatePaths,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  get state(): StatusInfo["helper"] {
    if (this.#running) return this.#running.state;
    if (this.#failure === undefined) {
      return { state: "idle", reason: "it starts with the first session" };
    }
    const hint = this.#failure instanceof CzctlError ? this.#failure.hint : undefined;
    return {
      state: "failed",
      reason: messageOf(this.#failure),
      ...(hint === undefined ? {} : { hint }),
    };
  }

  async ready(): Promise<void> {
    await this.#start();
  }

  async apply(entries: readonly HostsEntry[]): Promise<HostsResult> {
    const keeper = await this.#start();
    // The backup is of the file before our first block; a later session keeps it.
    if (entries.length > 0 && !this.#hasBlock) await saveOriginal(this.paths.hostsOriginal);
    const result = await keeper.apply(entries);
    this.#hasBlock = entries.length > 0;
    return result;
  }

  async relay(spec: { address: string; port: number; to: number }): Promise<void> {
    await (await this.#start()).relay(spec);
  }

  async unrelay(spec: { address: string; port: number }): Promise<void> {
    await this.#running?.unrelay(spec);
  }

  async close(): Promise<void> {
    await (await this.#keeper?.catch(() => undefined))?.close();
  }

  #start(): Promise<HostsKeeper> {
    this.#keeper ??= this.#startNow().catch((error) => {
      this.#failure = error;
      this.#keeper = undefined;
      throw error instanceof CzctlError ? error : new CzctlError(
        "not_elevated",
        `Cannot start the helper that edits /etc/hosts: ${messageOf(error)}`,
        { hint: "Find out why: czctl doctor", cause: error },
      );
    });
    return this.#keeper;
  }

  async #startNow(): Promise<HostsKeeper> {
    const keeper = await HostsKeeper.start({
      command: () => this.#commandNow(),
      version: buildInfo().version,
      clock: this.clock,
      log: this.log,
    });
    this.#running = keeper;
    this.#failure = undefined;
    return keeper;
  }

  /** The same as long as it is there; `czctl start --prefix` moves it. */
  async #commandNow(): Promise<string[]> {
    if (this.#command === undefined || !(await pathExists(this.#command[0]!))) {
      this.#command = await helperCommand(this.paths);
    }
    return this.#command;
  }
}
