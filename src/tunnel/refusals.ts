import type { Clock } from "../model/clock.ts";
import type { ServiceEndpoint } from "../model/service.ts";

/** How long the cluster may take to tell that a pod which suddenly refuses is not ready, in ms. */
const TOLD_MS = 2000;

/**
 * Pods that refuse connections to one port. Where nothing has ever listened
 * that is the answer. But a program that has answered before may have just
 * ended, and the cluster tells so a moment later: then there is another pod, or
 * the connection is held (docs/decisions/0154).
 */
export class Refusals {
  readonly #clock: Clock;
  /** Pods that have answered, with the time (monotonic, ms) from which on they refuse. */
  readonly #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The Service's pods now; the others are forgotten. */
  update(endpoints: readonly ServiceEndpoint[]): void {
    if (this.#since.size === 0) return;
    const uids = new Set(endpoints.map(({ podUid }) => podUid));
    for (const uid of this.#since.keys()) if (!uids.has(uid)) this.#since.delete(uid);
  }

  answered(uid: string): void {
    this.#since.set(uid, Number.POSITIVE_INFINITY);
  }

  /** The pod refuses a connection. True when that may be over in a moment. */
  mayPass(uid: string): boolean {
    const since = this.#since.get(uid);
    if (since === undefined) return false;
    const now = this.#clock.monotonic();
    if (since === Number.POSITIVE_INFINITY) this.#since.set(uid, now);
    return now - Math.min(since, now) < TOLD_MS;
  }
}
