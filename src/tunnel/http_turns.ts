const CR = 13;
const LF = 10;
const SPACE = 32;
/** Longest request line looked for, in bytes: what servers accept. */
const LINE_LIMIT = 8192;
const VERSION = new TextEncoder().encode(" HTTP/1.");
const CONNECT = new TextEncoder().encode("CONNECT ");

/**
 * Tells where in what a program sends a new HTTP/1 request begins and nothing
 * else is under way, so that it may as well go to another pod. Costs a look at
 * the request's head, no more. When in doubt, and for good: for any other protocol,
 * for CONNECT, and once a program has sent a request before the last was answered.
 */
export class HttpTurns {
  #kind: "unknown" | "http" | "other" = "unknown";
  /** Something has come from the pod since the program sent its last bytes. */
  #answered = false;

  /** The program sends `bytes`. True when they begin a request, and there was an answer to the last. */
  up(bytes: Uint8Array): boolean {
    if (this.#kind === "other") return false;
    const answered = this.#answered;
    this.#answered = false;
    const begins = beginsRequest(bytes, 0);
    if (this.#kind === "unknown") {
      const leaves = !begins || startsWith(bytes, CONNECT, 0) || holdsSecond(bytes);
      this.#kind = leaves ? "other" : "http";
      return false;
    }
    if (!begins) return false;
    if (answered && !holdsSecond(bytes)) return true;
    this.#kind = "other";
    return false;
  }

  /** The pod sends something. */
  down(): void {
    this.#answered = true;
  }
}

/** `GET /path HTTP/1.1`, whole. */
function beginsRequest(bytes: Uint8Array, from: number): boolean {
  const first = bytes[from];
  if (first === undefined || first < 65 || first > 90) return false;
  const end = Math.min(bytes.length, from + LINE_LIMIT);
  let at = from;
  while (at < end && bytes[at] !== CR && bytes[at] !== LF) at++;
  if (at === end) return false;
  const version = at - VERSION.length - 1;
  return version > from && startsWith(bytes, VERSION, version) &&
    bytes.subarray(from, version).includes(SPACE);
}

/** Another request behind the first one's head. */
function holdsSecond(bytes: Uint8Array): boolean {
  for (let at = 3; at < bytes.length - 1; at++) {
    if (bytes[at] !== LF) continue;
    if (bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) {
      return beginsRequest(bytes, at + 1);
    }
  }
  return false;
}

function startsWith(bytes: Uint8Array, what: Uint8Array, from: number): boolean {
  for (let i = 0; i < what.length; i++) if (bytes[from + i] !== what[i]) return false;
  return true;
}
