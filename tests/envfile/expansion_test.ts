import assert from "node:assert/strict";
import { expand } from "../../src/envfile/expansion.ts";

/** Cases and results of Kubernetes' own table: third_party/forked/golang/expansion/expand_test.go. */
const CASES: readonly (readonly [input: string, result: string])[] = [
  ["$(VAR_A)", "A"],
  ["$(VAR_A)-$(VAR_A)", "A-A"],
  ["___$(VAR_B)___", "___B___"],
  ["$(VAR_A)_$(VAR_B)_$(VAR_C)", "A_B_C"],
  ["$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"],
  ["$$(VAR_A)_$$(VAR_B)", "$(VAR_A)_$(VAR_B)"],
  ["f000-$$VAR_A", "f000-$VAR_A"],
  ["foo\\$(VAR_C)bar", "foo\\Cbar"],
  ["foo\\\\\\\\$(VAR_A)bar", "foo\\\\\\\\Abar"],
  ["$(VAR_A$(VAR_B))", "$(VAR_A$(VAR_B))"],
  ["$(VAR_A$(VAR_B)", "$(VAR_A$(VAR_B)"],
  ["$(VAR_REF)", "$(VAR_A)"],
  ["%%$(VAR_REF)--$(VAR_REF)%%", "%%$(VAR_A)--$(VAR_A)%%"],
  ["foo$(VAR_EMPTY)bar", "foobar"],
  ["foo$(VAR_Awhoops!", "foo$(VAR_Awhoops!"],
  ["f00__(VAR_A)__", "f00__(VAR_A)__"],
  ["$?_boo_$!", "$?_boo_$!"],
  ["$VAR_A", "$VAR_A"],
  ["$(VAR_DNE)", "$(VAR_DNE)"],
  ["$$$$$$(BIG_MONEY)", "$$$(BIG_MONEY)"],
  ["$$$$$$(VAR_A)", "$$$(VAR_A)"],
  ["$$$$$$$(GOOD_ODDS)", "$$$$(GOOD_ODDS)"],
  ["$$$$$$$(VAR_A)", "$$$A"],
  ["$VAR_A)", "$VAR_A)"],
  ["${VAR_A}", "${VAR_A}"],
  ["$(VAR_B)_______$(A", "B_______$(A"],
  ["$(VAR_C)_______$(", "C_______$("],
  ["$(VAR_A)foobarzab$", "Afoobarzab$"],
  ["--$($($($($--", "--$($($($($--"],
  ["foo0--$($($($(", "foo0--$($($($("],
  ["$(foo$$var)", "$(foo$$var)"],
  ["$($($($($--foo$(", "$($($($($--foo$("],
  ["\n", "\n"],
];

Deno.test("expand gives what Kubernetes' own table says", () => {
  const variables = new Map([
    ["VAR_A", "A"],
    ["VAR_B", "B"],
    ["VAR_C", "C"],
    ["VAR_REF", "$(VAR_A)"],
    ["VAR_EMPTY", ""],
  ]);
  for (const [input, result] of CASES) {
    assert.equal(expand(input, (name) => variables.get(name)), result, input);
  }
});

Deno.test("expand reads a hostile value once, not once for each reference it opens", () => {
  const text = `x)${"$(".repeat(700_000)}`;
  const start = performance.now();
  assert.equal(expand(text, () => undefined), text);
  assert.ok(performance.now() - start < 3000);
});
