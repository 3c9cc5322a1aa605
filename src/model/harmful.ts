/** C0 and C1 controls, line separators, and the marks that reverse the reading order. */
export const HARMFUL =
  // deno-lint-ignore no-control-regex -- they are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Such a character as text: `\x1b`, `\u202e`. */
export function spelled(found: string): string {
  const code = found.charCodeAt(0);
  return code <= 0xff ? `\\x${hexOf(found, 2)}` : `\\u${hexOf(found, 4)}`;
}

export function hexOf(character: string, digits: number): string {
  return character.charCodeAt(0).toString(16).padStart(digits, "0");
}
