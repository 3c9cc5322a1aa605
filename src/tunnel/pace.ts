/** Over how long is measured, in ms: what is over sooner is not affected. */
const WINDOW_MS = 20;
/** From here on a transfer is fast, in bytes per ms: several TLS records arrive in each. */
const FAST = 64 * 1024;
/** What comes between two waits, in bytes, when it trickles in: less than four TLS records. */
const LITTLE = 64 * 1024;
/** More than this after a rest, in bytes, and it was too long: what lay so long is in no cache any more. */
const MUCH = 2 * 1024 * 1024;
/** So many trickles in a row before a rest: after a rest that was too long twice as many, and so on. */
const LEAST_TRICKLES = 2;
const MOST_TRICKLES = 64;

/**
 * How a link's bytes arrive within a fast transfer. An API server passes on one TLS record after
 * the other: where reading is faster than that, each wakes up the process, which costs more than
 * the record itself (docs/decisions/0147).
 */
export class Pace {
  #from = Number.NEGATIVE_INFINITY;
  #bytes = 0;
  #fast = false;
  #sinceWait = 0;
  #trickles = 0;
  #rested = false;
  #patience = LEAST_TRICKLES;

  /** True within a fast transfer. */
  get fast(): boolean {
    return this.#fast;
  }

  /** `bytes` came; `now` in ms. */
  count(bytes: number, now: number): void {
    this.#sinceWait += bytes;
    this.#bytes += bytes;
    const ms = now - this.#from;
    if (ms < WINDOW_MS) return;
    this.#fast = this.#bytes >= ms * FAST;
    this.#from = now;
    this.#bytes = 0;
    if (this.#fast) return;
    this.#trickles = 0;
    this.#rested = false;
  }

  /** The read just counted had to wait. True when it is better to leave the link alone for a while. */
  waited(): boolean {
    const came = this.#sinceWait;
    this.#sinceWait = 0;
    if (this.#rested) {
      this.#rested = false;
      this.#patience = came > MUCH
        ? Math.min(this.#patience * 2, MOST_TRICKLES)
        : Math.max(this.#patience / 2, LEAST_TRICKLES);
    }
    this.#trickles = came < LITTLE ? this.#trickles + 1 : 0;
    if (this.#trickles < this.#patience) return false;
    this.#trickles = 0;
    this.#rested = true;
    return true;
  }
}
