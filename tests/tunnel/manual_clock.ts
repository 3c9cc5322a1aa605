import type { Clock } from "../../src/model/clock.ts";

/** A clock that stands still until it is advanced. Real sockets go on meanwhile. */
export class ManualClock implements Clock {
  #now = 1_000_000;
  /** Added to the wall clock only: a machine that slept. */
  slept = 0;
  #timers: { at: number; callback: () => void }[] = [];

  now(): number {
    return this.#now + this.slept;
  }

  monotonic(): number {
    return this.#now;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  /** Timers set and neither run nor cancelled. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Moves on in small steps, giving sockets a few turns of the loop after each. */
  async advance(ms: number, step = 250): Promise<void> {
    for (const end = this.#now + ms; this.#now < end;) {
      this.#now = Math.min(end, this.#now + step);
      for (;;) {
        const due = this.#timers.filter((timer) => timer.at <= this.#now);
        if (due.length === 0) break;
        this.#timers = this.#timers.filter((timer) => timer.at > this.#now);
        for (const timer of due) timer.callback();
        await Promise.resolve();
      }
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
}
