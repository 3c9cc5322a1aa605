/** How long connections may wait for an answer before the far end is asked, in ms; also between two questions. */
export const ASK_MS = 3000;
/** How long its answer may take, in ms: several times what a slow line has in its buffers. */
const ANSWER_MS = 7000;

/**
 * Whether the far end still reads. What a pod does not take stops everything
 * sent over its link, while other connections may go on receiving: then
 * neither silence nor a write that waits shows it, because the sockets on the
 * way hold megabytes. A PING behind all of it does.
 */
export class UpstreamWatch {
  readonly #ping: (done: () => void) => void;
  #askedAt: number | undefined;
  #asked = 0;
  #lastAsked = Number.NEGATIVE_INFINITY;

  /** `ping` sends one and calls `done` when it is answered. */
  constructor(ping: (done: () => void) => void) {
    this.#ping = ping;
  }

  /**
   * True when the far end reads no more. `waiting`: connections whose bytes
   * have had no answer since `now - ASK_MS`; one alone may be the upload that
   * its pod does not take, and that is nobody else's trouble.
   */
  tick(now: number, waiting: number): boolean {
    if (waiting < 2) {
      this.forget();
      return false;
    }
    if (this.#askedAt !== undefined) return now - this.#askedAt >= ANSWER_MS;
    if (now - this.#lastAsked < ASK_MS) return false;
    this.#askedAt = this.#lastAsked = now;
    const asked = ++this.#asked;
    this.#ping(() => {
      if (asked === this.#asked) this.#askedAt = undefined;
    });
    return false;
  }

  /** Nothing can be heard at the moment, or nobody waits: a question still open means nothing. */
  forget(): void {
    this.#askedAt = undefined;
  }
}
