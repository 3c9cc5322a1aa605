import type { Socket } from "node:net";

/** What hears of a connection; one at a time. */
export interface WireListener {
  data(chunk: Uint8Array): void;
  /** The end, once: with an error when it was not an orderly one. */
  end(error?: Error): void;
}

/** A byte stream to a server, over whichever API could open it. */
export interface Wire {
  /** Sends in order, without waiting; a failure is told to the listener. */
  write(data: Uint8Array): void;
  /** Replaces the listener. */
  listen(listener: WireListener): void;
  /** Stops and goes on reading, for back-pressure. */
  pause(): void;
  resume(): void;
  /** Closes at once; the listener hears nothing more. */
  destroy(): void;
  readonly destroyed: boolean;
}

/** Bytes asked for at once: two TLS records. */
const READ_SIZE = 32_768;

/** A connection of Deno's own API. */
export class DenoWire implements Wire {
  readonly #conn: Deno.Conn;
  #listener: WireListener | undefined;
  #paused = false;
  #reading = false;
  #writing: Promise<void> = Promise.resolve();
  #ended: { readonly error?: Error } | undefined;
  destroyed = false;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  write(data: Uint8Array): void {
    this.#writing = this.#writing.then(async () => {
      for (let at = 0; at < data.length;) at += await this.#conn.write(data.subarray(at));
    }).catch((error) => this.#end(error));
  }

  listen(listener: WireListener): void {
    this.#listener = listener;
    if (this.#ended) listener.end(this.#ended.error);
    else this.#read();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#read();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#listener = undefined;
    try {
      this.#conn.close();
    } catch {
      // Closed by a failure.
    }
  }

  async #read(): Promise<void> {
    if (this.#reading || this.#ended) return;
    this.#reading = true;
    try {
      while (!this.#paused && !this.destroyed) {
        const buffer = new Uint8Array(READ_SIZE);
        const count = await this.#conn.read(buffer);
        if (count === null) return this.#end();
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

/** A node:tls socket, for what Deno's own API cannot do. */
export class NodeWire implements Wire {
  readonly #socket: Socket;
  #listener: WireListener | undefined;
  #ended: { readonly error?: Error } | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => this.#listener?.data(chunk));
    socket.on("error", (error: Error) => this.#end(error));
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  write(data: Uint8Array): void {
    this.#socket.write(data);
  }

  listen(listener: WireListener): void {
    this.#listener = listener;
    if (this.#ended) listener.end(this.#ended.error);
    else this.#socket.resume();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#listener = undefined;
    this.#socket.destroy();
  }

  #end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = error ? { error } : {};
    this.#listener?.end(error);
  }
}
