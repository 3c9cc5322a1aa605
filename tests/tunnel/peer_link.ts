/** The server's end of a link to a pod, for all three ways, and the streams in it. */
import { inflateRawSync } from "node:zlib";
import { closeQuietly, dataHead, frame, join, text, words, writeAll } from "./wire.ts";

export interface PodStream {
  readonly port: number;
  /** Bytes from the client; null at its end of output or when the connection is gone. */
  read(): Promise<Uint8Array | null>;
  write(bytes: Uint8Array | string): Promise<void>;
  /** Ends both streams as a server does after the pod has closed. */
  end(): Promise<void>;
  /** Ends the data stream, then tells `text` on the error stream. */
  fail(text: string): Promise<void>;
  /** True once the client gave the stream up or the link is gone. */
  readonly gone: boolean;
}

export type Pod = (stream: PodStream) => void | Promise<void>;

/** The server's end of one link. */
export class PeerLink {
  readonly conn: Deno.Conn;
  readonly pod: string;
  readonly way: "spdy" | "spdy_websocket" | "channels";
  readonly #handler: Pod;
  readonly #takesUp: () => boolean;
  readonly #port: number;
  readonly #headers: Map<number, Record<string, string>> = new Map();
  readonly #streams = new Map<number, Inbox>();
  /** Request ids of connections that are not taken up. */
  readonly #ignored = new Set<string | undefined>();
  #first = true;
  #firstReply = true;
  #buffer: Uint8Array<ArrayBufferLike> = new Uint8Array(0);
  #message: Uint8Array[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  /** Set to stop answering anything, as a dropped network does. */
  silent = false;
  /** Set to read nothing more, as when the way there is full. What is sent still goes out. */
  deaf = false;
  pings = 0;
  /** Frames in the order they came, as words. */
  readonly seen: string[] = [];

  constructor(
    conn: Deno.Conn,
    handler: Pod,
    takesUp: () => boolean,
    pod: string,
    way: PeerLink["way"],
    port = 0,
  ) {
    this.conn = conn;
    this.#handler = handler;
    this.#takesUp = takesUp;
    this.pod = pod;
    this.way = way;
    this.#port = port;
  }

  close(): void {
    closeQuietly(this.conn);
    for (const inbox of this.#streams.values()) inbox.push(null, true);
  }

  async run(rest: Uint8Array): Promise<void> {
    if (this.way === "channels") {
      await this.#sendMessage(Uint8Array.of(0, this.#port & 255, this.#port >> 8));
      await this.#sendMessage(Uint8Array.of(1, this.#port & 255, this.#port >> 8));
      this.#open(0, this.#port);
    }
    const buffer = new Uint8Array(65536);
    this.#take(rest);
    for (;;) {
      const count = await this.conn.read(buffer);
      if (count === null) return;
      if (this.silent || this.deaf) continue;
      this.#take(buffer.slice(0, count));
    }
  }

  /** Raw bytes of the SPDY stream to the client. */
  send(bytes: Uint8Array): Promise<void> {
    const turn = this.#turn.then(async () => {
      if (this.silent) return;
      if (this.way === "spdy") await writeAll(this.conn, bytes);
      else await this.#message2(bytes);
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #sendMessage(bytes: Uint8Array): Promise<void> {
    return this.send(bytes);
  }

  async #message2(bytes: Uint8Array): Promise<void> {
    const head = bytes.length < 126
      ? [0x82, bytes.length]
      : bytes.length < 65536
      ? [0x82, 126, bytes.length >> 8, bytes.length & 255]
      : [
        0x82,
        127,
        0,
        0,
        0,
        0,
        bytes.length >>> 24,
        bytes.length >> 16,
        bytes.length >> 8,
        bytes.length,
      ]
        .map((byte) => byte & 255);
    await writeAll(this.conn, join([Uint8Array.from(head), bytes]));
  }

  #take(bytes: Uint8Array): void {
    this.#buffer = join([this.#buffer, bytes]);
    if (this.way === "spdy") return this.#frames();
    for (;;) {
      const b = this.#buffer;
      if (b.length < 2) return;
      if ((b[1]! & 0x80) === 0) throw new Error("client frame is not masked");
      const short = b[1]! & 0x7f;
      const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
      if (b.length < 6 + extra) return;
      const view = new DataView(b.buffer, b.byteOffset);
      const length = short === 126
        ? view.getUint16(2)
        : short === 127
        ? Number(view.getBigUint64(2))
        : short;
      if (b.length < 6 + extra + length) return;
      const mask = b.subarray(2 + extra, 6 + extra);
      const payload = b.slice(6 + extra, 6 + extra + length).map((byte, i) => byte ^ mask[i & 3]!);
      this.#buffer = b.slice(6 + extra + length);
      const opcode = b[0]! & 15;
      if (opcode === 9) {
        void writeAll(this.conn, join([Uint8Array.of(0x8a, payload.length), payload]));
        this.pings++;
      } else if (opcode === 8) return;
      else if (this.way === "channels") {
        if (payload[0] === 0) this.#streams.get(0)?.push(payload.slice(1));
      } else {
        this.#message.push(payload);
      }
      if (this.#message.length > 0) {
        const outer = this.#buffer;
        this.#buffer = join([this.#inner, ...this.#message]);
        this.#message = [];
        this.#frames();
        this.#inner = this.#buffer;
        this.#buffer = outer;
      }
    }
  }
  #inner: Uint8Array<ArrayBufferLike> = new Uint8Array(0);

  #frames(): void {
    for (;;) {
      const b = this.#buffer;
      if (b.length < 8) return;
      const length = (b[5]! << 16) | (b[6]! << 8) | b[7]!;
      if (b.length < 8 + length) return;
      const payload = b.slice(8, 8 + length);
      this.#buffer = b.slice(8 + length);
      const view = new DataView(b.buffer, b.byteOffset);
      if ((b[0]! & 0x80) === 0) {
        const id = view.getUint32(0);
        this.seen.push(`DATA ${id} ${length}${b[4]! & 1 ? " FIN" : ""}`);
        const inbox = this.#streams.get(id);
        if (length > 0) inbox?.push(payload);
        if (b[4]! & 1) inbox?.push(null);
        continue;
      }
      if (b[1] !== 3) throw new Error("not SPDY/3");
      const type = view.getUint16(2);
      const words = new DataView(payload.buffer);
      if (type === 1) this.#syn(words.getUint32(0), payload.slice(10));
      else if (type === 3) {
        this.seen.push(`RST ${words.getUint32(0)} ${words.getUint32(4)}`);
        this.#streams.get(words.getUint32(0))?.push(null, true);
      } else if (type === 6) {
        this.pings++;
        this.seen.push(`PING ${words.getUint32(0)}`);
        if (words.getUint32(0) & 1) void this.send(join([b.slice(0, 8), payload])).catch(() => {});
      } else this.seen.push(`CONTROL ${type}`);
    }
  }

  #syn(id: number, block: Uint8Array): void {
    if (this.#first) {
      const begin = [...block.slice(0, 6)].map((byte) => byte.toString(16).padStart(2, "0")).join(
        "",
      );
      if (begin !== "78bbe3c6a7c2") throw new Error(`zlib stream begins with ${begin}`);
      block = block.slice(6);
      this.#first = false;
    }
    const tail = [...block.slice(-5)].join();
    if (tail !== "0,0,0,255,255") throw new Error("block is not flushed");
    // An end-of-stream block makes the inflater accept what never ends.
    const plain = new Uint8Array(inflateRawSync(join([block, Uint8Array.of(1, 0, 0, 255, 255)])));
    const headers = decode(plain);
    this.seen.push(`SYN ${id} ${headers.streamtype}`);
    if (headers.streamtype === "error" && !this.#takesUp()) this.#ignored.add(headers.requestid);
    if (this.#ignored.has(headers.requestid)) return;
    this.#headers.set(id, headers);
    // Without headers, but a piece of the one zlib stream of this direction, as of the other.
    const reply = this.#firstReply ? [ZLIB_HEAD, NO_HEADERS] : [NO_HEADERS];
    this.#firstReply = false;
    void this.send(frame(2, 0, join([words(id), ...reply]))).catch(() => {});
    if (headers.streamtype === "data") this.#open(id, Number(headers.port));
  }

  #open(id: number, port: number): void {
    const inbox = new Inbox();
    this.#streams.set(id, inbox);
    let errorId = id - 2;
    for (const [other, headers] of this.#headers) {
      if (
        headers.streamtype === "error" && headers.requestid === this.#headers.get(id)?.requestid
      ) {
        errorId = other;
      }
    }
    // deno-lint-ignore no-this-alias
    const link = this;
    const stream: PodStream = {
      port,
      get gone() {
        return inbox.gone;
      },
      read: () => inbox.read(),
      write: (bytes) => {
        const data = typeof bytes === "string" ? text(bytes) : bytes;
        return link.way === "channels"
          ? link.send(join([Uint8Array.of(0), data]))
          : link.send(join([dataHead(id, data.length, false), data]));
      },
      end: async () => {
        if (link.way === "channels") {
          await link.#turn;
          await writeAll(link.conn, Uint8Array.of(0x88, 2, 3, 232));
          return closeQuietly(link.conn);
        }
        await link.send(dataHead(id, 0, true));
        await link.send(dataHead(errorId, 0, true));
        link.#streams.delete(id);
      },
      fail: async (reason) => {
        if (link.way === "channels") {
          await link.send(join([Uint8Array.of(1), text(reason)]));
          await writeAll(link.conn, Uint8Array.of(0x88, 2, 3, 232));
          return closeQuietly(link.conn);
        }
        await link.send(dataHead(id, 0, true));
        await link.send(join([dataHead(errorId, reason.length, false), text(reason)]));
        await link.send(frame(3, 0, words(errorId, 5)));
        link.#streams.delete(id);
      },
    };
    void (async () => {
      try {
        await this.#handler(stream);
      } catch {
        // The client went away in the middle.
      }
    })();
  }
}

class Inbox {
  #items: (Uint8Array | null)[] = [];
  #wake: (() => void) | undefined;
  gone = false;

  push(item: Uint8Array | null, gone = false): void {
    this.gone ||= gone;
    this.#items.push(item);
    this.#wake?.();
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) return item;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

const ZLIB_HEAD = Uint8Array.of(0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2);
/** A stored block of a header block without headers, and the flush behind it. */
const NO_HEADERS = Uint8Array.of(0, 4, 0, 251, 255, 0, 0, 0, 0, 0, 0, 0, 255, 255);

function decode(plain: Uint8Array): Record<string, string> {
  const view = new DataView(plain.buffer, plain.byteOffset);
  const headers: Record<string, string> = {};
  let at = 4;
  const next = () => {
    const length = view.getUint32(at);
    const value = new TextDecoder().decode(plain.slice(at + 4, at + 4 + length));
    at += 4 + length;
    return value;
  };
  for (let left = view.getUint32(0); left > 0; left--) {
    const name = next();
    headers[name] = next();
  }
  return headers;
}
