import { inflateRawSync } from "node:zlib";
import { BuildError } from "./build_error.ts";

/** Signatures of the ZIP format (APPNOTE.TXT 4.3): end of central directory, central entry. */
const END = 0x06054b50;
const ENTRY = 0x02014b50;

/** The only file of a ZIP archive, as Deno's downloads are. Throws BuildError. */
export function unzipSingle(zip: Uint8Array, name: string): Uint8Array {
  const wrong = (why: string) => new BuildError(`Cannot unpack "${name}": ${why}`);
  const view = new DataView(zip.buffer, zip.byteOffset, zip.length);
  let end = zip.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) throw wrong("it is not a ZIP file");
  if (view.getUint16(end + 10, true) !== 1) throw wrong("it does not hold exactly one file");
  const entry = view.getUint32(end + 16, true);
  if (entry + 46 > zip.length || view.getUint32(entry, true) !== ENTRY) {
    throw wrong("its directory is damaged");
  }
  const method = view.getUint16(entry + 10, true);
  const packed = view.getUint32(entry + 20, true);
  const local = view.getUint32(entry + 42, true);
  if (local + 30 > zip.length) throw wrong("its directory is damaged");
  const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const data = zip.subarray(start, start + packed);
  if (data.length !== packed) throw wrong("it is cut off");
  if (method === 0) return data;
  if (method !== 8) throw wrong(`compression method ${method} is not supported`);
  try {
    return inflateRawSync(data);
  } catch (error) {
    throw wrong((error as Error).message);
  }
}
