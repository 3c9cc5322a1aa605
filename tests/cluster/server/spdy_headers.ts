/**
 * Header blocks of SPDY/3: one zlib stream per direction with a preset
 * dictionary (SPDY/3 draft, 2.6.10.1). Inflated here by hand because the
 * stream must be read synchronously, block by block, which node:zlib cannot.
 */
import { Buffer } from "node:buffer";

/** The dictionary is a list of words, each behind its length, and one line of loose text. */
const WORDS =
  ("options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|" +
    "accept-ranges|age|allow|authorization|cache-control|connection|content-base|" +
    "content-encoding|content-language|content-length|content-location|content-md5|content-range|" +
    "content-type|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|" +
    "if-range|if-unmodified-since|last-modified|location|max-forwards|pragma|proxy-authenticate|" +
    "proxy-authorization|range|referer|retry-after|server|te|trailer|transfer-encoding|upgrade|" +
    "user-agent|vary|via|warning|www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|" +
    "public|set-cookie|keep-alive|origin").split("|");
const TAIL =
  "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505" +
  "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request" +
  "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented" +
  "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, " +
  "Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml," +
  "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate," +
  "sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

export const DICTIONARY: Buffer = Buffer.concat([
  ...WORDS.map((word) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(word.length);
    return Buffer.concat([length, Buffer.from(word, "latin1")]);
  }),
  Buffer.from(TAIL, "latin1"),
]);

interface Tree {
  readonly counts: number[];
  readonly symbols: number[];
}

function tree(lengths: readonly number[]): Tree {
  const counts: number[] = new Array(16).fill(0);
  for (const length of lengths) counts[length]!++;
  counts[0] = 0;
  const starts = [0, 0];
  for (let i = 1; i < 15; i++) starts[i + 1] = starts[i]! + counts[i]!;
  const symbols: number[] = [];
  lengths.forEach((length, symbol) => {
    if (length > 0) symbols[starts[length]!++] = symbol;
  });
  return { counts, symbols };
}

const FIXED = tree(
  Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8)),
);
const FIXED_DISTANCES = tree(new Array(30).fill(5));
const LENGTH_BASE = [
  ...[3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115],
  ...[131, 163, 195, 227, 258],
];
const LENGTH_EXTRA = [
  ...[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0],
];
const DISTANCE_BASE = [
  ...[1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537],
  ...[2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577],
];
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Inflates one direction's header blocks. Any error is final for the connection (GOAWAY). */
export class HeaderInflater {
  /** The last 32 KiB of output, the dictionary first. */
  #window: Buffer = DICTIONARY;
  #begun = false;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #bitBuffer = 0;
  #bitCount = 0;
  #out: number[] = [];

  /**
   * Throws for anything Go's reader would fail on: a wrong zlib head or
   * dictionary, a broken block, and also a block without the final flush
   * (an empty stored block), because then Go waits for bytes that never come.
   */
  inflate(block: Buffer): Buffer {
    this.#bytes = block;
    this.#at = 0;
    this.#out = [];
    if (!this.#begun) {
      const head = block.readUInt16BE(0);
      if ((head & 0x0f00) !== 0x0800 || head % 31 !== 0 || (head & 0x20) === 0) {
        throw new Error("zlib: invalid header");
      }
      if (block.readUInt32BE(2) !== 0xe3c6a7c2) throw new Error("zlib: invalid dictionary");
      this.#at = 6;
      this.#begun = true;
    }
    let flushed = false;
    while (this.#at < block.length) flushed = this.#block();
    if (!flushed) throw new Error("zlib: header block is not flushed");
    const output = Buffer.from(this.#out);
    this.#window = Buffer.concat([this.#window, output]).subarray(-32_768);
    return output;
  }

  #bits(count: number): number {
    while (this.#bitCount < count) {
      if (this.#at >= this.#bytes.length) throw new Error("unexpected EOF");
      this.#bitBuffer |= this.#bytes[this.#at++]! << this.#bitCount;
      this.#bitCount += 8;
    }
    const value = this.#bitBuffer & ((1 << count) - 1);
    this.#bitBuffer >>>= count;
    this.#bitCount -= count;
    return value;
  }

  #symbol({ counts, symbols }: Tree): number {
    let code = 0, first = 0, index = 0;
    for (let length = 1; length < 16; length++) {
      code |= this.#bits(1);
      const count = counts[length]!;
      if (code - first < count) return symbols[index + code - first]!;
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw new Error("flate: corrupt input");
  }

  /** True when it was an empty stored block. */
  #block(): boolean {
    this.#bits(1);
    const type = this.#bits(2);
    if (type === 0) {
      this.#bitBuffer = 0;
      this.#bitCount = 0;
      if (this.#at + 4 > this.#bytes.length) throw new Error("unexpected EOF");
      const length = this.#bytes.readUInt16LE(this.#at);
      if ((length ^ 0xffff) !== this.#bytes.readUInt16LE(this.#at + 2)) {
        throw new Error("flate: corrupt input");
      }
      this.#at += 4;
      if (this.#at + length > this.#bytes.length) throw new Error("unexpected EOF");
      this.#out.push(...this.#bytes.subarray(this.#at, this.#at + length));
      this.#at += length;
      return length === 0;
    }
    if (type === 1) this.#codes(FIXED, FIXED_DISTANCES);
    else if (type === 2) this.#dynamic();
    else throw new Error("flate: corrupt input");
    return false;
  }

  #dynamic(): void {
    const literals = this.#bits(5) + 257, distances = this.#bits(5) + 1, codes = this.#bits(4) + 4;
    const lengths: number[] = new Array(19).fill(0);
    for (let i = 0; i < codes; i++) lengths[CODE_ORDER[i]!] = this.#bits(3);
    const codeTree = tree(lengths);
    const all: number[] = [];
    while (all.length < literals + distances) {
      const symbol = this.#symbol(codeTree);
      if (symbol < 16) all.push(symbol);
      else if (symbol === 16) {
        const last = all.at(-1) ?? 0;
        for (let i = 3 + this.#bits(2); i > 0; i--) all.push(last);
      } else {
        const count = symbol === 17 ? 3 + this.#bits(3) : 11 + this.#bits(7);
        for (let i = count; i > 0; i--) all.push(0);
      }
    }
    this.#codes(tree(all.slice(0, literals)), tree(all.slice(literals)));
  }

  #codes(literals: Tree, distances: Tree): void {
    for (;;) {
      const symbol = this.#symbol(literals);
      if (symbol < 256) this.#out.push(symbol);
      else if (symbol === 256) return;
      else {
        const length = LENGTH_BASE[symbol - 257]! + this.#bits(LENGTH_EXTRA[symbol - 257]!);
        const code = this.#symbol(distances);
        const extra = code < 4 ? 0 : (code >> 1) - 1;
        const distance = DISTANCE_BASE[code]! + this.#bits(extra);
        for (let i = 0; i < length; i++) {
          const from = this.#out.length - distance;
          const value = from >= 0 ? this.#out[from] : this.#window[this.#window.length + from];
          if (value === undefined) throw new Error("flate: corrupt input");
          this.#out.push(value);
        }
      }
    }
  }
}

/** Name/value pairs of an inflated block; names lower case as on the wire. */
export function parseHeaders(block: Buffer): Map<string, string> {
  const headers = new Map<string, string>();
  const count = block.readUInt32BE(0);
  let at = 4;
  const text = () => {
    const length = block.readUInt32BE(at);
    at += 4 + length;
    if (at > block.length) throw new Error("unexpected EOF");
    return block.toString("utf8", at - length, at);
  };
  for (let i = 0; i < count; i++) headers.set(text().toLowerCase(), text());
  return headers;
}

/** Zlib head with dictionary id, at the start of the server's own header stream. */
export const ZLIB_HEAD: Buffer = Buffer.from("78f9e3c6a7c2", "hex");

/** No headers (a count of 0), deflated and flushed: 10 bytes, as long as Go's. */
export const EMPTY_BLOCK: Buffer = Buffer.from("6260606000000000ffff", "hex");
