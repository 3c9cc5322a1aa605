import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { ByteConn } from "../platform/net.ts";
import { maskSource } from "./carrier.ts";
import { classifyErrorText, TunnelError } from "./errors.ts";
import { LinkWriter } from "./link_writer.ts";
import { ReadBuffer, ReadBuffers } from "./read_buffer.ts";
import {
  HEAD_ROOM,
  type Link,
  type LinkState,
  type LinkStream,
  type PodRef,
  type StreamEvents,
} from "./transport.ts";
import {
  frameInPlace,
  OP_BINARY,
  OP_CLOSE,
  OP_PING,
  OP_PONG,
  smallFrame,
  WebSocketError,
  WebSocketParser,
} from "./websocket_frames.ts";

export interface ChannelsLinkOptions {
  readonly pod: PodRef;
  readonly conn: ByteConn;
  readonly rest: Uint8Array;
  readonly clock: Clock;
  readonly onClosed: (link: Link) => void;
  readonly readSize: number;
}

const DATA = 0;
const ERROR = 1;
/** Bytes of the port that begin each channel. */
const PORT_BYTES = 2;
const MAX_ERROR_TEXT = 4096;
/** How long the pod may stay silent after the program has ended its output, in ms: see `end`. */
const LINGER_MS = 5000;
/** How long after a pod's end its last bytes may take, in ms. */
const LAST_BYTES_MS = 3000;
/** Silence after which the server is asked, and how long it may take, in ms. */
const PING_MS = 3000;
const PING_ANSWER_MS = 3500;

/**
 * `v4.channel.k8s.io`: one WebSocket for one connection. The oldest way and
 * the one that passes where the others don't; it has no half-close.
 */
export class ChannelsLink implements Link {
  readonly mute = false;
  readonly pod: PodRef;
  readonly kind = "channels";
  readonly bulky = false;
  usedAt: number;
  state: LinkState = "open";

  readonly #options: ChannelsLinkOptions;
  readonly #conn: ByteConn;
  readonly #writer: LinkWriter;
  readonly #mask = maskSource();
  readonly #parser: WebSocketParser;
  readonly #buffers: ReadBuffers;
  #events: StreamEvents | undefined;
  #opened = false;
  #reading: ReadBuffer | undefined;
  /** Of the message being read: its channel, -1 before its first byte. */
  #channel = -1;
  readonly #portLeft = [PORT_BYTES, PORT_BYTES];
  #errorText = "";
  #choked = false;
  #unchoke: (() => void) | undefined;
  #payloadQueued = Number.POSITIVE_INFINITY;
  #cancelLinger: (() => void) | undefined;
  /** When the program ended its output. */
  #endedAt = Number.NEGATIVE_INFINITY;
  heardAt: number;
  /** When the pod last sent something, and when it ended. */
  #dataAt = Number.NEGATIVE_INFINITY;
  #diedAt = Number.POSITIVE_INFINITY;
  #pingAt: number | undefined;
  #probes: (() => void)[] = [];

  constructor(options: ChannelsLinkOptions) {
    this.#options = options;
    this.pod = options.pod;
    this.#conn = options.conn;
    this.usedAt = this.heardAt = options.clock.monotonic();
    this.#buffers = new ReadBuffers(options.readSize);
    this.#writer = new LinkWriter(
      options.conn,
      (error) => this.#lost(messageOf(error), error),
      () => options.clock.monotonic(),
    );
    this.#parser = new WebSocketParser({
      onPiece: (bytes, last) => this.#piece(bytes, last),
      onControl: (opcode, payload) => this.#controlFrame(opcode, payload),
    });
  }

  get streams(): number {
    return this.#events === undefined ? 0 : 1;
  }

  get takesStreams(): boolean {
    return this.state === "open" && !this.#opened;
  }

  /** The port is the one the WebSocket was opened for. */
  open(_port: number, events: StreamEvents): LinkStream {
    this.#opened = true;
    this.#events = events;
    // The caller hears of it as of any other end, after it has the stream in hand.
    if (this.state === "closed") queueMicrotask(() => this.#lost("it was closed"));
    else void this.#readLoop();
    return {
      link: this,
      ...this.#streamCalls(),
    };
  }

  #streamCalls(): Omit<LinkStream, "link"> {
    // deno-lint-ignore no-this-alias
    const link = this;
    return {
      get wrotePayload() {
        return link.#writer.written > link.#payloadQueued;
      },
      send: (buffer, length) => this.#send(buffer, length),
      end: () => this.#end(),
      abort: () => {
        this.#events = undefined;
        this.close();
      },
      choke: (choked) => {
        this.#choked = choked;
        if (choked) return;
        // What has not been read meanwhile was no silence of the pod's.
        this.#dataAt = this.#options.clock.monotonic();
        this.#unchoke?.();
      },
    };
  }

  probe(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, () => resolve(false));
      this.#probes.push(() => {
        cancel();
        resolve(true);
      });
      this.#ping();
    });
  }

  tick(now: number): void {
    if (this.state === "closed" || this.#choked) return;
    if (now - Math.max(this.#diedAt, this.#dataAt) >= LAST_BYTES_MS) {
      return this.#finish(new TunnelError("pod_gone", "The pod is gone"));
    }
    if (this.#pingAt !== undefined) {
      if (now - this.#pingAt > 2 * PING_ANSWER_MS && !this.#writer.busy) {
        this.#lost("it no longer answers");
      }
    } else if (now - this.heardAt > PING_MS) {
      this.#pingAt = now;
      this.#ping();
    }
  }

  stoodStill(now: number): void {
    if (this.#pingAt !== undefined) this.#pingAt = now;
  }

  drain(_reason: string): void {
    if (this.state !== "open") return;
    this.state = "draining";
    if (this.#events === undefined) this.close();
  }

  podDied(): void {
    this.drain("its pod is gone");
    this.#diedAt = this.#options.clock.monotonic();
  }

  close(error?: TunnelError): void {
    if (this.state === "closed") return;
    this.state = "closed";
    const events = this.#events;
    this.#events = undefined;
    this.#cancelLinger?.();
    this.#writer.close();
    this.#unchoke?.();
    this.#conn.close();
    events?.closed(
      error ?? new TunnelError("link_lost", "Connection to the pod lost: it was closed"),
    );
    this.#options.onClosed(this);
  }

  #send(buffer: Uint8Array, length: number): Promise<void> | undefined {
    if (this.state === "closed") return undefined;
    if (this.#payloadQueued === Number.POSITIVE_INFINITY) this.#payloadQueued = this.#writer.queued;
    const at = HEAD_ROOM - 1;
    buffer[at] = DATA;
    const start = frameInPlace(buffer, at, length + 1, OP_BINARY, this.#mask());
    return this.#writer.write(buffer.subarray(start, HEAD_ROOM + length));
  }

  /**
   * The protocol cannot tell the pod that the program's output has ended. What
   * the pod still sends is taken until it has been silent for LINGER_MS.
   */
  #end(): void {
    if (this.#endedAt > Number.NEGATIVE_INFINITY) return;
    this.#endedAt = this.#options.clock.monotonic();
    this.#linger();
  }

  #linger(): void {
    const { clock } = this.#options;
    // While the program's last bytes wait, or nothing is read, that proves nothing.
    const silentMs = this.#choked || this.#writer.busy
      ? 0
      : clock.monotonic() - Math.max(this.#dataAt, this.#endedAt);
    if (silentMs >= LINGER_MS) return this.#finish(undefined);
    this.#cancelLinger = clock.after(LINGER_MS - silentMs, () => this.#linger());
  }

  async #readLoop(): Promise<void> {
    // After `open` has returned: a stream must not end before its owner has it.
    await Promise.resolve();
    try {
      const { rest } = this.#options;
      if (rest.length > 0) {
        const buffer = new ReadBuffer(rest.length);
        buffer.bytes.set(rest);
        this.#feed(buffer, rest.length);
      }
      while (this.state !== "closed") {
        if (this.#choked) {
          await new Promise<void>((resolve) => this.#unchoke = resolve);
          this.#unchoke = undefined;
          continue;
        }
        const buffer = this.#buffers.next();
        const count = await this.#conn.read(buffer.bytes.subarray(buffer.fill));
        if (count === 0) return this.#ended();
        this.heardAt = this.#options.clock.monotonic();
        this.#pingAt = undefined;
        this.#feed(buffer, count);
      }
    } catch (error) {
      this.#lost(messageOf(error), error);
    }
  }

  #feed(buffer: ReadBuffer, count: number): void {
    const from = buffer.fill;
    buffer.fill = from + count;
    buffer.retain();
    this.#reading = buffer;
    try {
      this.#parser.push(buffer.bytes.subarray(from, from + count));
    } finally {
      this.#reading = undefined;
      buffer.release();
    }
  }

  #piece(piece: Uint8Array, last: boolean): void {
    let bytes = piece;
    if (this.#channel < 0 && bytes.length > 0) {
      this.#channel = bytes[0]!;
      if (this.#channel > ERROR) throw new WebSocketError(`Unknown channel ${this.#channel}`);
      bytes = bytes.subarray(1);
    }
    const channel = this.#channel;
    if (last) this.#channel = -1;
    if (channel < 0 || bytes.length === 0) return;
    const skip = Math.min(this.#portLeft[channel]!, bytes.length);
    this.#portLeft[channel]! -= skip;
    bytes = bytes.subarray(skip);
    if (bytes.length === 0) return;
    if (channel === DATA) {
      this.#dataAt = this.heardAt;
      this.#events?.data(bytes, this.#reading!, false);
    } else if (this.#errorText.length < MAX_ERROR_TEXT) {
      this.#errorText += new TextDecoder().decode(bytes);
    }
  }

  #controlFrame(opcode: number, payload: Uint8Array): void {
    if (opcode === OP_PING) {
      if (!this.#writer.backlogged) this.#writer.write(smallFrame(OP_PONG, payload, this.#mask()));
    } else if (opcode === OP_PONG) {
      for (const done of this.#probes.splice(0)) done();
    } else if (opcode === OP_CLOSE) {
      this.#ended();
    }
  }

  #ping(): void {
    if (!this.#writer.backlogged) {
      this.#writer.write(smallFrame(OP_PING, new Uint8Array(0), this.#mask()));
    }
  }

  /** The server has closed the WebSocket: the connection's end, and its error text says which kind. */
  #ended(): void {
    this.#finish(this.#errorText === "" ? undefined : classifyErrorText(this.#errorText));
  }

  #finish(error: TunnelError | undefined): void {
    const events = this.#events;
    this.#events = undefined;
    if (error === undefined) events?.end();
    events?.closed(error);
    this.close();
  }

  #lost(reason: string, cause?: unknown): void {
    this.#finish(
      new TunnelError("link_lost", `Connection to the pod lost: ${reason}`, {
        nothingDelivered: !(this.#writer.written > this.#payloadQueued),
        ...(cause === undefined ? {} : { cause }),
      }),
    );
  }
}
