import assert from "node:assert/strict";
import { decodeText } from "../../src/envfile/text.ts";

/** As hexadecimal bytes, with how many U+FFFD Go makes of them (`for range` over a string). */
const CASES: readonly (readonly [bytes: string, text: string])[] = [
  ["", ""],
  ["61c3a9e282acf09f9880", "aé€😀"],
  ["efbbbf61", "\ufeffa"],
  ["efbfbd", "\ufffd"],
  ["ff61", "?a"],
  ["fffee282c32861", "?????(a"],
  // Cut off in the middle.
  ["f09f98", "???"],
  ["e28261", "??a"],
  // A surrogate, too long, above the last character.
  ["eda080", "???"],
  ["c080", "??"],
  ["e08080", "???"],
  ["f0808080", "????"],
  ["f4908080", "????"],
  ["f5808080", "????"],
  ["ed9fbfee8080f48fbfbf", "\ud7ff\ue000\u{10ffff}"],
];

Deno.test("decodeText makes one U+FFFD of each byte that is not text, as Go does", () => {
  for (const [hex, expected] of CASES) {
    const { text, whole } = decodeText(Uint8Array.fromHex(hex));
    assert.equal(text, expected.replaceAll("?", "\ufffd"), hex);
    assert.equal(whole, !expected.includes("?"), hex);
  }
});
