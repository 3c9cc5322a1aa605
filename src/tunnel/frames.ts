/**
 * SPDY/3.1 framing as Kubernetes servers speak it: a parser that keeps next to
 * nothing, and writers for the few frames a client sends. Pure: no sockets.
 *
 * https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
 */

/** Bytes of every frame's head. */
export const FRAME_HEAD = 8;
/** Largest length a frame can tell (24 bits). */
export const MAX_FRAME = 0xffffff;
/**
 * Largest control frame accepted, in bytes. Servers send a few hundred at
 * most; their header blocks are skipped, so this bounds time, not memory.
 */
export const MAX_CONTROL = 64 * 1024;

export const FLAG_FIN = 1;

const SYN_STREAM = 1;
const SYN_REPLY = 2;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const HEADERS = 8;
const WINDOW_UPDATE = 9;

/** RST_STREAM status of a stream its own end gives up. */
export const STATUS_CANCEL = 5;

/** The far end broke the protocol; the link cannot be used any more. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/** What a parser tells. `bytes` are lent for the time of the call. */
export interface FrameSink {
  /** A piece of a DATA frame, as it came; `last` on the piece that ends a frame with FIN (it may be empty). */
  onData(id: number, bytes: Uint8Array, last: boolean): void;
  onReply(id: number, fin: boolean): void;
  onReset(id: number, status: number): void;
  onPing(id: number): void;
  onGoAway(lastId: number, status: number): void;
  /** The server wants to open a stream: no Kubernetes server does. */
  onSyn(id: number): void;
}

/** How much of a control frame's payload is looked at: ids and a status. */
const CONTROL_KEPT = 8;

/**
 * Feed it what was read, in pieces of any size. DATA payloads are passed on
 * as they come, never gathered, so memory does not depend on what lengths the
 * far end claims.
 */
export class FrameParser {
  readonly #sink: FrameSink;
  readonly #head = new Uint8Array(FRAME_HEAD + CONTROL_KEPT);
  /** Bytes of the current head (and the kept part of a control payload) already in #head. */
  #have = 0;
  /** Payload bytes of the current DATA frame, or of a control frame to skip, still to come. */
  #left = 0;
  #dataId = -1;
  #fin = false;
  #broken = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Throws FrameError when the bytes are not SPDY; the parser is of no use afterwards. */
  push(bytes: Uint8Array): void {
    if (this.#broken) throw new FrameError("Frame stream is broken");
    try {
      this.#push(bytes);
    } catch (error) {
      this.#broken = true;
      throw error;
    }
  }

  #push(bytes: Uint8Array): void {
    const end = bytes.length;
    let at = 0;
    while (at < end) {
      if (this.#left > 0) {
        const take = Math.min(this.#left, end - at);
        this.#left -= take;
        if (this.#dataId >= 0) {
          const id = this.#dataId;
          const done = this.#left === 0;
          if (done) this.#dataId = -1;
          this.#sink.onData(id, bytes.subarray(at, at + take), done && this.#fin);
        }
        at += take;
        continue;
      }
      // The usual case: a whole DATA head lies in this piece.
      if (this.#have === 0 && end - at >= FRAME_HEAD && (bytes[at]! & 0x80) === 0) {
        this.#startData(bytes, at);
        at += FRAME_HEAD;
        continue;
      }
      at += this.#gather(bytes, at, end);
    }
  }

  #startData(from: Uint8Array, at: number): void {
    const id = ((from[at]! & 0x7f) << 24) | (from[at + 1]! << 16) | (from[at + 2]! << 8) |
      from[at + 3]!;
    this.#fin = (from[at + 4]! & FLAG_FIN) !== 0;
    const length = (from[at + 5]! << 16) | (from[at + 6]! << 8) | from[at + 7]!;
    if (id === 0) throw new FrameError("DATA frame on stream 0");
    if (length === 0) {
      if (this.#fin) this.#sink.onData(id, EMPTY, true);
      return;
    }
    this.#dataId = id;
    this.#left = length;
  }

  /** Collects a head, and of a control frame the first bytes of its payload. Returns the bytes used. */
  #gather(bytes: Uint8Array, at: number, end: number): number {
    const head = this.#head;
    let want = FRAME_HEAD;
    let used = 0;
    for (;;) {
      if (this.#have >= FRAME_HEAD) {
        if ((head[0]! & 0x80) === 0) {
          this.#have = 0;
          this.#startData(head, 0);
          return used;
        }
        const length = (head[5]! << 16) | (head[6]! << 8) | head[7]!;
        if (head[0] !== 0x80 || head[1] !== 3) throw new FrameError("Not a SPDY/3 frame");
        if (length > MAX_CONTROL) throw new FrameError(`Control frame of ${length} bytes`);
        want = FRAME_HEAD + Math.min(length, CONTROL_KEPT);
        if (this.#have >= want) {
          this.#have = 0;
          this.#left = length - (want - FRAME_HEAD);
          this.#dataId = -1;
          this.#control(length);
          return used;
        }
      }
      const take = Math.min(want - this.#have, end - at - used);
      if (take === 0) return used;
      head.set(bytes.subarray(at + used, at + used + take), this.#have);
      this.#have += take;
      used += take;
    }
  }

  #control(length: number): void {
    const type = (this.#head[2]! << 8) | this.#head[3]!;
    const flags = this.#head[4]!;
    switch (type) {
      case SYN_STREAM:
        this.#need(type, length, 10);
        return this.#sink.onSyn(this.#word(0) & 0x7fffffff);
      case SYN_REPLY:
        this.#need(type, length, 4);
        return this.#sink.onReply(this.#word(0) & 0x7fffffff, (flags & FLAG_FIN) !== 0);
      case RST_STREAM:
        this.#need(type, length, 8);
        return this.#sink.onReset(this.#word(0) & 0x7fffffff, this.#word(4));
      case PING:
        this.#need(type, length, 4);
        return this.#sink.onPing(this.#word(0));
      case GOAWAY:
        this.#need(type, length, 8);
        return this.#sink.onGoAway(this.#word(0) & 0x7fffffff, this.#word(4));
      case SETTINGS:
      case HEADERS:
      case WINDOW_UPDATE:
        return;
      default:
        throw new FrameError(`Unknown control frame type ${type}`);
    }
  }

  #need(type: number, length: number, least: number): void {
    if (length < least) throw new FrameError(`Control frame type ${type} of ${length} bytes`);
  }

  #word(at: number): number {
    const head = this.#head;
    const from = FRAME_HEAD + at;
    return ((head[from]! << 24) | (head[from + 1]! << 16) | (head[from + 2]! << 8) |
      head[from + 3]!) >>> 0;
  }
}

const EMPTY = new Uint8Array(0);

/** Writes the 8 bytes of a DATA head into `into` at `at`. `length` must fit 24 bits. */
export function writeDataHead(
  into: Uint8Array,
  at: number,
  id: number,
  length: number,
  fin: boolean,
): void {
  into[at] = id >>> 24;
  into[at + 1] = id >>> 16;
  into[at + 2] = id >>> 8;
  into[at + 3] = id;
  into[at + 4] = fin ? FLAG_FIN : 0;
  into[at + 5] = length >>> 16;
  into[at + 6] = length >>> 8;
  into[at + 7] = length;
}

/** An empty DATA frame that half-closes a stream. */
export function finFrame(id: number): Uint8Array {
  const frame = new Uint8Array(FRAME_HEAD);
  writeDataHead(frame, 0, id, 0, true);
  return frame;
}

export function resetFrame(id: number, status: number): Uint8Array {
  return wordFrame(RST_STREAM, id, status);
}

export function pingFrame(id: number): Uint8Array {
  return wordFrame(PING, id);
}

export function goAwayFrame(lastId: number): Uint8Array {
  return wordFrame(GOAWAY, lastId, 0);
}

/**
 * Header blocks of one direction are one zlib stream with the SPDY/3
 * dictionary. Stored blocks need neither a compressor nor the dictionary: the
 * zlib head names it (adler32 e3c6a7c2), every block goes in as it is, and an
 * empty stored block behind it makes the far end's inflater hand it over.
 */
export class HeaderWriter {
  #started = false;

  /** A SYN_STREAM frame. `headers` are ASCII and short (names and values below 60 KB together). */
  synStream(id: number, headers: readonly (readonly [name: string, value: string])[]): Uint8Array {
    let plain = 4;
    for (const [name, value] of headers) plain += 8 + name.length + value.length;
    const prefix = this.#started ? 0 : ZLIB_HEAD.length;
    const payload = 10 + prefix + 5 + plain + FLUSH.length;
    const frame = new Uint8Array(FRAME_HEAD + payload);
    writeControlHead(frame, SYN_STREAM, payload);
    let at = putWord(frame, FRAME_HEAD, id) + 6;
    if (!this.#started) {
      frame.set(ZLIB_HEAD, at);
      at += prefix;
      this.#started = true;
    }
    frame[at + 1] = plain;
    frame[at + 2] = plain >>> 8;
    frame[at + 3] = ~plain;
    frame[at + 4] = ~plain >>> 8;
    at = putWord(frame, at + 5, headers.length);
    for (const [name, value] of headers) {
      at = putText(frame, at, name);
      at = putText(frame, at, value);
    }
    frame.set(FLUSH, at);
    return frame;
  }
}

const ZLIB_HEAD = Uint8Array.of(0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2);
const FLUSH = Uint8Array.of(0x00, 0x00, 0x00, 0xff, 0xff);

function putText(into: Uint8Array, at: number, text: string): number {
  const begin = putWord(into, at, text.length);
  for (let i = 0; i < text.length; i++) into[begin + i] = text.charCodeAt(i);
  return begin + text.length;
}

function putWord(into: Uint8Array, at: number, value: number): number {
  into[at] = value >>> 24;
  into[at + 1] = value >>> 16;
  into[at + 2] = value >>> 8;
  into[at + 3] = value;
  return at + 4;
}

function writeControlHead(into: Uint8Array, type: number, length: number): void {
  into[0] = 0x80;
  into[1] = 3;
  into[2] = type >>> 8;
  into[3] = type;
  into[5] = length >>> 16;
  into[6] = length >>> 8;
  into[7] = length;
}

/** A control frame of up to two words. */
function wordFrame(type: number, first: number, second?: number): Uint8Array {
  const length = second === undefined ? 4 : 8;
  const frame = new Uint8Array(FRAME_HEAD + length);
  writeControlHead(frame, type, length);
  putWord(frame, FRAME_HEAD, first);
  if (second !== undefined) putWord(frame, FRAME_HEAD + 4, second);
  return frame;
}
