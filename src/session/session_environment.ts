import type { Clock } from "../model/clock.ts";
import type { EnvFileInfo, TeleportRequest, WorkloadRef } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import type { ObjectSource } from "../model/objects.ts";
import { EnvFile, type EnvFileRecord } from "../envfile/file.ts";
import { EnvMonitor } from "../envfile/monitor.ts";
import { formatOf } from "../envfile/render.ts";

export interface SessionEnvironmentOptions {
  readonly request: TeleportRequest;
  readonly workload: WorkloadRef;
  readonly objects: ObjectSource;
  /** The local address of a service of the workload's namespace. */
  readonly addressOf: (service: string) => string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Keeps the record on disk before the file changes, so that recovery can remove it. */
  readonly persist: (record: EnvFileRecord) => Promise<void>;
}

/** The env file of one session, from the claim to the removal. */
export class SessionEnvironment {
  private constructor(
    private readonly monitor: EnvMonitor,
    private readonly addresses: AskedAddresses,
  ) {}

  /**
   * Claims the file and writes nothing yet: whatever is wrong with it, or with
   * what it is to hold, is found before a tunnel is open. Throws CzctlError.
   */
  static async claim(
    options: SessionEnvironmentOptions,
    signal: AbortSignal,
  ): Promise<SessionEnvironment | undefined> {
    const { request, workload } = options;
    if (request.envFile === undefined) return undefined;
    if (workload.kind === "namespace") {
      throw new CzctlError("usage", "Cannot write an environment: a namespace has none", {
        hint:
          `Name a workload: czctl teleport deployment NAME -n ${workload.name} -f ${request.envFile}`,
      });
    }
    const file = await EnvFile.claim(request.envFile, {
      cwd: request.cwd,
      force: request.force ?? false,
      persist: options.persist,
    });
    const addresses = new AskedAddresses(options.addressOf);
    const monitor = new EnvMonitor({
      objects: options.objects,
      workload,
      ...(request.container === undefined ? {} : { container: request.container }),
      serviceAddress: (service) => addresses.ask(service),
      file,
      format: request.format ?? formatOf(request.envFile),
      ...(request.exportVariables === undefined
        ? {}
        : { exportVariables: request.exportVariables }),
      ...(request.onChange === undefined
        ? {}
        : { onChange: { command: request.onChange, cwd: request.cwd, env: request.env } }),
      log: options.log,
      clock: options.clock,
    });
    await monitor.check(signal);
    return new SessionEnvironment(monitor, addresses);
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.monitor.start(signal);
  }

  info(): EnvFileInfo {
    return this.monitor.info;
  }

  get notes(): readonly string[] {
    return this.monitor.notes;
  }

  /** A service's local address may have changed; the monitor sees everything else by itself. */
  addressesChanged(): void {
    if (this.addresses.differ()) this.monitor.refresh();
  }

  /** Removes the file if it is still what czctl wrote; the reason when it is left. */
  async close(): Promise<string | undefined> {
    return (await this.monitor.close()).reason;
  }
}

/**
 * The local addresses that went into the environment. A rollout changes the
 * endpoints behind them many times a second and the addresses never, and
 * computing the environment reads the Services, pods and all it refers to.
 */
class AskedAddresses {
  readonly #answers = new Map<string, string | undefined>();

  constructor(private readonly addressOf: (service: string) => string | undefined) {}

  ask(service: string): string | undefined {
    const address = this.addressOf(service);
    this.#answers.set(service, address);
    return address;
  }

  /** Whether an answer given before would be another now. */
  differ(): boolean {
    for (const [service, before] of this.#answers) {
      if (this.addressOf(service) !== before) return true;
    }
    return false;
  }
}
