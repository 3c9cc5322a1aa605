/**
 * Bytes as the text that reaches a container: the kubelet sends values over the
 * container runtime's API as they are, and Go's protobuf puts one U+FFFD in the
 * place of each byte that is not part of a UTF-8 character (tried: kubelet 1.36
 * with containerd 2.1). TextDecoder would put one for several bytes.
 */
export function decodeText(bytes: Uint8Array): { text: string; whole: boolean } {
  const valid = new Uint8Array(3 * bytes.length);
  let length = 0;
  let whole = true;
  for (let at = 0; at < bytes.length;) {
    const size = characterSize(bytes, at);
    if (size === 0) {
      whole = false;
      valid.set(REPLACEMENT, length);
      length += REPLACEMENT.length;
      at++;
    } else {
      valid.set(bytes.subarray(at, at + size), length);
      length += size;
      at += size;
    }
  }
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(valid.subarray(0, length));
  return { text, whole };
}

/** U+FFFD. */
const REPLACEMENT = [0xef, 0xbf, 0xbd];

/** How many bytes the character at `at` has; 0: no character begins with these bytes. */
function characterSize(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  const size = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  for (let i = 1; i < size; i++) {
    const [low, high] = i === 1 ? SECOND[lead] ?? CONTINUATION : CONTINUATION;
    const byte = bytes[at + i];
    if (byte === undefined || byte < low || byte > high) return 0;
  }
  return size;
}

const CONTINUATION = [0x80, 0xbf] as const;

/** Narrower second bytes: nothing longer than it must be, no surrogates, nothing above U+10FFFF. */
const SECOND: Readonly<Record<number, readonly [low: number, high: number]>> = {
  0xe0: [0xa0, 0xbf],
  0xed: [0x80, 0x9f],
  0xf0: [0x90, 0xbf],
  0xf4: [0x80, 0x8f],
};
