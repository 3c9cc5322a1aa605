import type { Clock } from "../model/clock.ts";
import type { ReachabilityInfo } from "../model/control.ts";
import type { Logger } from "../model/log.ts";

/** Whether a session's cluster can be reached, why not, and since when. */
export class Reachability {
  readonly #clock: Clock;
  readonly #log: Logger;
  #info: ReachabilityInfo = { reachable: true };
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  get info(): ReachabilityInfo {
    return this.#info;
  }

  /** Resolves when it is reachable, or after `ms`. */
  async untilReachable(ms: number): Promise<void> {
    if (this.#info.reachable) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        cancel();
        this.#waiting.delete(done);
        resolve();
      };
      const cancel = this.#clock.after(ms, done);
      this.#waiting.add(done);
    });
  }

  /** Takes what discovery says; each change is logged once. */
  note({ reachable, reason, hint }: Omit<ReachabilityInfo, "since">): void {
    const before = this.#info;
    if (reachable === before.reachable && reason === before.reason) return;
    this.#info = {
      reachable,
      ...(reason === undefined ? {} : { reason }),
      ...(hint === undefined ? {} : { hint }),
      since: reachable === before.reachable && before.since !== undefined
        ? before.since
        : new Date(this.#clock.now()).toISOString(),
    };
    if (reachable === before.reachable) return;
    if (reachable) { for (const done of [...this.#waiting]) done(); }
    this.#log.warn(
      reachable ? "The cluster is reachable again" : "The cluster is unreachable",
      { reason },
    );
  }
}
