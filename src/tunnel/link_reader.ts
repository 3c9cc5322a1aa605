import type { ByteConn } from "../platform/net.ts";
import { Pace } from "./pace.ts";
import { LEAST_ROOM, ReadBuffer, ReadBuffers } from "./read_buffer.ts";
import type { Lease } from "./transport.ts";

/** Microtasks within which a read that need not wait is done: 2 seen. */
const READ_TURNS = 4;
/** How long a link is left alone within a fast transfer that trickles in, in ms. */
const REST_MS = 1;

/** Who gets bytes: a stream. */
export interface Receiver {
  podSent(bytes: Uint8Array, lease: Lease, more: boolean): void;
  flush(): void;
}

export interface LinkReaderOptions {
  readonly conn: ByteConn;
  /** Size of a read buffer, in bytes. */
  readonly readSize: number;
  /** Bytes of one stream gathered from several reads before they are passed on, at most. */
  readonly holdSize: number;
  /** Monotonic time, in ms. */
  now(): number;
  after(ms: number, callback: () => void): () => void;
  /** Takes what was read apart, and calls `hold` for what is a stream's. May throw. */
  parse(bytes: Uint8Array): void;
  /** Something came, at `now`. */
  heard(now: number): void;
}

/**
 * The reading side of a link: reads into lent memory, has it taken apart, and
 * passes on to each stream as much at once as has come for it.
 */
export class LinkReader {
  readonly #options: LinkReaderOptions;
  readonly #buffers: ReadBuffers;
  #closed = false;
  #paused = false;
  #resume: (() => void) | undefined;
  #reading: ReadBuffer | undefined;
  /** The read under way is done. */
  #arrived = false;
  readonly #pace = new Pace();
  /** Piece of the current read not yet passed on: joined with the next one of the same stream. */
  #held: Receiver | undefined;
  #heldFrom = 0;
  #heldTo = 0;
  /** Streams that were passed bytes with the promise of a flush. */
  readonly #unflushed = new Set<Receiver>();

  constructor(options: LinkReaderOptions) {
    this.#options = options;
    this.#buffers = new ReadBuffers(options.readSize);
  }

  /**
   * Reads until the far end ends or `close`, beginning with `rest`, which came
   * before. Throws what reading and parsing throw.
   */
  async run(rest: Uint8Array): Promise<void> {
    const { conn, heard, now } = this.#options;
    if (rest.length > 0) {
      const buffer = new ReadBuffer(rest.length);
      buffer.bytes.set(rest);
      this.#feed(buffer, rest.length);
      this.passAll();
    }
    while (!this.#closed) {
      if (this.#paused) {
        this.passAll();
        await new Promise<void>((resolve) => this.#resume = resolve);
        this.#resume = undefined;
        continue;
      }
      const buffer = this.#held === undefined ? this.#buffers.next() : this.#reading!;
      const reading = conn.read(buffer.bytes.subarray(buffer.fill));
      const { fast } = this.#pace;
      if (fast || this.#held !== undefined || this.#unflushed.size > 0) {
        this.#arrived = false;
        reading.then(this.#seen, this.#seen);
        for (let turn = 0; turn < READ_TURNS && !this.#arrived; turn++) await undefined;
        if (!this.#arrived) this.passAll();
      }
      const waits = fast && !this.#arrived;
      const count = await reading;
      if (count === 0) return;
      const at = now();
      heard(at);
      this.#pace.count(count, at);
      this.#feed(buffer, count);
      if (this.#held !== undefined && !this.#mayHoldMore(buffer)) this.pass();
      if (waits && this.#pace.fast && this.#pace.waited()) {
        this.passAll();
        await this.#rest();
      }
    }
  }

  /** Reads nothing more until it is called with `false`. */
  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.#resume?.();
  }

  /**
   * Bytes of a stream, within what is being parsed. Frames are cut at the far
   * end's convenience (32 KiB, or one small write each). Those of one stream
   * that came in one read are moved together over the 8 bytes between them and
   * passed on as one: a short move in cache costs less than one more write call.
   */
  hold(stream: Receiver, bytes: Uint8Array): void {
    const buffer = this.#reading!.bytes;
    const from = bytes.byteOffset - buffer.byteOffset;
    if (this.#held === stream) {
      // Within one frame it lies in its place already, and a move onto itself costs a move.
      if (from !== this.#heldTo) buffer.copyWithin(this.#heldTo, from, from + bytes.length);
      this.#heldTo += bytes.length;
      return;
    }
    this.pass();
    this.#held = stream;
    this.#heldFrom = from;
    this.#heldTo = from + bytes.length;
  }

  /** Passes on what is held; more of the same stream may be about to follow. */
  pass(): void {
    const stream = this.#held;
    if (stream === undefined) return;
    this.#held = undefined;
    const lease = this.#reading!;
    stream.podSent(lease.bytes.subarray(this.#heldFrom, this.#heldTo), lease, true);
    this.#unflushed.add(stream);
  }

  /** The same, and nothing follows for now. */
  passAll(): void {
    this.pass();
    for (const stream of this.#unflushed) stream.flush();
    this.#unflushed.clear();
  }

  /** The stream gets nothing any more. */
  forget(stream: Receiver): void {
    if (this.#held === stream) this.#held = undefined;
    this.#unflushed.delete(stream);
  }

  /** Ends `run` when the read under way does. */
  close(): void {
    this.#closed = true;
    this.pause(false);
  }

  readonly #seen = (): void => {
    this.#arrived = true;
  };

  /** A moment later there is more to read at once. */
  #rest(): Promise<void> {
    return new Promise((resolve) => this.#options.after(REST_MS, resolve));
  }

  #mayHoldMore(buffer: ReadBuffer): boolean {
    return this.#heldTo - this.#heldFrom < this.#options.holdSize &&
      buffer.size - buffer.fill >= LEAST_ROOM;
  }

  /** Parses `count` bytes that were read to where the buffer was filled. */
  #feed(buffer: ReadBuffer, count: number): void {
    const from = buffer.fill;
    buffer.fill = from + count;
    this.#reading = buffer;
    // Held while it is parsed: a stream that lets go must not free what others still get.
    buffer.retain();
    try {
      this.#options.parse(buffer.bytes.subarray(from, from + count));
    } finally {
      // What is held was moved together: the next read goes right behind it.
      if (this.#held !== undefined) buffer.fill = this.#heldTo;
      buffer.release();
    }
  }
}
