/**
 * RFC 6455 framing for a client: masked frames out, a parser for what a server
 * sends. Pure: no sockets. Payloads are passed on in pieces as they come.
 */

export const OP_CONTINUE = 0;
export const OP_TEXT = 1;
export const OP_BINARY = 2;
export const OP_CLOSE = 8;
export const OP_PING = 9;
export const OP_PONG = 10;

/** Most bytes a client's frame head takes: 2, an 8-byte length, a 4-byte mask. */
export const CLIENT_HEAD = 14;

/** The server broke the protocol; the connection cannot be used any more. */
export class WebSocketError extends Error {
  override readonly name = "WebSocketError";
}

export interface WebSocketSink {
  /** A piece of a data message; `last` ends the message (the piece may be empty). Lent for the call. */
  onPiece(bytes: Uint8Array, last: boolean): void;
  /** A whole ping, pong or close, at most 125 bytes of payload. */
  onControl(opcode: number, payload: Uint8Array): void;
}

/** Longest head a server's frame can have: unmasked. */
const SERVER_HEAD = 10;

export class WebSocketParser {
  readonly #sink: WebSocketSink;
  readonly #head = new Uint8Array(SERVER_HEAD);
  #have = 0;
  #left = 0;
  /** Opcode of the frame whose payload is being read; -1 between frames. */
  #opcode = -1;
  #final = false;
  /** Inside a fragmented message. */
  #open = false;
  readonly #control = new Uint8Array(125);
  #controlHave = 0;
  #broken = false;

  constructor(sink: WebSocketSink) {
    this.#sink = sink;
  }

  /** Throws WebSocketError; the parser is of no use afterwards. */
  push(bytes: Uint8Array): void {
    if (this.#broken) throw new WebSocketError("WebSocket stream is broken");
    try {
      this.#push(bytes);
    } catch (error) {
      this.#broken = true;
      throw error;
    }
  }

  #push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#opcode < 0) {
        at += this.#readHead(bytes, at);
        continue;
      }
      const take = Math.min(this.#left, bytes.length - at);
      const piece = bytes.subarray(at, at + take);
      at += take;
      this.#left -= take;
      this.#payload(piece);
    }
  }

  #payload(piece: Uint8Array): void {
    const done = this.#left === 0;
    const opcode = this.#opcode;
    if (done) this.#opcode = -1;
    if (opcode < OP_CLOSE) {
      this.#sink.onPiece(piece, done && this.#final);
      return;
    }
    this.#control.set(piece, this.#controlHave);
    this.#controlHave += piece.length;
    if (done) this.#sink.onControl(opcode, this.#control.slice(0, this.#controlHave));
  }

  /** Collects a frame head, however it is cut up. Returns the bytes used. */
  #readHead(bytes: Uint8Array, at: number): number {
    const head = this.#head;
    let used = 0;
    for (;;) {
      const want = this.#have < 2 ? 2 : headLength(head);
      if (this.#have === want) {
        this.#start();
        return used;
      }
      const take = Math.min(want - this.#have, bytes.length - at - used);
      if (take === 0) return used;
      for (let i = 0; i < take; i++) head[this.#have + i] = bytes[at + used + i]!;
      this.#have += take;
      used += take;
    }
  }

  #start(): void {
    const head = this.#head;
    this.#have = 0;
    const opcode = head[0]! & 0x0f;
    const final = (head[0]! & 0x80) !== 0;
    if ((head[0]! & 0x70) !== 0) throw new WebSocketError("Reserved bits are set");
    if ((head[1]! & 0x80) !== 0) throw new WebSocketError("Masked frame from a server");
    const length = payloadLength(head);
    if (!Number.isSafeInteger(length)) throw new WebSocketError("Frame length is out of range");
    if (opcode >= OP_CLOSE) {
      if (opcode > OP_PONG) throw new WebSocketError(`Unknown opcode ${opcode}`);
      if (!final || length > 125) throw new WebSocketError("Malformed control frame");
      this.#controlHave = 0;
    } else {
      if (opcode > OP_BINARY) throw new WebSocketError(`Unknown opcode ${opcode}`);
      if ((opcode === OP_CONTINUE) !== this.#open) {
        throw new WebSocketError("Fragment out of order");
      }
      this.#open = !final;
      this.#final = final;
    }
    this.#opcode = opcode;
    this.#left = length;
    if (length === 0) this.#payload(head.subarray(0, 0));
  }
}

function headLength(head: Uint8Array): number {
  const short = head[1]! & 0x7f;
  return short === 126 ? 4 : short === 127 ? 10 : 2;
}

function payloadLength(head: Uint8Array): number {
  const short = head[1]! & 0x7f;
  if (short === 126) return (head[2]! << 8) | head[3]!;
  if (short < 126) return short;
  const view = new DataView(head.buffer, head.byteOffset, SERVER_HEAD);
  return view.getUint32(2) * 2 ** 32 + view.getUint32(6);
}

/**
 * Turns `length` payload bytes that lie in `buffer` at `at` into a masked
 * client frame in place: the head is written into the up to CLIENT_HEAD bytes
 * before them, the payload is masked where it is. Returns where the frame begins.
 */
export function frameInPlace(
  buffer: Uint8Array,
  at: number,
  length: number,
  opcode: number,
  mask: number,
): number {
  const extra = length < 126 ? 0 : length < 0x10000 ? 2 : 8;
  const start = at - 6 - extra;
  buffer[start] = 0x80 | opcode;
  if (extra === 0) {
    buffer[start + 1] = 0x80 | length;
  } else if (extra === 2) {
    buffer[start + 1] = 0x80 | 126;
    buffer[start + 2] = length >>> 8;
    buffer[start + 3] = length;
  } else {
    buffer[start + 1] = 0x80 | 127;
    const view = new DataView(buffer.buffer, buffer.byteOffset + start + 2, 8);
    view.setUint32(0, Math.floor(length / 2 ** 32));
    view.setUint32(4, length >>> 0);
  }
  buffer[at - 4] = mask >>> 24;
  buffer[at - 3] = mask >>> 16;
  buffer[at - 2] = mask >>> 8;
  buffer[at - 1] = mask;
  maskInPlace(buffer, at, length, mask);
  return start;
}

/** XORs with the mask, whole words where memory is aligned. */
function maskInPlace(buffer: Uint8Array, at: number, length: number, mask: number): void {
  if (mask === 0) return;
  const end = at + length;
  const byte = (index: number) => (mask >>> (24 - 8 * ((index - at) & 3))) & 0xff;
  let i = at;
  while (i < end && ((buffer.byteOffset + i) & 3) !== 0) {
    buffer[i] = buffer[i]! ^ byte(i);
    i++;
  }
  const count = (end - i) >> 2;
  if (count > 0) {
    const word = byte(i) | (byte(i + 1) << 8) | (byte(i + 2) << 16) | (byte(i + 3) << 24);
    const view = new Int32Array(buffer.buffer, buffer.byteOffset + i, count);
    if (LITTLE_ENDIAN) { for (let w = 0; w < count; w++) view[w] = view[w]! ^ word; }
    else for (let b = i; b < i + count * 4; b++) buffer[b] = buffer[b]! ^ byte(b);
    i += count * 4;
  }
  for (; i < end; i++) buffer[i] = buffer[i]! ^ byte(i);
}

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** A whole small frame (control frames). */
export function smallFrame(opcode: number, payload: Uint8Array, mask: number): Uint8Array {
  const buffer = new Uint8Array(CLIENT_HEAD + payload.length);
  buffer.set(payload, CLIENT_HEAD);
  return buffer.subarray(frameInPlace(buffer, CLIENT_HEAD, payload.length, opcode, mask));
}
