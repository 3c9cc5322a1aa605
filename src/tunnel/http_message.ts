const LF = 10;
const CR = 13;
const TAB = 9;
const SPACE = 32;
const COLON = 58;
const SEMICOLON = 59;
/** Longest head looked at, in bytes; Go and nginx take more, browsers and proxies send less. */
const HEAD_LIMIT = 16 * 1024;
/** Longest size of a chunk, in hex digits. */
const SIZE_DIGITS = 12;

const CONTENT_LENGTH = lowerCase("content-length");
const TRANSFER_ENCODING = lowerCase("transfer-encoding");
const CHUNKED = lowerCase("chunked");

const NOTHING = new Uint8Array(0);

/**
 * Follows the bytes of one HTTP/1 message to its end (RFC 9112, 6). Takes nothing
 * apart but what tells how long it is, and keeps nothing but a head cut in pieces.
 */
export class HttpMessage {
  /** `doubt`: nobody can tell where it ends. `close`: where its connection does. */
  state: "head" | "body" | "chunks" | "done" | "close" | "doubt" = "head";
  /** Of an answer, once it is known; interim ones (1xx) but for 101 are passed over. */
  status: number | undefined;
  readonly #isAnswer: boolean;
  readonly #bodiless: boolean;
  /** The beginning of a head that came in pieces. */
  #kept: Uint8Array = NOTHING;
  /** Bytes to come of the body, or of a chunk and the end of line behind it. */
  #left = 0;
  #size = 0;
  #digits = 0;
  #part: "size" | "extension" | "trailer" = "size";
  /** Bytes of the trailer's line so far. */
  #line = 0;

  /** `bodiless`: the answer to HEAD. */
  constructor(kind: "request" | "answer", bodiless = false) {
    this.#isAnswer = kind === "answer";
    this.#bodiless = bodiless;
  }

  /** Takes what belongs to the message and tells how many bytes that were. */
  push(bytes: Uint8Array): number {
    let at = 0;
    while (this.state === "head" && at < bytes.length) at = this.#head(bytes, at);
    if (this.state === "body") {
      const take = Math.min(this.#left, bytes.length - at);
      this.#left -= take;
      if (this.#left === 0) this.state = "done";
      return at + take;
    }
    if (this.state === "chunks") return this.#chunks(bytes, at);
    return this.state === "done" ? at : bytes.length;
  }

  #head(bytes: Uint8Array, from: number): number {
    const before = this.#kept.length;
    let head = bytes.subarray(from);
    if (before > 0) {
      head = new Uint8Array(before + bytes.length - from);
      head.set(this.#kept);
      head.set(bytes.subarray(from), before);
    }
    const end = this.#lines(head);
    if (end !== undefined) {
      this.#kept = NOTHING;
      return from + end - before;
    }
    if (head.length > HEAD_LIMIT) this.state = "doubt";
    else this.#kept = before > 0 ? head : head.slice();
    return bytes.length;
  }

  /** Reads the lines of a head and tells where it ends; undefined when it goes on. */
  #lines(head: Uint8Array): number | undefined {
    let length: number | undefined;
    let coded = false;
    let chunked = false;
    let doubt = false;
    let end = head.indexOf(LF);
    for (let at = end + 1; end >= 0; at = end + 1) {
      end = head.indexOf(LF, at);
      if (end < 0) break;
      if (end === at || (end === at + 1 && head[at] === CR)) {
        if (this.#isAnswer) this.status = statusOf(head);
        this.#body(doubt ? "doubt" : coded ? chunked ? "chunks" : "close" : length);
        return end + 1;
      }
      // A header that goes on in the next line: nobody sends that any more.
      if (head[at] === SPACE || head[at] === TAB) doubt = true;
      const value = valueOf(head, at, end, CONTENT_LENGTH);
      if (value !== undefined) {
        const number = decimal(value);
        if (number === undefined || (length ?? number) !== number) doubt = true;
        length = number;
        continue;
      }
      const coding = valueOf(head, at, end, TRANSFER_ENCODING);
      if (coding === undefined) continue;
      if (coded) doubt = true;
      coded = true;
      chunked = coding.length === CHUNKED.length && isName(coding, 0, CHUNKED);
    }
    return undefined;
  }

  #body(framing: "doubt" | "chunks" | "close" | number | undefined): void {
    const { status } = this;
    if (this.#isAnswer) {
      if (status === undefined) return void (this.state = "doubt");
      // The real answer follows.
      if (status < 200 && status !== 101) return;
      if (status === 101) return void (this.state = "close");
      if (this.#bodiless || status === 204 || status === 304) return void (this.state = "done");
    }
    if (typeof framing === "number") {
      this.#left = framing;
      this.state = framing === 0 ? "done" : "body";
    } else if (framing === undefined) {
      this.state = this.#isAnswer ? "close" : "done";
    } else {
      // A request cannot end with its connection.
      this.state = framing === "close" && !this.#isAnswer ? "doubt" : framing;
    }
  }

  #chunks(bytes: Uint8Array, from: number): number {
    let at = from;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const take = Math.min(this.#left, bytes.length - at);
        this.#left -= take;
        at += take;
        continue;
      }
      const byte = bytes[at++]!;
      if (this.#part === "trailer") {
        if (byte !== LF) {
          if (byte !== CR) this.#line++;
          continue;
        }
        if (this.#line === 0) {
          this.state = "done";
          return at;
        }
        this.#line = 0;
      } else if (byte === LF) {
        if (this.#digits === 0) return this.#broken(bytes);
        // With the end of line behind it.
        if (this.#size > 0) this.#left = this.#size + 2;
        this.#part = this.#size > 0 ? "size" : "trailer";
        this.#size = this.#digits = 0;
      } else if (this.#part === "size") {
        const digit = hexDigit(byte);
        if (digit >= 0) {
          if (++this.#digits > SIZE_DIGITS) return this.#broken(bytes);
          this.#size = this.#size * 16 + digit;
        } else if (byte === SEMICOLON || byte === SPACE || byte === TAB || byte === CR) {
          this.#part = "extension";
        } else return this.#broken(bytes);
      }
    }
    return at;
  }

  #broken(bytes: Uint8Array): number {
    this.state = "doubt";
    return bytes.length;
  }
}

/** `HTTP/1.1 200 OK`. */
function statusOf(head: Uint8Array): number | undefined {
  const status = decimal(head.subarray(9, 12));
  const isHttp = head[0] === 72 && head[4] === 47 && head[5] === 49 && head[8] === SPACE;
  return isHttp && status !== undefined && status >= 100 ? status : undefined;
}

/** The value of the header in this line, if that is its name. */
function valueOf(
  head: Uint8Array,
  at: number,
  lineEnd: number,
  name: Uint8Array,
): Uint8Array | undefined {
  if (!isName(head, at, name)) return undefined;
  let from = at + name.length;
  if (head[from] !== COLON) return undefined;
  from++;
  let end = lineEnd;
  while (from < end && isBlank(head[from]!)) from++;
  while (end > from && isBlank(head[end - 1]!)) end--;
  return head.subarray(from, end);
}

/** Compares without regard to case. */
function isName(bytes: Uint8Array, at: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[at + i]!;
    if ((byte >= 65 && byte <= 90 ? byte | 32 : byte) !== name[i]) return false;
  }
  return true;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === CR;
}

function decimal(digits: Uint8Array): number | undefined {
  if (digits.length === 0 || digits.length > 15) return undefined;
  let number = 0;
  for (const digit of digits) {
    if (digit < 48 || digit > 57) return undefined;
    number = number * 10 + digit - 48;
  }
  return number;
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

function lowerCase(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
