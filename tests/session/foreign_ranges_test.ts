import assert from "node:assert/strict";
import { foreignRanges } from "../../src/session/foreign_ranges.ts";

Deno.test("foreignRanges finds what others use and leaves out one's own block", () => {
  const hosts = [
    "127.0.0.1 localhost",
    "127.1.40.7\tby-hand # mine",
    "# 127.1.41.1 a comment",
    "# czctl begin 1000 - added by czctl, removed by: czctl session close",
    "127.1.31.1 web.shop",
    "# czctl end 1000",
    "# czctl begin 1001 - added by czctl, removed by: czctl session close\r",
    "127.1.32.1 web.shop\r",
    "# czctl end 1001\r",
    "  127.1.50.1 indented",
    "127.1.300 no-address",
  ].join("\n");
  assert.deepEqual([...foreignRanges(hosts, 1000)], [40, 32, 50]);
  assert.deepEqual([...foreignRanges(hosts, 1001)], [40, 31, 50]);
  assert.deepEqual([...foreignRanges("", 0)], []);
});
