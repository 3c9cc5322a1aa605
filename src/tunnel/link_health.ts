import { LANES } from "./lanes.ts";

/** How long a link in use may be silent before it is asked, in ms. */
export const PING_BUSY_MS = 3000;
/** The same for a link without streams, in ms. */
export const PING_IDLE_MS = 5000;
/** How long an answer may take, in ms. Two missed: 3,000 + 2 * 3,500 ms, below the 15 s promised. */
export const PING_ANSWER_MS = 3500;

/** Two missed answers are the end of a link. */
const MAX_MISSED = 2;

/**
 * Whether the far end is still there. A network that went away says nothing
 * at all, so silence is answered with a PING; anything heard counts as life,
 * so a link with traffic is never asked.
 */
export class LinkHealth {
  readonly #send: (id: number) => void;
  heardAt: number;
  /** Odd ids are the client's. */
  #id = 1;
  #sent = 0;
  #sentAt: number | undefined;
  #missed = 0;
  #waiting: { id: number; done: () => void }[] = [];

  constructor(now: number, send: (id: number) => void) {
    this.heardAt = now;
    this.#send = send;
  }

  /** True while an answer is overdue: new streams better go elsewhere. */
  get suspect(): boolean {
    return this.#missed > 0;
  }

  heard(now: number): void {
    this.heardAt = now;
    this.#sentAt = undefined;
    this.#missed = 0;
  }

  /** Sends a PING; `done` is called when it is answered. Returns its lane. */
  ping(now: number, done?: () => void): number {
    const id = this.#id;
    this.#id = (this.#id + 2) & 0x7fffffff;
    if (done !== undefined) this.#waiting.push({ id, done });
    this.#sentAt = now;
    this.#send(id);
    return this.#sent++ % LANES;
  }

  /** Answers the far end's own PING: it takes a turn among its lanes like any other. */
  answer(id: number): void {
    this.#sent++;
    this.#send(id);
  }

  /** One into each lane; `done` is called with the first answer. */
  pingAll(now: number, done?: () => void): void {
    for (let i = 0; i < LANES; i++) this.ping(now, done);
  }

  answered(id: number): void {
    const index = this.#waiting.findIndex((waiting) => waiting.id === id);
    if (index >= 0) this.#waiting.splice(index, 1)[0]!.done();
  }

  /**
   * `writing`: a write is under way. Then the far end may just not be reading
   * (a pod that takes nothing), which looks the same as a dead network: the
   * link takes no new streams, but is left to TCP to end.
   */
  tick(now: number, busy: boolean, writing: boolean): "fine" | "dead" {
    if (this.#sentAt === undefined) {
      if (now - this.heardAt >= (busy ? PING_BUSY_MS : PING_IDLE_MS)) this.ping(now);
      return "fine";
    }
    if (now - this.#sentAt < PING_ANSWER_MS) return "fine";
    this.#missed++;
    if (writing) {
      this.#sentAt = now;
      return "fine";
    }
    if (this.#missed >= MAX_MISSED) return "dead";
    // The first may lie in a lane that is held up.
    this.pingAll(now);
    return "fine";
  }

  /** An answer may lie unread: its time begins anew. */
  stoodStill(now: number): void {
    if (this.#sentAt !== undefined) this.#sentAt = now;
  }

  close(): void {
    this.#waiting = [];
  }
}
