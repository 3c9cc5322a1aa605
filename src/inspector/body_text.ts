/** Bodies as somebody can read them. */
import { Buffer } from "node:buffer";
import {
  brotliDecompressSync,
  constants,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  zstdDecompressSync,
} from "node:zlib";
import { type Body, keptBytes } from "./exchange.ts";
import { type Header, headerOf, valuesOf } from "./http1.ts";
import type { BodyJson } from "./request_json.ts";

/** Most bytes a compressed body may grow to: a bomb ends here. */
const MAX_DECODED = 1024 * 1024;

export function bodyJson(body: Body, headers: readonly Header[]): BodyJson {
  const bytes = keptBytes(body);
  const truncated = body.keptSize < body.size;
  const type = headerOf(headers, "content-type");
  const coding = valuesOf(headers, "content-encoding").at(-1)?.toLowerCase();
  const base = {
    size: body.size,
    kept: body.keptSize,
    truncated,
    complete: body.complete,
    ...(type === undefined ? {} : { content_type: type }),
  };
  if (bytes.length === 0) return base;
  if (coding !== undefined && coding !== "identity") {
    const decoded = decode(bytes, coding);
    const text = decoded === undefined ? undefined : textOf(decoded, true);
    const base64 = Buffer.from(bytes).toString("base64");
    return text === undefined ? { ...base, base64 } : { ...base, decoded: coding, text, base64 };
  }
  const text = textOf(bytes, truncated || !body.complete);
  return text === undefined
    ? { ...base, base64: Buffer.from(bytes).toString("base64") }
    : { ...base, text };
}

/** Undoes a content coding as far as the bytes go; undefined where that fails. */
function decode(bytes: Uint8Array, coding: string): Uint8Array | undefined {
  const options = { maxOutputLength: MAX_DECODED, finishFlush: constants.Z_SYNC_FLUSH };
  try {
    switch (coding) {
      case "gzip":
      case "x-gzip":
        return gunzipSync(bytes, options);
      case "deflate":
        // Some servers leave out the zlib wrapper.
        return (bytes[0]! & 0x0f) === 8
          ? inflateSync(bytes, options)
          : inflateRawSync(bytes, options);
      case "br":
        return brotliDecompressSync(bytes, {
          maxOutputLength: MAX_DECODED,
          finishFlush: constants.BROTLI_OPERATION_FLUSH,
        });
      case "zstd": {
        const decoded = zstdDecompressSync(bytes, {
          maxOutputLength: MAX_DECODED,
          finishFlush: constants.ZSTD_e_flush,
        });
        // Of a body that was cut nothing comes before a whole block of up to 128 KiB.
        return decoded.length === 0 ? undefined : decoded;
      }
      default:
        return undefined;
    }
  } catch {
    return undefined;
  }
}

/** UTF-8 text, or undefined for anything else. `cut`: the last character may be half. */
function textOf(bytes: Uint8Array, cut: boolean): string | undefined {
  // NUL is valid UTF-8 but means binary.
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, {
      stream: cut,
    });
  } catch {
    return undefined;
  }
}
