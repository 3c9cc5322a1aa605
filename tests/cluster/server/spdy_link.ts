/**
 * The server's side of a SPDY/3.1 port-forward connection: moby/spdystream
 * with the kubelet's stream handler on top.
 */
import { Buffer } from "node:buffer";
import { Forward } from "./forward.ts";
import { EMPTY_BLOCK, HeaderInflater, parseHeaders, ZLIB_HEAD } from "./spdy_headers.ts";
import type { ForwardTarget } from "./target.ts";
import type { Wire } from "./wire.ts";

const TYPE = { synStream: 1, synReply: 2, rstStream: 3, settings: 4, ping: 6, goAway: 7 } as const;
const FIN = 1;
/** RST_STREAM status the servers use for everything. */
const CANCEL = 5;
/**
 * Frames are handled by so many workers: a stream's by number `id % 5`, PINGs in turn. A worker waits
 * for the program of the stream it is at; so many frames may wait for a worker, then nothing more is
 * read (moby/spdystream, connection.go: FRAME_WORKERS, QUEUE_SIZE, Serve, handleDataFrame).
 */
const WORKERS = 5;
const QUEUE = 50;
/** No header block of a client comes near; a longer frame is a broken one. */
const MAX_CONTROL = 1 << 20;

interface Pair {
  readonly request: string;
  errorId?: number;
  dataId?: number;
  forward?: Forward;
  timer?: ReturnType<typeof setTimeout>;
  /** The client's FIN or RST came before the pair was complete. */
  ended: boolean;
  early: Buffer[];
  /** The client reset the data stream: nothing more may be sent on it. */
  mute: boolean;
}

interface Stream {
  readonly pair: Pair;
  readonly kind: "error" | "data";
}

interface Worker {
  /** Programs it waits for. */
  held: number;
  readonly waiting: (() => void)[];
}

function control(type: number, flags: number, body: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(8 + body.length);
  frame.writeUInt32BE(0x80030000 + type, 0);
  frame.writeUInt32BE(((flags << 24) | body.length) >>> 0, 4);
  body.copy(frame, 8);
  return frame;
}

function dataHead(id: number, flags: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(8);
  head.writeUInt32BE(id, 0);
  head.writeUInt32BE(((flags << 24) | length) >>> 0, 4);
  return head;
}

function words(...values: number[]): Buffer {
  const buffer = Buffer.allocUnsafe(values.length * 4);
  values.forEach((value, i) => buffer.writeUInt32BE(value, i * 4));
  return buffer;
}

export interface LinkHooks {
  /** Stop or go on reading from the client. */
  reading(on: boolean): void;
  close(): void;
}

export class SpdyLink {
  streamsTotal = 0;
  bytesUp = 0;
  bytesDown = 0;
  pings = 0;
  readonly #inflater = new HeaderInflater();
  readonly #streams = new Map<number, Stream>();
  readonly #pairs = new Map<string, Pair>();
  /** Pairs whose connection is under way. */
  readonly #open = new Set<Pair>();
  readonly #waiting = new Set<Forward>();
  #replied = false;
  #lastId = 0;
  readonly #workers: readonly Worker[] = Array.from(
    { length: WORKERS },
    () => ({ held: 0, waiting: [] }),
  );
  #turn = 0;
  #reading = true;
  readonly #unread: Buffer[] = [];
  // Reader state: the head of the frame under way, what is left of its body.
  #head = Buffer.alloc(8);
  #headLength = 0;
  #left = 0;
  #control: Buffer[] | undefined;
  /** Of the DATA frame under way; its pieces, when its worker is not at it yet. */
  #dataId = 0;
  #later: Buffer[] | undefined;
  #broken = false;

  constructor(
    readonly wire: Wire,
    readonly target: ForwardTarget,
    readonly timings: { readonly lingerMs: number; readonly streamCreationMs: number },
    readonly hooks: LinkHooks,
  ) {}

  get streams(): number {
    return this.#open.size;
  }

  /** Bytes from the client. */
  receive(chunk: Buffer): void {
    let at = 0;
    const length = chunk.length;
    while (at < length && !this.#broken) {
      if (!this.#reading) {
        this.#unread.push(chunk.subarray(at));
        return;
      }
      if (this.#left === 0) {
        // A whole head in one chunk is the rule; a split one is put together.
        const take = Math.min(8 - this.#headLength, length - at);
        chunk.copy(this.#head, this.#headLength, at, at + take);
        this.#headLength += take;
        at += take;
        if (this.#headLength < 8) return;
        this.#headLength = 0;
        this.#begin();
        continue;
      }
      const take = Math.min(this.#left, length - at);
      const piece = chunk.subarray(at, at + take);
      at += take;
      this.#left -= take;
      if (this.#control) {
        this.#control.push(piece);
        if (this.#left === 0) this.#frame(Buffer.concat(this.#control));
        else this.#control[this.#control.length - 1] = Buffer.from(piece);
      } else {
        this.bytesUp += take;
        if (this.#later) this.#later.push(piece);
        else this.#data(this.#dataId, piece);
        if (this.#left === 0) this.#dataRead();
      }
    }
  }

  #begin(): void {
    const head = this.#head;
    this.#left = head.readUInt32BE(4) & 0xffffff;
    if (head[0]! & 0x80) {
      this.#control = [];
      if (this.#left > MAX_CONTROL) return this.#goAway();
      if (this.#left === 0) this.#frame(Buffer.alloc(0));
      return;
    }
    this.#control = undefined;
    this.#dataId = head.readUInt32BE(0);
    const { held, waiting } = this.#worker(this.#dataId);
    this.#later = held > 0 || waiting.length > 0 ? [] : undefined;
    if (this.#left === 0) this.#dataRead();
  }

  /** A whole DATA frame was read. */
  #dataRead(): void {
    const id = this.#dataId;
    const fin = (this.#head[4]! & FIN) !== 0;
    const pieces = this.#later;
    this.#later = undefined;
    if (pieces === undefined) {
      if (fin) this.#fin(id);
      return;
    }
    this.#handle(this.#worker(id), () => {
      for (const piece of pieces) this.#data(id, piece);
      if (fin) this.#fin(id);
    });
  }

  #worker(id: number): Worker {
    return this.#workers[id % WORKERS]!;
  }

  #inTurn(): Worker {
    return this.#worker(this.#turn++);
  }

  /** Handles a frame, or leaves it to a worker who is not free. */
  #handle(worker: Worker, frame: () => void): void {
    if (worker.held === 0 && worker.waiting.length === 0) return frame();
    worker.waiting.push(frame);
    this.#read();
  }

  /** A worker waits for a program, or no longer. */
  #hold(worker: Worker, held: boolean): void {
    worker.held += held ? 1 : -1;
    while (worker.held === 0 && worker.waiting.length > 0 && !this.#broken) {
      worker.waiting.shift()!();
    }
    this.#read();
  }

  #read(): void {
    const on = this.#workers.every(({ waiting }) => waiting.length <= QUEUE);
    if (on === this.#reading) return;
    this.#reading = on;
    const unread = on ? this.#unread.splice(0) : [];
    for (const chunk of unread) this.receive(chunk);
    if (this.#reading === on) this.hooks.reading(on);
  }

  #data(id: number, piece: Buffer): void {
    const stream = this.#streams.get(id);
    if (!stream || stream.kind !== "data") return;
    if (stream.pair.forward) stream.pair.forward.write(piece);
    else stream.pair.early.push(Buffer.from(piece));
  }

  #fin(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream || stream.kind !== "data") return;
    stream.pair.ended = true;
    stream.pair.forward?.end();
  }

  #frame(body: Buffer): void {
    const type = this.#head.readUInt16BE(2);
    switch (type) {
      case TYPE.synStream:
        return this.#synStream(body);
      case TYPE.rstStream: {
        const id = body.readUInt32BE(0) & 0x7fffffff;
        return this.#handle(this.#worker(id), () => this.#resetByClient(id));
      }
      case TYPE.ping:
        return this.#handle(this.#inTurn(), () => {
          this.pings++;
          // Odd ids are the client's; ours would be even, and none is ever sent.
          if (body.readUInt32BE(0) & 1) this.wire.write(control(TYPE.ping, 0, body));
        });
      case TYPE.goAway:
        return;
      default:
        // SETTINGS, WINDOW_UPDATE and the rest are read and ignored, as by moby/spdystream.
    }
  }

  /**
   * From the sources, not recorded: a reset is an end of input for containerd, so it goes on for one
   * more second, and nothing stops its writes meanwhile (moby/spdystream, WriteData looks at
   * `finished` only for a FIN; containerd, sandbox_portforward_linux.go).
   */
  #resetByClient(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    this.#streams.delete(id);
    if (stream.kind !== "data") return;
    stream.pair.mute = true;
    stream.pair.ended = true;
    stream.pair.forward?.end();
  }

  #synStream(body: Buffer): void {
    let headers: Map<string, string>;
    const id = body.length >= 10 ? body.readUInt32BE(0) & 0x7fffffff : 0;
    try {
      headers = parseHeaders(this.#inflater.inflate(body.subarray(10)));
    } catch {
      return this.#goAway();
    }
    // Stream ids must be odd and grow (spdystream validateStreamId).
    if (id % 2 === 0 || id <= this.#lastId) return this.#goAway();
    this.#lastId = id;
    const fin = (this.#head[4]! & FIN) !== 0;
    this.#handle(this.#worker(id), () => this.#opened(id, headers, fin));
  }

  #opened(id: number, headers: Map<string, string>, fin: boolean): void {
    const port = Number(headers.get("port") ?? "");
    const kind = headers.get("streamtype");
    if (
      !Number.isInteger(port) || port < 1 || port > 65_535 || (kind !== "error" && kind !== "data")
    ) {
      this.#reset(id);
      return;
    }
    // Streams without a request id pair by arithmetic (clients before 1.3 only).
    const request = headers.get("requestid") ?? String(kind === "error" ? id : id - 2);
    let pair = this.#pairs.get(request);
    if (!pair) {
      pair = { request, ended: false, early: [], mute: false };
      this.#pairs.set(request, pair);
      const waiting = pair;
      pair.timer = setTimeout(() => this.#incomplete(waiting), this.timings.streamCreationMs);
    }
    this.#streams.set(id, { pair, kind });
    this.#reply(id);
    if (kind === "error") {
      if (pair.errorId !== undefined) return this.#text(pair.errorId, this.#twice(request, kind));
      pair.errorId = id;
    } else {
      if (pair.dataId !== undefined) return this.#text(pair.errorId, this.#twice(request, kind));
      pair.dataId = id;
      if (fin) pair.ended = true;
    }
    if (pair.errorId !== undefined && pair.dataId !== undefined) this.#start(pair, port);
  }

  #twice(request: string, kind: string): string {
    return `error processing stream for request ${request}: ${kind} stream already assigned`;
  }

  #incomplete(pair: Pair): void {
    this.#pairs.delete(pair.request);
    this.#text(
      pair.errorId,
      `(conn=&{0xc000000000 [] {{} {0 0}} 0x0 0}, request=${pair.request}) timed out waiting for streams`,
    );
  }

  #start(pair: Pair, port: number): void {
    clearTimeout(pair.timer);
    this.#pairs.delete(pair.request);
    this.#open.add(pair);
    this.streamsTotal++;
    const dataId = pair.dataId!;
    const forward: Forward = new Forward(this.target, port, this.timings.lingerMs, {
      headLength: this.wire.headLength + 8,
      head: (block, at, length) => {
        this.bytesDown += length;
        block.writeUInt32BE(dataId, at - 8);
        block.writeUInt32BE(length, at - 4);
        return 8 + this.wire.head(block, at - 8, 8 + length);
      },
      data: (block, from, to, written) => {
        if (this.wire.writeBlock(block, from, to, written)) return true;
        this.#waiting.add(forward);
        return false;
      },
      finish: (error) => this.#finish(pair, error),
      congested: (full) => this.#hold(this.#worker(dataId), full),
    });
    pair.forward = forward;
    forward.start();
    for (const chunk of pair.early.splice(0)) forward.write(chunk);
    if (pair.ended) forward.end();
  }

  #finish(pair: Pair, error: string | undefined): void {
    this.#open.delete(pair);
    if (pair.forward) this.#waiting.delete(pair.forward);
    if (this.#broken) return;
    if (!pair.mute) this.wire.write(dataHead(pair.dataId!, FIN, 0));
    if (error === undefined) this.wire.write(dataHead(pair.errorId!, FIN, 0));
    else {
      this.#text(pair.errorId, error);
      this.#reset(pair.errorId!);
    }
    // Whatever still comes for them is dropped, as by spdystream.
    this.#streams.delete(pair.dataId!);
    this.#streams.delete(pair.errorId!);
  }

  #text(id: number | undefined, text: string): void {
    if (id === undefined) return;
    const body = Buffer.from(text);
    this.wire.write(dataHead(id, 0, body.length), body);
  }

  #reset(id: number): void {
    this.wire.write(control(TYPE.rstStream, 0, words(id, CANCEL)));
  }

  #reply(id: number): void {
    const block = this.#replied ? EMPTY_BLOCK : Buffer.concat([ZLIB_HEAD, EMPTY_BLOCK]);
    this.#replied = true;
    this.wire.write(control(TYPE.synReply, 0, Buffer.concat([words(id), block])));
  }

  /**
   * A broken frame: GOAWAY, then the end of the connection. That it is answered so was seen on a
   * real cluster; the status, PROTOCOL_ERROR, was not noted there and is a guess.
   */
  #goAway(): void {
    this.#broken = true;
    this.wire.write(control(TYPE.goAway, 0, words(this.#lastId, 1)));
    this.wire.end();
    this.hooks.close();
  }

  /** The client reads again. */
  drained(): void {
    for (const forward of this.#waiting) {
      this.#waiting.delete(forward);
      forward.resume();
    }
  }

  /** The pod is gone: what is open ends, the link stays (a zombie). */
  podGone(): void {
    for (const pair of [...this.#open]) pair.forward?.podGone();
  }

  /** The client is gone. */
  closed(): void {
    this.#broken = true;
    for (const { waiting } of this.#workers) waiting.length = 0;
    for (const pair of this.#pairs.values()) clearTimeout(pair.timer);
    for (const pair of [...this.#open]) pair.forward?.abort();
  }
}
