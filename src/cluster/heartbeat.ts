import type { Clock } from "../model/clock.ts";
import { CzctlError } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import type { HttpClient } from "../platform/http.ts";
import type { ApiClient } from "./api_client.ts";
import { ApiError } from "./api_errors.ts";

export interface HeartbeatListener {
  /** Undefined: reachable. */
  onReachable(problem: CzctlError | undefined): void;
  /** What is open may hang on a dead connection: open it anew. */
  onReconnect(): void;
}

/**
 * Period and deadline, in ms: a dead network is noticed after at most 7 + 5 s,
 * told apart from one dead connection by a second try within 5 s more.
 */
const PERIOD_MS = 7_000;
const DEADLINE_MS = 5_000;
/** A timer this late means that the machine slept, in ms. */
const SLEPT_MS = 5_000;

/**
 * Asks the API server for its version every few seconds. A dropped network
 * says nothing, and a watch is allowed to be silent for minutes: without this
 * a half-open connection would look healthy. Any answer will do, a refusal too.
 */
export class Heartbeat {
  readonly #api: ApiClient;
  readonly #http: HttpClient;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #listeners = new Set<HeartbeatListener>();
  #stop: AbortController | undefined;
  #problem: CzctlError | undefined;

  constructor(api: ApiClient, http: HttpClient, clock: Clock, log: Logger) {
    this.#api = api;
    this.#http = http;
    this.#clock = clock;
    this.#log = log;
  }

  get problem(): CzctlError | undefined {
    return this.#problem;
  }

  /** Beats while anybody listens. Returns how to stop listening. */
  listen(listener: HeartbeatListener): () => void {
    this.#listeners.add(listener);
    if (!this.#stop) {
      this.#stop = new AbortController();
      this.#run(this.#stop.signal);
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) {
        this.#stop?.abort();
        this.#stop = undefined;
      }
    };
  }

  /** Asks at once, and has everything opened anew when there is an answer. */
  async reconnect(): Promise<void> {
    if (this.#stop) await this.#beat(false, this.#stop.signal, true);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const wall = this.#clock.now();
      try {
        await this.#clock.sleep(PERIOD_MS, signal);
      } catch {
        return;
      }
      const slept = this.#clock.now() - wall > PERIOD_MS + SLEPT_MS;
      await this.#beat(slept, signal);
    }
  }

  async #beat(slept: boolean, signal: AbortSignal, anew = false): Promise<void> {
    const before = this.#problem;
    let problem = slept ? undefined : await this.#ask(false, signal);
    if (signal.aborted) return;
    let reconnect = (anew || before !== undefined) && problem === undefined;
    if (slept || (problem && !before)) {
      this.#log.info(slept ? "woke up, reconnecting" : "heartbeat missed, reconnecting", {
        problem: problem?.message,
      });
      this.#http.dropIdle();
      problem = await this.#ask(true, signal);
      if (signal.aborted) return;
      reconnect = true;
    }
    if (reconnect) { for (const listener of [...this.#listeners]) listener.onReconnect(); }
    this.#problem = problem;
    for (const listener of [...this.#listeners]) listener.onReachable(problem);
  }

  async #ask(fresh: boolean, signal: AbortSignal): Promise<CzctlError | undefined> {
    try {
      await this.#api.raw("/version", {
        signal,
        deadlineMs: DEADLINE_MS,
        dialDeadlineMs: DEADLINE_MS,
        fresh,
      });
      return undefined;
    } catch (error) {
      if (error instanceof ApiError && error.status !== 401 && error.status < 500) return undefined;
      if (error instanceof CzctlError) return error;
      if (signal.aborted) return undefined;
      throw error;
    }
  }
}
