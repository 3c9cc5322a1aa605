/**
 * An API object as the server holds it: immutable by agreement (a change makes
 * a new one), without `kind` and `apiVersion`, as in the items of a real list.
 */
// deno-lint-ignore no-explicit-any
export type Obj = Record<string, any>;

export const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** A random suffix as Kubernetes makes them (no vowels, no look-alikes). */
export function suffix(length = 5): string {
  let text = "";
  for (let i = 0; i < length; i++) text += ALPHABET[Math.floor(Math.random() * ALPHABET.length)];
  return text;
}

/** FNV-1a over the JSON of `value`, in the alphabet of pod-template-hash. */
export function hashOf(value: unknown, length = 10): string {
  let low = 0x811c9dc5, high = 0x9dc5811c;
  for (const char of JSON.stringify(value) ?? "") {
    low = Math.imul(low ^ char.charCodeAt(0), 0x01000193) >>> 0;
    high = Math.imul(high ^ (low & 0xff), 0x01000193) >>> 0;
  }
  let number = (BigInt(high) << 32n) | BigInt(low);
  let text = "";
  while (text.length < length) {
    text += ALPHABET[Number(number % 27n)];
    number = number / 27n || BigInt(low + text.length);
  }
  return text;
}

/** Now, in whole seconds, as `metav1.Time` is written. */
export function now(offsetMs = 0): string {
  return new Date(Date.now() + offsetMs).toISOString().replace(/\.\d+Z$/, "Z");
}
