import type { ByteConn } from "../platform/net.ts";

/** Frames up to this size, in bytes, are copied together; larger ones go out from where they lie. */
const SMALL = 8 * 1024;
/** Size of one collecting buffer, in bytes. */
const BATCH = 32 * 1024;

/** Microtasks within which a read of a local socket that need not wait is done and sent on: 4 seen. */
const GATHER_TURNS = 6;

interface Item {
  bytes: Uint8Array;
  /** For collected small frames: how much of `bytes` is filled. */
  filled: number;
  readonly batch: boolean;
  done: (() => void) | undefined;
}

/**
 * The one writer of a connection: keeps frames in order, collects small ones
 * of many streams into one write, and gives back-pressure to large ones.
 */
export class LinkWriter {
  readonly #conn: ByteConn;
  readonly #failed: (error: unknown) => void;
  readonly #now: () => number;
  /** When the connection last took something, or the write under way began. */
  #movedAt = 0;
  #queue: Item[] = [];
  #running = false;
  #scheduled = false;
  #closed = false;
  #spare: Uint8Array | undefined;
  /** Bytes handed to the connection's write call so far. */
  written = 0;
  /** Bytes given to `write` so far. */
  queued = 0;

  /** `now`: monotonic time, in ms. */
  constructor(conn: ByteConn, failed: (error: unknown) => void, now: () => number) {
    this.#conn = conn;
    this.#failed = failed;
    this.#now = now;
  }

  /**
   * Queues a frame. Undefined: copied, the memory is free at once. A promise:
   * resolves when it has been written (or never will be).
   */
  write(frame: Uint8Array): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.queued += frame.length;
    if (!this.#scheduled && !this.#running) {
      this.#scheduled = true;
      void this.#start();
    }
    if (frame.length > SMALL) {
      return new Promise((done) =>
        this.#queue.push({ bytes: frame, filled: frame.length, batch: false, done })
      );
    }
    let last = this.#queue.at(-1);
    if (last === undefined || !last.batch || last.filled + frame.length > BATCH) {
      last = {
        bytes: this.#spare ?? new Uint8Array(BATCH),
        filled: 0,
        batch: true,
        done: undefined,
      };
      this.#spare = undefined;
      this.#queue.push(last);
    }
    last.bytes.set(frame, last.filled);
    last.filled += frame.length;
    if (this.#queue.length <= MAX_BATCHES) return undefined;
    // Many small frames against a slow link: let this sender wait for its batch.
    const item = last;
    return new Promise((done) => {
      const before = item.done;
      item.done = before === undefined ? done : () => {
        before();
        done();
      };
    });
  }

  /** True while more waits than should be added to (answers to PINGs are left out then). */
  get backlogged(): boolean {
    return this.#queue.length > MAX_BATCHES;
  }

  /** For how long the connection has taken nothing of what is to be written, in ms. */
  stuckFor(now: number): number {
    return this.#running ? now - this.#movedAt : 0;
  }

  /** Counts `stuckFor` from now on. */
  restartStuck(now: number): void {
    this.#movedAt = now;
  }

  /** True while a write is under way or waits. */
  get busy(): boolean {
    return this.#running || this.#queue.length > 0;
  }

  /** Drops what is queued; senders that wait are let go. */
  close(): void {
    this.#closed = true;
    for (const item of this.#queue.splice(0)) item.done?.();
  }

  /**
   * Waits for whatever else this turn of the loop brings, so that it goes out
   * in one write: a new stream's opening and the first bytes of a program that
   * has sent them already, the answers of many streams.
   */
  async #start(): Promise<void> {
    for (let turn = 0; turn < GATHER_TURNS; turn++) await undefined;
    this.#scheduled = false;
    if (!this.#running) await this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    let item: Item | undefined;
    try {
      for (item = this.#queue.shift(); item !== undefined; item = this.#queue.shift()) {
        this.written += item.filled;
        const bytes = item.filled === item.bytes.length
          ? item.bytes
          : item.bytes.subarray(0, item.filled);
        for (let at = 0; at < bytes.length;) {
          this.#movedAt = this.#now();
          at += await this.#conn.write(at === 0 ? bytes : bytes.subarray(at));
        }
        if (item.batch && this.#spare === undefined) this.#spare = item.bytes;
        item.done?.();
      }
    } catch (error) {
      item?.done?.();
      this.close();
      this.#failed(error);
    } finally {
      this.#running = false;
    }
  }
}

/** Collecting buffers that may wait before senders of small frames have to. */
const MAX_BATCHES = 4;
