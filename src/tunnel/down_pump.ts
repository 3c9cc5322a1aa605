import type { ByteConn } from "../platform/net.ts";
import type { Lease } from "./transport.ts";

/** Bytes that may wait for a program that does not read, per connection, before its link is held up. */
export const HIGH_WATER = 512 * 1024;
/** Where reading goes on again. */
const LOW_WATER = 128 * 1024;
/** Pieces below this size, in bytes, are copied together rather than kept in the link's read memory. */
const GATHER_BELOW = 64 * 1024;
/** Pieces below this are not worth waiting for more. */
const DEFER_FROM = 4 * 1024;
/** From here on a write of its own costs less than a copy into a larger one. */
const DIRECT_FROM = 24 * 1024;
/** Sizes of a gathering buffer, in bytes: the small one for a trickle. */
const GATHER_SMALL = 16 * 1024;
const GATHER_SIZE = 128 * 1024;
/** Gathering buffers of full size kept for reuse, all links together. */
const SPARES = 40;

interface Chunk {
  bytes: Uint8Array;
  /** How much of `bytes` is filled: all, unless it is being gathered. */
  filled: number;
  readonly gathered: boolean;
  /** Set when the bytes lie in the link's read memory. */
  readonly lease: Lease | undefined;
}

export interface DownPumpEvents {
  /** The program is behind (also called again whenever it took something meanwhile), or no longer. */
  choke(choked: boolean): void;
  /** Everything pushed so far is written. */
  idle(): void;
  /** The program is gone. */
  failed(error: unknown): void;
}

const spare: Uint8Array[] = [];

/**
 * The half of a relay that writes to the local program: straight from the
 * link's read memory when the program keeps up, from a bounded queue when not.
 * Every write wakes the program, which costs more than copying 32 KiB: what is
 * known to be followed by more is gathered first.
 */
export class DownPump {
  readonly #conn: ByteConn;
  readonly #events: DownPumpEvents;
  #writing: Chunk | undefined;
  #at = 0;
  #queue: Chunk[] = [];
  #queued = 0;
  #choked = false;
  #closed = false;

  constructor(conn: ByteConn, events: DownPumpEvents) {
    this.#conn = conn;
    this.#events = events;
  }

  /** True while something is not yet written. */
  get busy(): boolean {
    return this.#writing !== undefined || this.#queue.length > 0;
  }

  /**
   * Bytes are lent: kept under the lease, or copied. With `more` the caller
   * promises `flush` soon; then they may wait for it.
   */
  push(bytes: Uint8Array, lease: Lease, more: boolean): void {
    if (this.#closed) return;
    const { length } = bytes;
    const small = length < GATHER_BELOW;
    const wait = this.busy || more && length < DIRECT_FROM && length >= DEFER_FROM;
    if (wait && small) {
      this.#gather(bytes);
    } else {
      lease.retain();
      this.#queue.push({ bytes, filled: length, gathered: false, lease });
    }
    this.#queued += length;
    if (!wait || !more && this.#writing === undefined) this.flush();
    else if (this.#queued >= GATHER_SIZE && this.#writing === undefined) this.flush();
    if (this.#queued > HIGH_WATER && !this.#choked) {
      this.#choked = true;
      this.#events.choke(true);
    }
  }

  /** Writes what waits, unless a write is under way. */
  flush(): void {
    if (this.#writing !== undefined || this.#closed) return;
    const next = this.#queue.shift();
    if (next === undefined) return;
    this.#queued -= next.filled;
    this.#writing = next;
    this.#at = 0;
    this.#write(next);
  }

  /** Gives back all memory; nothing is written any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // The write under way still reads from its memory: that ends with it.
    for (const chunk of this.#queue) free(chunk);
    this.#queue = [];
    this.#queued = 0;
  }

  #gather(bytes: Uint8Array): void {
    let last = this.#queue.at(-1);
    if (last === undefined || !last.gathered || last.bytes.length - last.filled < bytes.length) {
      const size = bytes.length < DEFER_FROM ? GATHER_SMALL : GATHER_SIZE;
      last = {
        bytes: size === GATHER_SIZE ? spare.pop() ?? new Uint8Array(size) : new Uint8Array(size),
        filled: 0,
        gathered: true,
        lease: undefined,
      };
      this.#queue.push(last);
    }
    last.bytes.set(bytes, last.filled);
    last.filled += bytes.length;
  }

  #write(chunk: Chunk): void {
    const whole = this.#at === 0 && chunk.filled === chunk.bytes.length;
    const bytes = whole ? chunk.bytes : chunk.bytes.subarray(this.#at, chunk.filled);
    this.#conn.write(bytes).then(this.#onWritten, this.#onFailed);
  }

  readonly #onWritten = (count: number): void => {
    const chunk = this.#writing!;
    this.#at += count;
    if (this.#at < chunk.filled && !this.#closed) {
      if (this.#choked) this.#events.choke(true);
      return this.#write(chunk);
    }
    free(chunk);
    this.#writing = undefined;
    if (this.#closed) return;
    this.flush();
    if (this.#choked) {
      this.#choked = this.#queued > LOW_WATER;
      this.#events.choke(this.#choked);
    }
    if (this.#writing === undefined) this.#events.idle();
  };

  readonly #onFailed = (error: unknown): void => {
    free(this.#writing!);
    this.#writing = undefined;
    if (this.#closed) return;
    this.close();
    this.#events.failed(error);
  };
}

function free(chunk: Chunk): void {
  chunk.lease?.release();
  if (chunk.gathered && chunk.bytes.length === GATHER_SIZE && spare.length < SPARES) {
    spare.push(chunk.bytes);
  }
}
