import type { ByteConn } from "../platform/net.ts";

/** Longest header block taken from a server, in bytes; Go's own limit is 1 MB, real ones are below 1 KB. */
const MAX_HEADER = 64 * 1024;
/** Most of an error answer's body that is read, in bytes: a Status object is a few hundred. */
const MAX_BODY = 16 * 1024;

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case; repeated ones joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes that came behind the header block: of an upgraded stream, or of the body. */
  readonly rest: Uint8Array;
}

/** The text of a request without a body. Throws when a value would break out of its line. */
export function requestText(
  method: string,
  path: string,
  headers: readonly (readonly [name: string, value: string])[],
): Uint8Array {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  for (const line of lines) {
    // deno-lint-ignore no-control-regex
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(line)) {
      throw new Error("Control character in a request header");
    }
  }
  return new TextEncoder().encode(lines.join("\r\n") + "\r\n\r\n");
}

/** Writes everything, however the connection cuts it up. */
export async function writeAll(conn: ByteConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/**
 * Reads one answer's header block. Throws when it is no HTTP/1.x, longer than
 * 64 KiB, or the connection ends within it.
 */
export async function readAnswer(conn: ByteConn): Promise<HttpAnswer> {
  const buffer = new Uint8Array(MAX_HEADER);
  let have = 0;
  for (;;) {
    if (have === buffer.length) throw new Error("The answer's header block is too long");
    const count = await conn.read(buffer.subarray(have));
    if (count === null) throw new Error("The connection ended before an answer came");
    const from = Math.max(0, have - 3);
    have += count;
    const end = headerEnd(buffer, from, have);
    if (end < 0) continue;
    const answer = parseHeader(new TextDecoder().decode(buffer.subarray(0, end)));
    // An answer that only says "wait": the real one follows.
    if (answer.status >= 100 && answer.status < 200 && answer.status !== 101) {
      buffer.copyWithin(0, end + 4, have);
      have -= end + 4;
      const next = headerEnd(buffer, 0, have);
      if (next < 0) continue;
      return {
        ...parseHeader(new TextDecoder().decode(buffer.subarray(0, next))),
        rest: buffer.slice(next + 4, have),
      };
    }
    return { ...answer, rest: buffer.slice(end + 4, have) };
  }
}

function headerEnd(buffer: Uint8Array, from: number, to: number): number {
  for (let i = from; i + 3 < to; i++) {
    if (
      buffer[i] === 13 && buffer[i + 1] === 10 && buffer[i + 2] === 13 && buffer[i + 3] === 10
    ) return i;
  }
  return -1;
}

function parseHeader(text: string): Omit<HttpAnswer, "rest"> {
  const [first = "", ...lines] = text.split("\r\n");
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1];
  if (status === undefined) throw new Error("The answer is not HTTP/1.1");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { status: Number(status), headers };
}

/** The body of a refusal, at most 16 KiB of it, as text; whatever came when it ends early. */
export async function readBody(conn: ByteConn, answer: HttpAnswer): Promise<string> {
  const declared = Number(answer.headers.get("content-length") ?? Number.NaN);
  const chunked = /\bchunked\b/i.test(answer.headers.get("transfer-encoding") ?? "");
  const want = Number.isFinite(declared) ? Math.min(declared, MAX_BODY) : MAX_BODY;
  const parts = [answer.rest];
  let have = answer.rest.length;
  const complete = () => chunked ? tail(parts).endsWith("0\r\n\r\n") : have >= want;
  const buffer = new Uint8Array(4096);
  try {
    while (have < MAX_BODY && !complete()) {
      const count = await conn.read(buffer);
      if (count === null) break;
      parts.push(buffer.slice(0, count));
      have += count;
    }
  } catch {
    // What has come is enough to tell what went wrong.
  }
  const text = new TextDecoder().decode(concat(parts));
  return chunked ? text.replace(/(^|\r\n)[0-9a-fA-F]+\r\n/g, "").trim() : text;
}

function tail(parts: readonly Uint8Array[]): string {
  return new TextDecoder().decode(concat(parts).subarray(-8));
}

/** A Kubernetes Status object, where the body is one. */
export interface StatusBody {
  readonly message: string;
  readonly reason: string;
  readonly kind: string;
  readonly name: string;
}

export function parseStatus(body: string): StatusBody | undefined {
  try {
    const parsed = JSON.parse(body);
    if (parsed?.kind !== "Status") return undefined;
    const text = (value: unknown) => typeof value === "string" ? value.slice(0, 600) : "";
    return {
      message: text(parsed.message),
      reason: text(parsed.reason),
      kind: text(parsed.details?.kind),
      name: text(parsed.details?.name),
    };
  } catch {
    return undefined;
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
