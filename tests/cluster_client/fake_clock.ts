import type { Clock } from "../../src/model/clock.ts";

/** Time that stands still until it is advanced; the wall clock can jump by itself (a machine that slept). */
export class FakeClock implements Clock {
  #now = 0;
  #wall = Date.UTC(2026, 10, 22);
  #timers = new Set<{ readonly at: number; readonly run: () => void }>();

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, run: callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const cancel = this.after(ms, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      const onAbort = () => {
        cancel();
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  get waiting(): number {
    return this.#timers.size;
  }

  /** Runs every timer due within `ms`, in order, each at its own time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    while (true) {
      const next = [...this.#timers].filter((timer) => timer.at <= end)
        .sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers.delete(next);
      this.#pass(next.at - this.#now);
      next.run();
    }
    this.#pass(end - this.#now);
  }

  /** The machine slept: the wall clock went on, nothing ran. */
  jump(ms: number): void {
    this.#wall += ms;
  }

  #pass(ms: number): void {
    this.#now += ms;
    this.#wall += ms;
  }
}
