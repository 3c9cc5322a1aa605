import type { Clock } from "../model/clock.ts";
import type { EnvFileInfo, EnvFormat, WorkloadRef } from "../model/control.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import { type Logger, silentLogger } from "../model/log.ts";
import type { ObjectSource } from "../model/objects.ts";
import { systemClock } from "../platform/clock.ts";
import { computeEnvironment, type Environment, MissingReference } from "./compute.ts";
import type { EnvFile, RemoveResult } from "./file.ts";
import { OnChange } from "./on_change.ts";
import { type RenderedEnvironment, renderEnvironment } from "./render.ts";
import { WatchSet } from "./watch_set.ts";
import { workloadTarget } from "./workload.ts";

export interface EnvMonitorOptions {
  readonly objects: ObjectSource;
  readonly workload: WorkloadRef;
  readonly container?: string;
  readonly serviceAddress?: (service: string) => string | undefined;
  readonly file: EnvFile;
  readonly format: EnvFormat;
  readonly exportVariables?: boolean;
  /** `--on-change`: run after a refresh, not after the first write. */
  readonly onChange?: {
    readonly command: string;
    readonly cwd: string;
    readonly env: Readonly<Record<string, string>>;
  };
  /** Hears of every change of `info` and `notes`. */
  readonly onState?: (info: EnvFileInfo) => void;
  readonly log?: Logger;
  readonly clock?: Clock;
}

/** A change is waited on for this long, in ms, for others to join it. */
const GATHER_MS = 100;
/** Two computations start no closer than this, in ms: a rollout makes dozens of events a second. */
const SPACING_MS = 400;
/** Where watching is forbidden the objects are read again this often, in ms. */
const POLL_MS = 5000;
/** How often the file is looked at for what the user does to it, in ms. */
const FILE_MS = 1000;
/** Tries after a failure that may pass (cluster unreachable), in ms. */
const RETRY_MS = { first: 1000, most: 30_000 };

/**
 * Keeps an env file as the workload's environment is now: watches the
 * workload, its pods and all it refers to, and rewrites the file within a
 * second of a change. While something is missing (the workload deleted, a
 * Secret gone, the cluster out of reach) the file keeps its last contents and
 * `info.reason` says what it waits for.
 */
export class EnvMonitor {
  readonly #options: EnvMonitorOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #watches: WatchSet;
  readonly #onChange: OnChange | undefined;
  readonly #abort = new AbortController();
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;
  #fileTimer: (() => void) | undefined;
  #retryMs = 0;
  #dirty = false;
  #started = false;
  /** That the file is no longer kept has been logged. */
  #told = false;
  #work: Promise<void> | undefined;
  #lastStart = -Infinity;
  #polling = false;
  #variables = 0;
  #reason: string | undefined;
  #notes: readonly string[] = [];
  #podUid: string | undefined;

  constructor(options: EnvMonitorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLogger;
    this.#watches = new WatchSet(options.objects, {
      onChange: () => this.refresh(),
      onDenied: () => this.#poll(),
      log: this.#log,
    });
    this.#onChange = options.onChange &&
      new OnChange({ ...options.onChange, file: options.file.path, log: this.#log });
  }

  /**
   * Computes and renders once and does nothing with it, so that what would
   * fail in `start` fails before anything else is done. Throws the same.
   */
  async check(signal?: AbortSignal): Promise<void> {
    await this.#render(signal);
  }

  /**
   * Writes the file for the first time and begins to watch.
   * Throws CzctlError, and then watches nothing and has written nothing.
   */
  async start(signal?: AbortSignal): Promise<Environment> {
    signal?.throwIfAborted();
    const stop = () => this.#abort.abort(signal!.reason);
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const environment = await this.#update();
      this.#started = true;
      this.#watchFile();
      return environment;
    } catch (error) {
      this.#watches.close();
      throw error;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** For SessionInfo.envFile. */
  get info(): EnvFileInfo {
    const { file } = this.#options;
    const reason = file.stopped ?? this.#reason;
    return {
      path: file.path,
      variables: this.#variables,
      state: file.stopped === undefined ? "watching" : "stopped",
      ...(reason !== undefined && { reason }),
    };
  }

  /** What the user should know of the variables as they are now. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  /** Something the variables depend on has changed (also: a service's local address). */
  refresh(): void {
    this.#dirty = true;
    this.#schedule(GATHER_MS);
  }

  #schedule(ms: number): void {
    if (this.#abort.signal.aborted || this.#work) return;
    const now = this.#clock.monotonic();
    const at = Math.max(now + ms, this.#lastStart + SPACING_MS);
    if (this.#timer && this.#timer.at <= at) return;
    this.#timer?.cancel();
    const cancel = this.#clock.after(at - now, () => {
      this.#timer = undefined;
      this.#work = this.#refresh().finally(() => {
        this.#work = undefined;
        if (this.#dirty) this.#schedule(GATHER_MS);
        else if (this.#retryMs > 0) this.#schedule(this.#retryMs);
        else if (this.#polling) this.#schedule(POLL_MS);
      });
    });
    this.#timer = { at, cancel };
  }

  async #refresh(): Promise<void> {
    if (this.#options.file.stopped !== undefined) return;
    this.#dirty = false;
    const before = JSON.stringify([this.info, this.#notes]);
    try {
      await this.#update();
      this.#reason = undefined;
      this.#retryMs = 0;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (error instanceof MissingReference) this.#watches.add(error.watch);
      this.#reason = `${messageOf(error)}; the file keeps its last contents`;
      this.#retryMs = Math.min(Math.max(this.#retryMs * 2, RETRY_MS.first), RETRY_MS.most);
      if (!(error instanceof CzctlError)) this.#log.error("env file refresh failed", fields(error));
    }
    if (JSON.stringify([this.info, this.#notes]) !== before) this.#tell();
  }

  async #render(
    signal?: AbortSignal,
  ): Promise<{ environment: Environment; rendered: RenderedEnvironment }> {
    const { objects, workload, container, serviceAddress, format, exportVariables } = this.#options;
    const environment = await computeEnvironment({
      objects,
      workload,
      ...(container !== undefined && { container }),
      ...(serviceAddress && { serviceAddress }),
      ...(this.#podUid !== undefined && { preferPod: this.#podUid }),
      signal: signal ? AbortSignal.any([signal, this.#abort.signal]) : this.#abort.signal,
      log: this.#log,
    });
    const rendered = renderEnvironment(
      environment.variables,
      format,
      exportVariables === undefined ? {} : { exportVariables },
    );
    return { environment, rendered };
  }

  async #update(): Promise<Environment> {
    const { workload, file } = this.#options;
    this.#lastStart = this.#clock.monotonic();
    const { environment, rendered } = await this.#render();
    this.#abort.signal.throwIfAborted();
    const result = await file.write(rendered.bytes);
    this.#watches.set([workloadTarget(workload), ...environment.watch]);
    this.#podUid = environment.podUid;
    this.#notes = [
      ...environment.notes,
      ...rendered.notes,
      ...rendered.leftOut.map(({ name, reason }) => `${name} is left out: ${reason}`),
    ];
    if (result === "written") {
      this.#variables = rendered.variables;
      this.#log.info("env file written", { path: file.path, variables: rendered.variables });
      if (this.#started) this.#onChange?.trigger();
    }
    if (result === "stopped") this.#stopFor();
    return { ...environment, notes: this.#notes };
  }

  #watchFile(): void {
    if (this.#abort.signal.aborted) return;
    this.#fileTimer = this.#clock.after(FILE_MS, () => {
      this.#options.file.check().then((reason) => {
        if (reason === undefined) return this.#watchFile();
        this.#stopFor();
        this.#tell();
      }, (error) => {
        this.#log.warn("env file cannot be looked at", fields(error));
        this.#watchFile();
      });
    });
  }

  #stopFor(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#watches.close();
    // A refresh and the look at the file may both find it.
    if (this.#told) return;
    this.#told = true;
    this.#log.warn("env file is no longer kept", {
      path: this.#options.file.path,
      reason: this.#options.file.stopped,
    });
  }

  #poll(): void {
    this.#polling = true;
    this.#schedule(POLL_MS);
  }

  #tell(): void {
    if (!this.#abort.signal.aborted) this.#options.onState?.(this.info);
  }

  /** Stops watching and the on-change command, then removes the file if it is still czctl's. */
  async close(): Promise<RemoveResult> {
    this.#abort.abort(new CzctlError("interrupted", "The session is closing"));
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#fileTimer?.();
    this.#watches.close();
    await this.#work;
    await this.#onChange?.close();
    return await this.#options.file.remove();
  }
}

function fields(error: unknown): { error: string } {
  return { error: error instanceof Error ? error.stack ?? error.message : String(error) };
}
