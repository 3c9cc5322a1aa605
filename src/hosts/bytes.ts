/** Byte helpers of the hosts room; nothing here decodes text, so no encoding can be harmed. */

const encoder = new TextEncoder();
const latin1 = new TextDecoder("latin1");

export const NEWLINE = 0x0a;

/** Text (ASCII by use) as bytes. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Bytes as text, one character per byte: for looking at, never for writing back. */
export function textOf(bytes: Uint8Array): string {
  return latin1.decode(bytes);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Length of the longest common beginning. */
export function commonPrefix(a: Uint8Array, b: Uint8Array): number {
  const end = Math.min(a.length, b.length);
  let at = 0;
  while (at < end && a[at] === b[at]) at++;
  return at;
}

/** One line of a file: `[start, end)` holds it with its newline, where it has one. */
export interface LineSpan {
  readonly start: number;
  readonly end: number;
}

/** Every line, split at LF only (a CR stays part of its line). */
export function lineSpans(bytes: Uint8Array): LineSpan[] {
  const spans: LineSpan[] = [];
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline === -1 ? bytes.length : newline + 1;
    spans.push({ start, end });
    start = end;
  }
  return spans;
}
