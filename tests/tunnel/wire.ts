/** SPDY frames and other bytes, as the tests put them together. */
import { Buffer } from "node:buffer";

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  values.forEach((value, i) => new DataView(bytes.buffer).setUint32(i * 4, value));
  return bytes;
}

export function frame(type: number, flags: number, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  return join([
    Uint8Array.of(0x80, 3, type >> 8, type, flags, length >> 16, length >> 8, length),
    payload,
  ]);
}

export function dataHead(id: number, length: number, fin: boolean): Uint8Array {
  return join([words(id), Uint8Array.of(fin ? 1 : 0, length >> 16, length >> 8, length)]);
}

export async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

export function closeQuietly(conn: { close(): void }): void {
  try {
    conn.close();
  } catch {
    // Closed already.
  }
}
