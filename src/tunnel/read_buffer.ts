import type { Lease } from "./transport.ts";

/** First size of a link's read buffer, in bytes: an idle link costs no more. */
const SMALL = 20 * 1024;
/** Least room worth reading into, in bytes: one TLS record, which is the most a read from TLS brings. */
export const LEAST_ROOM = 17 * 1024;
/** Spare buffers kept for reuse, per link. */
const SPARES = 3;

/** One piece of read memory, lent to the connections its bytes belong to. */
export class ReadBuffer implements Lease {
  readonly bytes: Uint8Array;
  /** Where the next read goes. */
  fill = 0;
  #users = 0;
  readonly #free: (buffer: ReadBuffer) => void;

  constructor(size: number, free: (buffer: ReadBuffer) => void = () => {}) {
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

/**
 * The read memory of one link. One buffer is filled read by read; as soon as
 * nobody uses it any more it is filled from its beginning again, so a link
 * whose programs keep up works in one piece of cache.
 */
export class ReadBuffers {
  readonly #max: number;
  #current: ReadBuffer;
  #spare: ReadBuffer[] = [];

  /** `max` in bytes: the size once there is traffic. */
  constructor(max: number) {
    this.#max = Math.max(max, LEAST_ROOM);
    this.#current = this.#make(Math.min(SMALL, this.#max));
  }

  /** The buffer to read into, with room behind `fill`. */
  next(): ReadBuffer {
    const current = this.#current;
    if (!current.inUse) {
      // Small reads leave it small; once a read has filled it, it grows.
      if (current.size < this.#max && current.fill >= current.size - LEAST_ROOM + 1024) {
        this.#current = this.#make(this.#max);
      }
      this.#current.fill = 0;
      return this.#current;
    }
    if (current.size - current.fill >= LEAST_ROOM) return current;
    return this.#current = this.#spare.pop() ?? this.#make(this.#max);
  }

  #make(size: number): ReadBuffer {
    return new ReadBuffer(size, (buffer) => {
      if (buffer === this.#current || buffer.size !== this.#max) return;
      buffer.fill = 0;
      if (this.#spare.length < SPARES) this.#spare.push(buffer);
    });
  }
}
