/**
 * An incremental HTTP/1.1 parser for one direction of a connection, after RFC
 * 9112. It only watches: it is lenient where peers are (bare line feeds,
 * repeated equal lengths) and gives up, with a reason, where framing is in
 * doubt. It is fed by strangers: it never throws and holds at most one line
 * and one head.
 */
import { Buffer } from "node:buffer";

export type Header = readonly [name: string, value: string];

/** Longest head, and longest single line: what common servers accept. */
export const MAX_HEAD = 64 * 1024;
/** Longest line of chunked framing: a size with its extensions. */
const MAX_CHUNK_LINE = 4096;
/** Empty lines before a start line that are passed over (RFC 9112, 2.2). */
const MAX_EMPTY_LINES = 4;
/** Most headers of one message; thousands of tiny ones would take far more memory than their bytes. */
const MAX_HEADERS = 256;

export interface RequestHead {
  readonly kind: "request";
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly headers: readonly Header[];
}

export interface ResponseHead {
  readonly kind: "response";
  readonly status: number;
  readonly reason: string;
  readonly version: string;
  readonly headers: readonly Header[];
}

export type Head = RequestHead | ResponseHead;

/** How the body behind a head is delimited; `stop`: what follows is not ours to read. */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly length: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "until-close" }
  | { readonly kind: "stop"; readonly reason: string };

export interface MessageSink {
  /** A head was read; says how its body is framed. `size` is its length in bytes. */
  head(head: Head, size: number): Framing;
  /** Part of a body, only lent. */
  body(bytes: Uint8Array): void;
  /** The message is complete. */
  end(): void;
  /** Nothing more will come of this direction. Called once. */
  stop(reason: string): void;
}

type State =
  | "start"
  | "headers"
  | "length"
  | "until-close"
  | "size"
  | "data"
  | "data-end"
  | "trailers";

export class MessageReader {
  readonly #kind: Head["kind"];
  readonly #sink: MessageSink;
  #state: State = "start";
  #stopped = false;
  /** The beginning of a line whose end has not come yet. */
  #line = new Uint8Array(0);
  #lineSize = 0;
  #headSize = 0;
  #emptyLines = 0;
  #start: ReturnType<typeof parseStart>;
  #headers: Header[] = [];
  /** Bytes left of a body or chunk. */
  #left = 0;

  constructor(kind: Head["kind"], sink: MessageSink) {
    this.#kind = kind;
    this.#sink = sink;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** True between messages: nothing of the next one has been seen. */
  get idle(): boolean {
    return this.#state === "start" && this.#lineSize === 0;
  }

  feed(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      if (this.#state === "until-close") {
        this.#sink.body(chunk.subarray(at));
        return;
      }
      if (this.#state === "length" || this.#state === "data") {
        const size = Math.min(this.#left, chunk.length - at);
        this.#sink.body(chunk.subarray(at, at + size));
        at += size;
        this.#left -= size;
        if (this.#left === 0) this.#partDone();
        continue;
      }
      if (this.#implausible(chunk[at]!)) return this.stop(notHttp(chunk[at]!));
      const end = chunk.indexOf(10, at);
      const upTo = end === -1 ? chunk.length : end + 1;
      if (this.#lineSize + upTo - at > this.#lineLimit()) return this.stop("a line is too long");
      if (end === -1) {
        return this.#keepLine(chunk.subarray(at));
      }
      const text = this.#takeLine(chunk.subarray(at, end));
      at = upTo;
      this.#lineDone(text);
    }
  }

  /** The peer has closed this direction. */
  finish(): void {
    if (this.#stopped) return;
    if (this.#state === "until-close") {
      this.#state = "start";
      this.#sink.end();
    }
    this.stop(this.idle ? "closed" : "closed in the middle of a message");
  }

  /** Ends reading; later calls do nothing. */
  stop(reason: string): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#line = new Uint8Array(0);
    this.#sink.stop(reason);
  }

  /** A first byte no start line has: TLS and binary protocols are known by it at once. */
  #implausible(byte: number): boolean {
    if (this.#state !== "start" || this.#lineSize > 0) return false;
    if (byte === 13 || byte === 10) return false;
    return this.#kind === "response" ? byte !== 0x48 : !isTokenByte(byte);
  }

  #lineLimit(): number {
    if (this.#state === "start" || this.#state === "headers") return MAX_HEAD - this.#headSize;
    return this.#state === "trailers" ? MAX_HEAD : MAX_CHUNK_LINE;
  }

  /** Copies the beginning of a line; room grows by doubling, so that single bytes stay cheap. */
  #keepLine(part: Uint8Array): void {
    const size = this.#lineSize + part.length;
    if (size > this.#line.length) {
      const wider = new Uint8Array(Math.max(size, 2 * this.#line.length, 256));
      wider.set(this.#line.subarray(0, this.#lineSize));
      this.#line = wider;
    }
    this.#line.set(part, this.#lineSize);
    this.#lineSize = size;
  }

  /** The line up to here without its end, as one byte per character. */
  #takeLine(last: Uint8Array): string {
    let text: string;
    if (this.#lineSize === 0) text = latin1(last);
    else {
      this.#keepLine(last);
      text = latin1(this.#line.subarray(0, this.#lineSize));
      this.#line = new Uint8Array(0);
      this.#lineSize = 0;
    }
    this.#headSize += text.length + 1;
    return text.endsWith("\r") ? text.slice(0, -1) : text;
  }

  #lineDone(text: string): void {
    switch (this.#state) {
      case "start":
        return this.#startLine(text);
      case "headers":
        return this.#headerLine(text);
      case "size":
        return this.#sizeLine(text);
      case "data-end":
        if (text !== "") return this.stop("a chunk is longer than it says");
        this.#state = "size";
        return;
      case "trailers":
        if (this.#headSize > MAX_HEAD) return this.stop("the trailers are too long");
        if (text === "") this.#messageDone();
        return;
    }
  }

  #startLine(text: string): void {
    if (text === "" && ++this.#emptyLines <= MAX_EMPTY_LINES) return;
    this.#start = parseStart(this.#kind, text);
    if (this.#start === undefined) {
      return this.stop(/^PRI \* HTTP\/2/.test(text) ? "HTTP/2" : "not HTTP/1.1");
    }
    this.#headers = [];
    this.#state = "headers";
  }

  #headerLine(text: string): void {
    if (text !== "") {
      const problem = addHeader(this.#headers, text);
      if (problem !== undefined) this.stop(problem);
      return;
    }
    const head = { ...this.#start!, headers: this.#headers } as Head;
    const framing = this.#sink.head(head, this.#headSize);
    this.#headSize = 0;
    this.#emptyLines = 0;
    if (this.#stopped) return;
    switch (framing.kind) {
      case "none":
        return this.#messageDone();
      case "length":
        if (framing.length === 0) return this.#messageDone();
        this.#left = framing.length;
        this.#state = "length";
        return;
      case "chunked":
        this.#state = "size";
        return;
      case "until-close":
        this.#state = "until-close";
        return;
      case "stop":
        return this.stop(framing.reason);
    }
  }

  #sizeLine(text: string): void {
    // 13 hexadecimal digits stay below 2^53.
    const match = /^([0-9a-fA-F]{1,13})[ \t]*(?:;|$)/.exec(text);
    if (match === null) return this.stop("a chunk has no size");
    this.#headSize = 0;
    this.#left = parseInt(match[1]!, 16);
    this.#state = this.#left === 0 ? "trailers" : "data";
  }

  #partDone(): void {
    if (this.#state === "data") this.#state = "data-end";
    else this.#messageDone();
  }

  #messageDone(): void {
    this.#state = "start";
    this.#headSize = 0;
    this.#sink.end();
  }
}

function parseStart(kind: Head["kind"], text: string) {
  if (kind === "request") {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([!-~\u0080-\u00ff]+) HTTP\/(1\.[01])$/
      .exec(text);
    return match === null
      ? undefined
      : { kind, method: match[1]!, target: match[2]!, version: match[3]! };
  }
  const match = /^HTTP\/(1\.[01]) ([1-9]\d\d)(?: ([\t -~\u0080-\u00ff]*))?$/.exec(text);
  return match === null
    ? undefined
    : { kind, version: match[1]!, status: Number(match[2]), reason: match[3] ?? "" };
}

/** Appends one header line; the result says what is wrong with it. */
function addHeader(headers: Header[], text: string): string | undefined {
  if (/[\0\r]/.test(text)) return "a header holds a control character";
  const last = headers.at(-1);
  if (text.startsWith(" ") || text.startsWith("\t")) {
    if (last === undefined) return "the first header is folded";
    headers[headers.length - 1] = [last[0], `${last[1]} ${trim(text)}`];
    return undefined;
  }
  if (headers.length >= MAX_HEADERS) return "there are too many headers";
  const colon = text.indexOf(":");
  const name = text.slice(0, Math.max(colon, 0));
  if (name === "" || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return "a header has no name";
  headers.push([name, trim(text.slice(colon + 1))]);
  return undefined;
}

/** Blanks and tabs off both ends, in linear time. */
function trim(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && (text[from] === " " || text[from] === "\t")) from++;
  while (to > from && (text[to - 1] === " " || text[to - 1] === "\t")) to--;
  return text.slice(from, to);
}

/** How a request's body is framed (RFC 9112, 6.3). */
export function requestFraming(head: RequestHead): Framing {
  const coding = valuesOf(head.headers, "transfer-encoding");
  if (coding.length > 0) {
    if (coding.at(-1)!.toLowerCase() === "chunked") return { kind: "chunked" };
    return { kind: "stop", reason: "the transfer encoding is unknown" };
  }
  return lengthFraming(head.headers) ?? { kind: "none" };
}

/** How a response's body is framed; `method` is that of its request. */
export function responseFraming(head: ResponseHead, method: string): Framing {
  const { status, headers } = head;
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) {
    return { kind: "none" };
  }
  const coding = valuesOf(headers, "transfer-encoding");
  if (coding.length > 0) {
    return { kind: coding.at(-1)!.toLowerCase() === "chunked" ? "chunked" : "until-close" };
  }
  return lengthFraming(headers) ?? { kind: "until-close" };
}

function lengthFraming(headers: readonly Header[]): Framing | undefined {
  const lengths = new Set(valuesOf(headers, "content-length"));
  if (lengths.size === 0) return undefined;
  const [length] = lengths;
  if (lengths.size > 1 || !/^\d{1,15}$/.test(length!)) {
    return { kind: "stop", reason: "the content length makes no sense" };
  }
  return { kind: "length", length: Number(length) };
}

/** Every value of a header that holds a comma-separated list. */
export function valuesOf(headers: readonly Header[], name: string): string[] {
  return headers
    .filter(([key]) => key.toLowerCase() === name)
    .flatMap(([, value]) => value.split(",").map(trim))
    .filter((value) => value !== "");
}

/** The first value of a header, whole. */
export function headerOf(headers: readonly Header[], name: string): string | undefined {
  return headers.find(([key]) => key.toLowerCase() === name)?.[1];
}

function isTokenByte(byte: number): boolean {
  return byte < 0x7f && /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(byte));
}

function notHttp(byte: number): string {
  return byte === 0x16 ? "TLS" : "not HTTP/1.1";
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
