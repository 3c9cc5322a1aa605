/**
 * A bare SPDY client for tests of the test cluster: writes frames as told and
 * notes what comes back, with times, like the recorder behind
 * testdata/recordings. Independent of src/tunnel on purpose.
 */
import { connect as tcpConnect } from "node:net";
import { connect as tlsConnect, type TLSSocket } from "node:tls";
import { Buffer } from "node:buffer";

export interface Frame {
  readonly kind: "DATA" | "SYN_REPLY" | "RST_STREAM" | "PING" | "GOAWAY" | string;
  readonly stream: number;
  readonly fin: boolean;
  readonly length: number;
  readonly body: Buffer;
  /** Milliseconds since the connection was upgraded. */
  readonly at: number;
}

export interface Upgraded {
  readonly status: number;
  readonly headers: Map<string, string>;
  readonly body: string;
}

const KINDS: Record<number, string> = {
  1: "SYN_STREAM",
  2: "SYN_REPLY",
  3: "RST_STREAM",
  6: "PING",
  7: "GOAWAY",
};

/** A header block as one stored deflate block and a flush: no compressor needed. */
export function headerBlock(headers: Record<string, string>, first: boolean, flush = true): Buffer {
  const word = (text: string) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    return Buffer.concat([length, Buffer.from(text)]);
  };
  const entries = Object.entries(headers);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(entries.length);
  const plain = Buffer.concat([count, ...entries.flatMap(([k, v]) => [word(k), word(v)])]);
  const head = Buffer.from([0, plain.length & 255, plain.length >> 8, 0, 0]);
  head.writeUInt16LE(plain.length ^ 0xffff, 3);
  return Buffer.concat([
    ...(first ? [Buffer.from("78bbe3c6a7c2", "hex")] : []),
    head,
    plain,
    ...(flush ? [Buffer.from("000000ffff", "hex")] : []),
  ]);
}

export interface ClientOptions {
  readonly url: string;
  readonly ca: string;
  readonly headers?: Record<string, string>;
  readonly cert?: string;
  readonly key?: string;
}

/** Opens TLS and sends one request; the answer and what follows it. */
export async function request(
  options: ClientOptions,
  head: string,
): Promise<{ answer: Upgraded; socket: TLSSocket; rest: Buffer }> {
  const { hostname, port } = new URL(options.url);
  const tcp = tcpConnect({ host: hostname, port: Number(port), noDelay: true });
  // Deno writes to neither before it is connected.
  await new Promise((resolve, reject) => tcp.once("connect", resolve).once("error", reject));
  const socket = tlsConnect({
    socket: tcp,
    ca: options.ca,
    ...(options.cert ? { cert: options.cert, key: options.key } : {}),
  });
  await new Promise((resolve, reject) => {
    socket.once("secureConnect", () => resolve(undefined)).once("error", reject);
  });
  const extra = Object.entries(options.headers ?? {}).map(([k, v]) => `${k}: ${v}\r\n`).join("");
  socket.write(`${head}Host: ${hostname}:${port}\r\n${extra}\r\n`);
  let bytes: Buffer = Buffer.alloc(0);
  const end = await new Promise<number>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed before an answer")));
    socket.on("data", function onData(chunk: Buffer) {
      bytes = Buffer.concat([bytes, chunk]);
      const at = bytes.indexOf("\r\n\r\n");
      if (at < 0) return;
      socket.removeListener("data", onData);
      socket.pause();
      resolve(at + 4);
    });
  });
  const [line = "", ...lines] = bytes.toString("latin1", 0, end - 4).split("\r\n");
  const headers = new Map(lines.map((one) => {
    const colon = one.indexOf(":");
    return [one.slice(0, colon).toLowerCase(), one.slice(colon + 1).trim()];
  }));
  const status = Number(line.split(" ")[1]);
  let rest = bytes.subarray(end);
  let body = "";
  if (status !== 101) {
    const wanted = Number(headers.get("content-length") ?? 0);
    while (rest.length < wanted) {
      const chunk = await new Promise<Buffer>((resolve) => {
        socket.once("data", resolve);
        socket.resume();
      });
      rest = Buffer.concat([rest, chunk]);
    }
    body = rest.toString();
    socket.destroy();
  }
  return { answer: { status, headers, body }, socket, rest };
}

export class SpdyClient {
  readonly frames: Frame[] = [];
  closed = false;
  #first = true;
  #bytes: Buffer = Buffer.alloc(0);
  #nextId = 1;
  #request = 0;
  readonly #start = performance.now();
  readonly #waiting = new Set<() => void>();

  constructor(readonly socket: TLSSocket, rest: Buffer) {
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    if (rest.length > 0) this.#receive(rest);
    socket.resume();
  }

  static async open(options: ClientOptions, path: string): Promise<SpdyClient> {
    const { answer, socket, rest } = await request(
      options,
      `POST ${path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n` +
        "X-Stream-Protocol-Version: portforward.k8s.io\r\nContent-Length: 0\r\n",
    );
    if (answer.status !== 101) throw new Error(`${answer.status} ${answer.body}`);
    return new SpdyClient(socket, rest);
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #receive(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 8) {
      const length = this.#bytes.readUInt32BE(4) & 0xffffff;
      if (this.#bytes.length < 8 + length) break;
      const body = this.#bytes.subarray(8, 8 + length);
      const isControl = (this.#bytes[0]! & 0x80) !== 0;
      const type = this.#bytes.readUInt16BE(2);
      this.frames.push({
        kind: isControl ? KINDS[type] ?? `type ${type}` : "DATA",
        stream: isControl ? body.readUInt32BE(0) : this.#bytes.readUInt32BE(0),
        fin: (this.#bytes[4]! & 1) !== 0,
        length,
        body,
        at: performance.now() - this.#start,
      });
      this.#bytes = this.#bytes.subarray(8 + length);
    }
    this.#wake();
  }

  control(type: number, body: Buffer): void {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(0x80030000 + type, 0);
    head.writeUInt32BE(body.length, 4);
    this.socket.write(Buffer.concat([head, body]));
  }

  data(stream: number, bytes: string | Buffer, fin = false): void {
    const body = Buffer.from(bytes);
    const head = Buffer.alloc(8);
    head.writeUInt32BE(stream, 0);
    head.writeUInt32BE(((fin ? 1 << 24 : 0) | body.length) >>> 0, 4);
    this.socket.write(Buffer.concat([head, body]));
  }

  syn(headers: Record<string, string>, flush = true): number {
    const id = this.#nextId;
    this.#nextId += 2;
    const ids = Buffer.alloc(10);
    ids.writeUInt32BE(id, 0);
    this.control(1, Buffer.concat([ids, headerBlock(headers, this.#first, flush)]));
    this.#first = false;
    return id;
  }

  /** Opens an error and a data stream, without waiting for anything. */
  connect(port: number): { error: number; data: number } {
    const requestid = String(this.#request++);
    const error = this.syn({ streamtype: "error", port: String(port), requestid });
    this.data(error, "", true);
    const data = this.syn({ streamtype: "data", port: String(port), requestid });
    return { error, data };
  }

  ping(id: number): void {
    const body = Buffer.alloc(4);
    body.writeUInt32BE(id);
    this.control(6, body);
  }

  /** Waits for the first frame that fits. */
  async until(what: (frame: Frame) => boolean, timeoutMs = 5_000): Promise<Frame> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = this.frames.find(what);
      if (found) return found;
      const left = deadline - performance.now();
      if (left <= 0 || this.closed) {
        const seen = this.frames.map((f) =>
          `${f.kind} ${f.stream} ${f.fin ? "FIN " : ""}${f.length}`
        );
        throw new Error(`no such frame${this.closed ? " (closed)" : ""}; seen: ${seen.join("; ")}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, left);
        const waiting = this.#waiting;
        function done() {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
        waiting.add(done);
      });
    }
  }

  /** All DATA of a stream as text. */
  text(stream: number): string {
    return Buffer.concat(
      this.frames.filter((one) => one.kind === "DATA" && one.stream === stream).map((one) =>
        one.body
      ),
    ).toString();
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.closed) return resolve();
      this.socket.once("close", () => resolve());
      this.socket.destroy();
    });
  }
}
