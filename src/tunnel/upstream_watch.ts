import { LANES } from "./lanes.ts";

/** How long connections may wait for an answer before the far end is asked, in ms; also between two questions. */
export const ASK_MS = 3000;
/** How long its answer may take, in ms: several times what a slow line has in its buffers. */
const ANSWER_MS = 7000;

/** PINGs sent together, one into each lane. */
interface Question {
  at: number;
  /** Lanes that have not answered. */
  readonly open: Set<number>;
}

/** One that was sent behind the bytes of a connection given up, which lie in this lane. */
interface Orphan extends Question {
  readonly lane: number;
}

/**
 * Whether the far end still reads. What a pod does not take stops what is sent
 * in the same lane, and soon everything sent over its link, while other
 * connections may go on receiving: then neither silence nor a write that waits
 * shows it, because the sockets on the way hold megabytes. A PING behind all of
 * it does, in each lane.
 */
export class UpstreamWatch {
  readonly #ping: (done: () => void) => number;
  #question: Question | undefined;
  #lastAsked = Number.NEGATIVE_INFINITY;
  /**
   * Sent behind the bytes of connections given up, the oldest first: those
   * bytes may be what is not taken.
   */
  #orphans: Orphan[] = [];
  /** By lane, until when all that was sent has been read for certain. */
  readonly #readUntil = new Array<number>(LANES).fill(Number.NEGATIVE_INFINITY);

  /** `ping` sends one, returns its lane, and calls `done` when it is answered. */
  constructor(ping: (done: () => void) => number) {
    this.#ping = ping;
  }

  get hasOrphans(): boolean {
    return this.#orphans.some(inTheWay);
  }

  /** Lanes in which bytes of connections given up may lie. */
  get orphanLanes(): readonly number[] {
    if (this.#orphans.length === 0) return NONE;
    return this.#orphans.filter(inTheWay).map(({ lane }) => lane);
  }

  /** All that was sent in this lane before this time has been read, as an answered PING proves. */
  readUntil(lane: number): number {
    return this.#readUntil[lane]!;
  }

  /** A connection has ended whose bytes may lie in this lane. */
  orphaned(now: number, lane: number): void {
    this.#orphans = this.#orphans.filter(inTheWay);
    this.#orphans.push({ ...this.#ask(now), lane });
  }

  /** For how long an answer has been missing, in ms; 0 when none is. */
  overdue(now: number): number {
    let since = now;
    for (const orphan of this.#orphans) if (inTheWay(orphan)) since = Math.min(since, orphan.at);
    if (this.#question !== undefined && this.#question.open.size > 0) {
      since = Math.min(since, this.#question.at);
    }
    return now - since;
  }

  /**
   * The lanes that are read no more, with whether a connection given up may be
   * the reason. `waiting`: connections whose bytes have had no answer since
   * `now - ASK_MS` and may not have been read, of `streams` in all.
   */
  tick(now: number, waiting: number, streams: number): ReadonlyMap<number, boolean> {
    const stuck = new Map<number, boolean>();
    this.#orphans = this.#orphans.filter(inTheWay);
    for (const { at, open, lane } of this.#orphans) {
      if (now - at < ANSWER_MS || (waiting === 0 && streams > 0)) continue;
      for (const one of open) if (one === lane || open.size === LANES) stuck.set(one, true);
    }
    if (waiting === 0) {
      this.forget();
    } else if (this.#question !== undefined && this.#question.open.size > 0) {
      if (now - this.#question.at < ANSWER_MS) return stuck;
      for (const lane of this.#question.open) if (!stuck.has(lane)) stuck.set(lane, false);
    } else if (now - this.#lastAsked >= ASK_MS) {
      this.#question = this.#ask(now);
      this.#lastAsked = now;
    }
    return stuck;
  }

  /** Nothing can be heard at the moment: a question still open means nothing. */
  forget(): void {
    this.#question = undefined;
  }

  /** Something can be heard again since `now`. */
  resumed(now: number): void {
    for (const question of this.#orphans) question.at = now;
  }

  #ask(at: number): Question {
    // `at` may be put off.
    const sentAt = at;
    const open = new Set<number>();
    for (let i = 0; i < LANES; i++) {
      const lane = this.#ping(() => {
        open.delete(lane);
        this.#readUntil[lane] = Math.max(this.#readUntil[lane]!, sentAt);
      });
      open.add(lane);
    }
    return { at, open };
  }
}

/** False once the lane has answered: what is silent in others is somebody else's. */
function inTheWay({ open, lane }: Orphan): boolean {
  return open.has(lane);
}

const NONE: readonly number[] = [];
