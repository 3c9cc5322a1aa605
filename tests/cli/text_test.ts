import assert from "node:assert/strict";
import fc from "fast-check";
import { ago, ascii, columns, plain, plainJson, plainLines, size } from "../../src/cli/text.ts";

// deno-lint-ignore no-control-regex -- they are what must not be there
const HARMFUL = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
const hostile = fc.string({ unit: "binary" });

Deno.test("plain() leaves no harmful character, whatever it is given", () => {
  fc.assert(fc.property(hostile, (text) => {
    const shown = plain(text);
    assert.ok(!HARMFUL.test(shown), JSON.stringify(shown));
    assert.ok(shown.isWellFormed());
  }));
});

Deno.test("plain() spells escape sequences out and keeps other scripts", () => {
  assert.equal(plain("\x1b]0;owned\x07web"), "\\x1b]0;owned\\x07web");
  assert.equal(plain("a\nb\r\nc"), "a b c");
  assert.equal(plain("\u009b31m \u202eabc"), "\\x9b31m \\u202eabc");
  assert.equal(plain("müßig 日本"), "müßig 日本");
});

Deno.test("plainLines() keeps lines and tabs alone", () => {
  assert.equal(plainLines("a\tb\nc\x1b[2J\r\n"), "a\tb\nc\\x1b[2J\\x0d\n");
});

Deno.test("plainJson() is harmless and reads back equal", () => {
  fc.assert(fc.property(fc.dictionary(hostile, hostile), (value) => {
    const shown = plainJson(value);
    assert.ok(!HARMFUL.test(shown.replaceAll("\n", "")));
    assert.deepEqual(JSON.parse(shown), JSON.parse(JSON.stringify(value)));
  }));
});

Deno.test("ascii() turns our own decoration into ASCII", () => {
  assert.equal(ascii("✔ 127.1.31.1 – 127.1.31.6 … a → b"), "ok 127.1.31.1 - 127.1.31.6 ... a -> b");
});

Deno.test("columns() aligns all but the last column", () => {
  assert.deepEqual(columns([["a", "bb", "c"], ["aaa", "b", "long"], ["", "x", ""]]), [
    "a    bb  c",
    "aaa  b   long",
    "     x",
  ]);
});

Deno.test("ago() and size() choose readable units", () => {
  const at = (seconds: number) => ago(0, seconds * 1000);
  assert.deepEqual([at(0), at(119), at(120), at(7199), at(7200), at(12_000), at(172_800)], [
    "0s",
    "119s",
    "2m",
    "119m",
    "2h",
    "3h20m",
    "2d",
  ]);
  assert.deepEqual([size(0), size(999), size(1500), size(999_960), size(2.5e9)], [
    "0 B",
    "999 B",
    "1.5 kB",
    "1.0 MB",
    "2.5 GB",
  ]);
});
