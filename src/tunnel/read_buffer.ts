import type { Lease } from "./transport.ts";

/** First size of a link's read buffer, in bytes: an idle link costs no more. */
const SMALL = 16 * 1024;
/** Spare buffers kept for reuse, per link. */
const SPARES = 4;

/** One piece of read memory, lent to the connections its bytes belong to. */
export class ReadBuffer implements Lease {
  readonly bytes: Uint8Array;
  #users = 0;
  readonly #free: (buffer: ReadBuffer) => void;

  constructor(size: number, free: (buffer: ReadBuffer) => void) {
    this.bytes = new Uint8Array(size);
    this.#free = free;
  }

  get size(): number {
    return this.bytes.length;
  }

  get inUse(): boolean {
    return this.#users > 0;
  }

  retain(): void {
    this.#users++;
  }

  release(): void {
    if (--this.#users === 0) this.#free(this);
  }
}

/** The read memory of one link: reused, growing only when reads fill it. */
export class ReadBuffers {
  readonly #max: number;
  #size: number;
  #spare: ReadBuffer[] = [];

  /** `max` in bytes: the largest single read. */
  constructor(max: number) {
    this.#max = max;
    this.#size = Math.min(SMALL, max);
  }

  take(): ReadBuffer {
    return this.#spare.pop() ?? new ReadBuffer(this.#size, (buffer) => this.give(buffer));
  }

  /** Back, once nobody uses it. */
  give(buffer: ReadBuffer): void {
    if (buffer.size === this.#size && this.#spare.length < SPARES) this.#spare.push(buffer);
  }

  /** Tells how much a read brought. */
  note(count: number, buffer: ReadBuffer): void {
    if (count < buffer.size || this.#size >= this.#max) return;
    this.#size = Math.min(this.#size * 4, this.#max);
    this.#spare = [];
  }
}
