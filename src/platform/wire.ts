import { type ByteConn, writeAll } from "./net.ts";

/** What hears of a connection; one at a time. */
export interface WireListener {
  data(chunk: Uint8Array): void;
  /** The end, once: with an error when it was not an orderly one. */
  end(error?: Error): void;
}

/** Bytes asked for at once: two TLS records. */
const READ_SIZE = 32_768;

/** A connection that tells of what comes, for a server that may speak at any time. */
export class Wire {
  readonly #conn: ByteConn;
  #listener: WireListener | undefined;
  #paused = false;
  #reading = false;
  #writing: Promise<void> = Promise.resolve();
  #ended: { readonly error?: Error } | undefined;
  destroyed = false;

  constructor(conn: ByteConn) {
    this.#conn = conn;
  }

  /** Sends in order, without waiting; a failure is told to the listener. */
  write(data: Uint8Array): void {
    this.#writing = this.#writing.then(() => writeAll(this.#conn, data))
      .catch((error) => this.#end(error));
  }

  /** Replaces the listener. */
  listen(listener: WireListener): void {
    this.#listener = listener;
    if (this.#ended) listener.end(this.#ended.error);
    else this.#read();
  }

  /** Stops and goes on reading, for back-pressure. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#read();
  }

  /** Closes at once; the listener hears nothing more. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#listener = undefined;
    this.#conn.close();
  }

  async #read(): Promise<void> {
    if (this.#reading || this.#ended) return;
    this.#reading = true;
    try {
      while (!this.#paused && !this.destroyed) {
        const buffer = new Uint8Array(READ_SIZE);
        const count = await this.#conn.read(buffer);
        if (count === 0) return this.#end();
        // Small pieces (watch events) must not hold on to a whole buffer.
        const chunk = count < READ_SIZE / 2 ? buffer.slice(0, count) : buffer.subarray(0, count);
        this.#listener?.data(chunk);
      }
    } catch (error) {
      this.#end(error as Error);
    } finally {
      this.#reading = false;
    }
  }

  #end(error?: Error): void {
    if (this.#ended || this.destroyed) return;
    this.#ended = error ? { error } : {};
    this.#listener?.end(error);
  }
}
