import type { Clock } from "../model/clock.ts";

/**
 * Turns a burst of `poke`s into one call: after `quietMs` without another, and
 * at the latest `maxMs` after the first.
 */
export class Coalescer {
  readonly #clock: Clock;
  readonly #quietMs: number;
  readonly #maxMs: number;
  readonly #run: () => void;
  #cancel: (() => void) | undefined;
  #first = 0;

  constructor(clock: Clock, quietMs: number, maxMs: number, run: () => void) {
    this.#clock = clock;
    this.#quietMs = quietMs;
    this.#maxMs = maxMs;
    this.#run = run;
  }

  poke(): void {
    const now = this.#clock.monotonic();
    if (this.#cancel) this.#cancel();
    else this.#first = now;
    const wait = Math.max(0, Math.min(this.#quietMs, this.#first + this.#maxMs - now));
    this.#cancel = this.#clock.after(wait, () => this.flush());
  }

  /** Calls now, if anything is due or not. */
  flush(): void {
    this.close();
    this.#run();
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
