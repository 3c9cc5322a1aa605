import { Buffer } from "node:buffer";
import { messageOf } from "../model/errors.ts";
import { BodyFraming, parseHead, type ResponseHead } from "../platform/http_wire.ts";
import type { ByteConn } from "../platform/net.ts";

/** Longest header block taken from a server, in bytes; Go's own limit is 1 MB, real ones are below 1 KB. */
const MAX_HEADER = 64 * 1024;
/** Most of an error answer's body that is read, in bytes: a Status object is a few hundred. */
const MAX_BODY = 16 * 1024;

export interface HttpAnswer extends ResponseHead {
  /** Bytes that came behind the header block: of an upgraded stream, or of the body. */
  readonly rest: Buffer;
}

/**
 * Reads one answer's header block. Throws when it is no HTTP/1.x, longer than
 * 64 KiB, or the connection ends within it.
 */
export async function readAnswer(conn: ByteConn): Promise<HttpAnswer> {
  const buffer = Buffer.alloc(MAX_HEADER);
  for (let have = 0; have < buffer.length;) {
    const count = await conn.read(buffer.subarray(have));
    if (count === 0) throw new Error("The connection ended before an answer came");
    have += count;
    const parsed = parsedHead(buffer.subarray(0, have));
    // Copied, so that the large buffer is free again.
    if (parsed !== undefined) return { ...parsed.head, rest: Buffer.from(parsed.rest) };
  }
  throw new Error("The answer's header block is too long");
}

function parsedHead(data: Buffer): ReturnType<typeof parseHead> {
  try {
    return parseHead(data);
  } catch (error) {
    throw new Error(`The answer cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** The body of a refusal, at most 16 KiB of it, as text; whatever came when it ends early. */
export async function readBody(conn: ByteConn, answer: HttpAnswer): Promise<string> {
  const pieces: Buffer[] = [];
  let have = 0;
  try {
    const framing = new BodyFraming(answer);
    const keep = (bytes: Buffer) => {
      for (const piece of framing.push(bytes)) {
        pieces.push(piece);
        have += piece.length;
      }
    };
    keep(answer.rest);
    while (!framing.done && have < MAX_BODY) {
      const buffer = Buffer.alloc(4096);
      const count = await conn.read(buffer);
      if (count === 0) break;
      keep(buffer.subarray(0, count));
    }
  } catch {
    // What has come is enough to tell what went wrong.
  }
  return Buffer.concat(pieces).toString();
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
