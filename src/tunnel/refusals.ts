import type { Clock } from "../model/clock.ts";

/** How long the cluster may take to tell that a pod which suddenly refuses is not ready, in ms. */
const TOLD_MS = 2000;

/**
 * Whether a refusal by the pods of a Service's port is the answer. Where nothing has ever listened
 * it is. But programs of a port that has answered before may have just ended, and the cluster tells
 * so a moment later: then there are other pods, or the connection is held (docs/decisions/0154).
 */
export class Refusals {
  readonly #clock: Clock;
  #worked = false;
  /** Since when (monotonic, ms) it only refuses. */
  #since: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  answered(): void {
    this.#worked = true;
    this.#since = undefined;
  }

  /** A pod refuses a connection. True when that may be over in a moment. */
  mayPass(): boolean {
    if (!this.#worked) return false;
    const now = this.#clock.monotonic();
    this.#since ??= now;
    return now - this.#since < TOLD_MS;
  }
}
