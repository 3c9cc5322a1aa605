import { HttpMessage } from "./http_message.ts";

const CR = 13;
const LF = 10;
const SPACE = 32;
/** Longest request line looked for, in bytes: what servers accept. */
const LINE_LIMIT = 8192;
const VERSION = new TextEncoder().encode(" HTTP/1.");
const CONNECT = new TextEncoder().encode("CONNECT ");
const HEAD = new TextEncoder().encode("HEAD ");

/**
 * Tells where in what a program sends a new HTTP/1 request begins and nothing
 * else is under way: the last one has been sent whole, and its answer has come
 * whole. Then it may as well go to another pod. When in doubt, no, and for
 * good: for any other protocol, from CONNECT or an upgrade on, and once a
 * program has sent a request before the last was answered (docs/decisions/0182).
 */
export class HttpTurns {
  #kind: "unknown" | "http" | "other" = "unknown";
  #request = new HttpMessage("request");
  #answer = new HttpMessage("answer");

  /** The program sends `bytes`. True when they begin a request and nothing else is under way. */
  up(bytes: Uint8Array): boolean {
    if (this.#kind === "other") return false;
    const isFirst = this.#kind === "unknown";
    let begins = false;
    if (isFirst || this.#request.state === "done") {
      begins = beginsRequest(bytes);
      if (isFirst ? !begins : this.#answer.state !== "done") return this.#leave();
      if (startsWith(bytes, CONNECT, 0)) return this.#leave();
      this.#kind = "http";
      this.#request = new HttpMessage("request");
      this.#answer = new HttpMessage("answer", startsWith(bytes, HEAD, 0));
    }
    const used = this.#request.push(bytes);
    // Another request behind it, sent ahead.
    if (used < bytes.length || this.#request.state === "doubt") return this.#leave();
    return begins && !isFirst;
  }

  /** The pod sends `bytes`. */
  down(bytes: Uint8Array): void {
    if (this.#kind !== "http") return;
    const used = this.#answer.push(bytes);
    // More than was asked for; or no answer at all; or another protocol from here on.
    if (used < bytes.length || this.#answer.state === "doubt" || this.#answer.status === 101) {
      this.#leave();
    }
  }

  #leave(): false {
    this.#kind = "other";
    return false;
  }
}

/** `GET /path HTTP/1.1`, whole. */
function beginsRequest(bytes: Uint8Array): boolean {
  const first = bytes[0];
  if (first === undefined || first < 65 || first > 90) return false;
  const end = Math.min(bytes.length, LINE_LIMIT);
  let at = 0;
  while (at < end && bytes[at] !== CR && bytes[at] !== LF) at++;
  if (at === end) return false;
  const version = at - VERSION.length - 1;
  return version > 0 && startsWith(bytes, VERSION, version) &&
    bytes.subarray(0, version).includes(SPACE);
}

function startsWith(bytes: Uint8Array, what: Uint8Array, from: number): boolean {
  for (let i = 0; i < what.length; i++) if (bytes[from + i] !== what[i]) return false;
  return true;
}
