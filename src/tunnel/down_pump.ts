import type { ByteConn } from "../platform/net.ts";
import { concat } from "./frames.ts";
import type { Lease } from "./transport.ts";

/** Bytes that may wait for a program that does not read, per connection, before its link is held up. */
export const HIGH_WATER = 512 * 1024;
/** Where reading goes on again. */
const LOW_WATER = 128 * 1024;
/** What one waiting piece counts besides its bytes: its objects in memory. */
const PIECE_COST = 128;
/** Small waiting pieces are put together up to this size, in bytes. */
const GATHER = 64 * 1024;

interface Piece {
  readonly bytes: Uint8Array;
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

/**
 * The half of a relay that writes to the local program: straight from the
 * link's read memory when the program keeps up, from a bounded queue when not.
 */
export class DownPump {
  readonly #conn: ByteConn;
  readonly #events: DownPumpEvents;
  #current: Uint8Array | undefined;
  #lease: Lease | undefined;
  #queue: Piece[] = [];
  #queued = 0;
  #choked = false;
  #closed = false;

  constructor(conn: ByteConn, events: DownPumpEvents) {
    this.#conn = conn;
    this.#events = events;
  }

  /** True while something is not yet written. */
  get busy(): boolean {
    return this.#current !== undefined;
  }

  /** Bytes are lent: kept under the lease, or copied. */
  push(bytes: Uint8Array, lease: Lease): void {
    if (this.#closed) return;
    if (this.#current === undefined) {
      lease.retain();
      return this.#write({ bytes, lease });
    }
    // A large piece is most of its buffer and stays there; a small one must not pin it.
    if (bytes.length * 2 >= lease.size) {
      lease.retain();
      this.#queue.push({ bytes, lease });
    } else {
      this.#queue.push({ bytes: bytes.slice(), lease: undefined });
    }
    this.#queued += bytes.length + PIECE_COST;
    if (this.#queued > HIGH_WATER && !this.#choked) {
      this.#choked = true;
      this.#events.choke(true);
    }
  }

  /** Gives back all memory; nothing is written any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // The write under way still reads from its memory: that lease ends with it.
    for (const piece of this.#queue) piece.lease?.release();
    this.#queue = [];
    this.#queued = 0;
  }

  #write(piece: Piece): void {
    this.#current = piece.bytes;
    this.#lease = piece.lease;
    this.#conn.write(piece.bytes).then(this.#onWritten, this.#onFailed);
  }

  readonly #onWritten = (count: number): void => {
    const current = this.#current!;
    if (count < current.length && !this.#closed) {
      this.#current = current.subarray(count);
      if (this.#choked) this.#events.choke(true);
      this.#conn.write(this.#current).then(this.#onWritten, this.#onFailed);
      return;
    }
    this.#lease?.release();
    this.#lease = undefined;
    this.#current = undefined;
    if (this.#closed) return;
    const next = this.#next();
    if (this.#choked) {
      this.#choked = this.#queued > LOW_WATER;
      this.#events.choke(this.#choked);
    }
    if (next !== undefined) this.#write(next);
    else this.#events.idle();
  };

  readonly #onFailed = (error: unknown): void => {
    this.#lease?.release();
    this.#lease = undefined;
    this.#current = undefined;
    if (this.#closed) return;
    this.close();
    this.#events.failed(error);
  };

  #next(): Piece | undefined {
    const first = this.#queue.shift();
    if (first === undefined) return undefined;
    this.#queued -= first.bytes.length + PIECE_COST;
    if (first.lease !== undefined || this.#queue.length === 0) return first;
    const parts = [first.bytes];
    let size = first.bytes.length;
    while (this.#queue.length > 0) {
      const { bytes, lease } = this.#queue[0]!;
      if (lease !== undefined || size + bytes.length > GATHER) break;
      this.#queue.shift();
      this.#queued -= bytes.length + PIECE_COST;
      parts.push(bytes);
      size += bytes.length;
    }
    return { bytes: parts.length === 1 ? first.bytes : concat(parts), lease: undefined };
  }
}
