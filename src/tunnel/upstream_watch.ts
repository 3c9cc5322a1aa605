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
  /**
   * When PINGs were sent behind the bytes of connections given up, the oldest
   * unanswered one first: those bytes may be what is not taken.
   */
  readonly #orphans: number[] = [];

  /** `ping` sends one and calls `done` when it is answered. */
  constructor(ping: (done: () => void) => void) {
    this.#ping = ping;
  }

  get hasOrphans(): boolean {
    return this.#orphans.length > 0;
  }

  /** A connection was given up that has sent much. */
  orphaned(now: number): void {
    this.#orphans.push(now);
    this.#ping(() => this.#orphans.shift());
  }

  /** For how long an answer has been missing, in ms; 0 when none is. */
  overdue(now: number): number {
    return now - (this.#askedAt ?? this.#orphans[0] ?? now);
  }

  /**
   * True when the far end reads no more. `waiting`: connections whose bytes
   * have had no answer since `now - ASK_MS`, of `streams` in all. One that
   * waits alone may be the upload that its pod does not take, and that is
   * nobody else's trouble.
   */
  tick(now: number, waiting: number, streams: number): boolean {
    const orphanedAt = this.#orphans[0];
    if (orphanedAt !== undefined && (waiting > 0 || streams === 0)) {
      return now - orphanedAt >= ANSWER_MS;
    }
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

  /** Nothing can be heard at the moment: a question still open means nothing. */
  forget(): void {
    this.#askedAt = undefined;
  }

  /** Something can be heard again since `now`. */
  resumed(now: number): void {
    this.#orphans.fill(now);
  }
}
