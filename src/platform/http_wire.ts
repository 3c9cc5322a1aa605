import { Buffer } from "node:buffer";
import { DialError } from "./tcp.ts";

/**
 * The text of a request's head. Throws DialError when something would break
 * out of its line.
 */
export function requestHead(
  method: string,
  path: string,
  headers: readonly (readonly [name: string, value: string])[],
): string {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  // deno-lint-ignore no-control-regex
  const broken = lines.findIndex((line) => /[\x00-\x08\x0a-\x1f\x7f]/.test(line));
  if (broken >= 0) {
    const what = broken === 0 ? "the path" : `header "${headers[broken - 1]![0]}"`;
    throw new DialError("closed", `${what} holds a control character`);
  }
  return lines.join("\r\n") + "\r\n\r\n";
}

export interface ResponseHead {
  readonly status: number;
  /** Names in lower case; repeated ones joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  readonly keepAlive: boolean;
}

/** The longest response head taken, in bytes (Go's default limit is 1 MiB; real ones are under 4 KiB). */
const MAX_HEAD = 65_536;

/** Parses the head once it is whole; undefined before that. Throws on nonsense. */
export function parseHead(data: Buffer): { head: ResponseHead; rest: Buffer } | undefined {
  const end = data.indexOf("\r\n\r\n");
  if (end < 0) {
    if (data.length > MAX_HEAD) throw new Error("its head is too long");
    return undefined;
  }
  const [first = "", ...lines] = data.subarray(0, end).toString("latin1").split("\r\n");
  const match = /^HTTP\/1\.([01]) (\d{3})/.exec(first);
  if (!match) throw new Error("it is not HTTP");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error("a header has no colon");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const status = Number(match[2]);
  const rest = data.subarray(end + 4);
  // 100 Continue and the like: the real head follows.
  if (status >= 100 && status < 200 && status !== 101) return parseHead(rest);
  const connection = headers.get("connection")?.toLowerCase() ?? "";
  const keepAlive = match[1] === "1" ? connection !== "close" : connection === "keep-alive";
  return { head: { status, headers, keepAlive }, rest };
}

/** Takes a response body out of the byte stream. */
export class BodyFraming {
  /** The body is whole. */
  done = false;
  /** The connection can carry another request. */
  reusable: boolean;
  /** The end of the connection is the end of the body. */
  readonly endsWithConnection: boolean;
  readonly #chunked: boolean;
  /** Bytes still to come of the body or the chunk. */
  #left: number;
  #line = "";
  #state: "size" | "data" | "after" | "trailer" = "size";

  constructor(head: ResponseHead) {
    this.#chunked = head.headers.get("transfer-encoding")?.toLowerCase() === "chunked";
    const length = head.headers.get("content-length");
    const empty = head.status === 204 || head.status === 304;
    this.endsWithConnection = !this.#chunked && length === undefined && !empty;
    if (!this.#chunked && length !== undefined && !/^\d{1,15}$/.test(length)) {
      throw new Error("its length is not a number");
    }
    this.#left = empty ? 0 : Number(length ?? Infinity);
    this.reusable = head.keepAlive && !this.endsWithConnection;
    if (!this.#chunked && this.#left === 0) this.done = true;
  }

  /** Returns the body bytes in `data`. Throws on a broken chunk. */
  push(data: Buffer): Buffer[] {
    if (this.done) {
      // More than was promised: nothing to trust.
      if (data.length > 0) this.reusable = false;
      return [];
    }
    if (!this.#chunked) {
      const piece = data.subarray(0, Math.min(this.#left, data.length));
      this.#left -= piece.length;
      if (this.#left === 0) this.done = true;
      if (piece.length < data.length) this.reusable = false;
      return piece.length > 0 ? [piece] : [];
    }
    const out: Buffer[] = [];
    let at = 0;
    while (at < data.length && !this.done) {
      if (this.#state === "data") {
        const piece = data.subarray(at, at + this.#left);
        at += piece.length;
        this.#left -= piece.length;
        out.push(piece);
        if (this.#left === 0) this.#state = "after";
        continue;
      }
      const newline = data.indexOf(10, at);
      const stop = newline < 0 ? data.length : newline;
      this.#line += data.toString("latin1", at, stop);
      if (this.#line.length > MAX_HEAD) throw new Error("a chunk's head is too long");
      at = stop + 1;
      if (newline < 0) break;
      this.#endOfLine(this.#line.replace(/\r$/, ""));
      this.#line = "";
    }
    if (this.done && at < data.length) this.reusable = false;
    return out;
  }

  #endOfLine(line: string): void {
    switch (this.#state) {
      case "size": {
        const size = /^([0-9a-fA-F]{1,8})\s*(;|$)/.exec(line);
        if (!size) throw new Error("a chunk's size is not a number");
        this.#left = parseInt(size[1]!, 16);
        this.#state = this.#left === 0 ? "trailer" : "data";
        return;
      }
      case "after":
        if (line !== "") throw new Error("a chunk is longer than it says");
        this.#state = "size";
        return;
      default:
        if (line === "") this.done = true;
    }
  }
}
