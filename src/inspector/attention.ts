import type { Clock } from "../model/clock.ts";

/** `auto`: while somebody looks. */
export type CaptureMode = "auto" | "on" | "off";

/** After the last look capture goes on this long: a page being reloaded is not nobody. */
const LINGER_MS = 30_000;

/** Whether anybody with the token is looking; decides if anything is captured. */
export class Attention {
  mode: CaptureMode = "auto";
  readonly #clock: Clock;
  #viewers = 0;
  #until = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get watching(): boolean {
    if (this.mode !== "auto") return this.mode === "on";
    return this.#viewers > 0 || this.#clock.monotonic() < this.#until;
  }

  /** Somebody asked for requests. */
  touch(): void {
    this.#until = this.#clock.monotonic() + LINGER_MS;
  }

  /** Somebody follows the live stream, until the result is called. */
  enter(): () => void {
    this.#viewers++;
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#viewers--;
      this.touch();
    };
  }
}
