import assert from "node:assert/strict";
import { median, metText, table } from "./table.ts";

Deno.test("median takes the middle, or the mean of the two in the middle", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 2, 9]), 3);
});

Deno.test("metText reads a goal in its direction", () => {
  assert.equal(metText(2, 2, false), "yes");
  assert.equal(metText(1.9, 2, false), "**no**");
  assert.equal(metText(0.5, 0.4, true), "**no**");
  assert.equal(metText(0.5, undefined, true), "");
});

Deno.test("table lines up its columns", () => {
  assert.equal(
    table(["a", "number"], [["long", "1"]]),
    "| a    | number |\n| ---- | -----: |\n| long |      1 |",
  );
});

Deno.test({
  name: "the bench measures both tools and puts them side by side",
  // Mount namespaces are root's.
  ignore: Deno.uid() !== 0,
  fn: async () => {
    const main = new URL("main.ts", import.meta.url).pathname;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", main, "--no-compile", "--only", "echo"]
        .concat("--only", "token", "--rounds", "1", "--ms", "300"),
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    assert.equal(code, 0, text.decode(stderr));
    assert.match(text.decode(stdout), /\| 1-byte echo on an open connection, p50 +\| +ms \| +\d/);
  },
});
