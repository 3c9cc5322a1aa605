/** RFC 6455 frames, both ways, without extensions; the server's side of the wire. */
import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";

export function acceptKey(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Head of an unmasked, final frame. */
export function frameHead(opcode: number, length: number): Buffer {
  if (length < 126) return Buffer.from([0x80 | opcode, length]);
  if (length < 65_536) return Buffer.from([0x80 | opcode, 126, length >> 8, length & 0xff]);
  const head = Buffer.allocUnsafe(10);
  head[0] = 0x80 | opcode;
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

/** Unmasks in place. `at` is how far into the payload the bytes are. */
function unmask(bytes: Buffer, mask: Buffer, at: number): void {
  let i = 0;
  // Four bytes at a time where the memory is aligned for it.
  while (i < bytes.length && (bytes.byteOffset + i) % 4 !== 0) {
    bytes[i] = bytes[i]! ^ mask[(at + i) & 3]!;
    i++;
  }
  const words = (bytes.length - i) >> 2;
  if (words > 0) {
    const key = Buffer.from([
      mask[(at + i) & 3]!,
      mask[(at + i + 1) & 3]!,
      mask[(at + i + 2) & 3]!,
      mask[(at + i + 3) & 3]!,
    ]).readInt32LE(0);
    const view = new Int32Array(bytes.buffer, bytes.byteOffset + i, words);
    for (let word = 0; word < words; word++) view[word] = view[word]! ^ key;
    i += words * 4;
  }
  for (; i < bytes.length; i++) bytes[i] = bytes[i]! ^ mask[(at + i) & 3]!;
}

/**
 * Reads frames from chunks as they come. Payload of data frames is handed on
 * piece by piece (`last` marks the end of a frame); control frames whole.
 */
export class FrameReader {
  #head = Buffer.alloc(0);
  #opcode = 0;
  #mask: Buffer | undefined;
  #left = 0;
  #at = 0;
  #inPayload = false;
  #control: Buffer[] = [];

  constructor(
    readonly onData: (payload: Buffer, last: boolean, opcode: number, first: boolean) => void,
    readonly onControl: (opcode: number, payload: Buffer) => void,
  ) {}

  /** Throws on frames no client may send. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length || (this.#inPayload && this.#left === 0)) {
      if (!this.#inPayload) {
        const before = this.#head.length;
        this.#head = Buffer.concat([this.#head, chunk.subarray(at, at + 14 - before)]);
        const size = this.#headSize();
        if (size === 0 || this.#head.length < size) return;
        at += size - before;
        this.#start(size);
        continue;
      }
      const piece = chunk.subarray(at, at + this.#left);
      at += piece.length;
      const first = this.#at === 0;
      if (this.#mask) unmask(piece, this.#mask, this.#at);
      this.#at += piece.length;
      this.#left -= piece.length;
      const last = this.#left === 0;
      if (last) this.#inPayload = false;
      if (this.#opcode >= 8) {
        this.#control.push(Buffer.from(piece));
        if (last) this.onControl(this.#opcode, Buffer.concat(this.#control.splice(0)));
      } else this.onData(piece, last, this.#opcode, first);
    }
  }

  #headSize(): number {
    if (this.#head.length < 2) return 0;
    const length = this.#head[1]! & 0x7f;
    return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + (this.#head[1]! & 0x80 ? 4 : 0);
  }

  #start(size: number): void {
    const head = this.#head;
    const short = head[1]! & 0x7f;
    this.#opcode = head[0]! & 0x0f;
    this.#left = short === 126
      ? head.readUInt16BE(2)
      : short === 127
      ? Number(head.readBigUInt64BE(2))
      : short;
    this.#mask = head[1]! & 0x80 ? Buffer.from(head.subarray(size - 4, size)) : undefined;
    this.#head = Buffer.alloc(0);
    this.#at = 0;
    this.#inPayload = true;
  }
}
