import assert from "node:assert/strict";
import { leftOutNotes } from "../../src/session/describe.ts";

Deno.test("leftOutNotes() has one note for each reason, and not too many names", () => {
  const names = (count: number) => Array.from({ length: count }, (_, n) => `n${n}`);
  const of = (names: readonly string[], reason: string) => names.map((name) => ({ name, reason }));
  assert.deepEqual(
    leftOutNotes([
      ...of(["web"], "line 3 has it"),
      ...of(names(8), "another user"),
      ...of(names(11), "another session"),
    ]),
    [
      "The name web is left out: line 3 has it",
      "The names n0, n1, n2, n3, n4, n5, n6, n7 are left out: another user",
      "The names n0, n1, n2, n3, n4, n5, n6, n7 and 3 more are left out: another session",
    ],
  );
  assert.deepEqual(leftOutNotes([]), []);
});
