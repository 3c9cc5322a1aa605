import assert from "node:assert/strict";
import { divideQuantity, parseQuantity } from "../../src/envfile/quantity.ts";

Deno.test("parseQuantity reads every notation, to the billionth", () => {
  // apimachinery pkg/api/resource: decimal and binary suffixes, exponents, rounding up.
  const cases: readonly (readonly [string | number, bigint | undefined])[] = [
    ["1", 1_000_000_000n],
    [2, 2_000_000_000n],
    ["100m", 100_000_000n],
    ["0.5", 500_000_000n],
    [".5", 500_000_000n],
    ["1.", 1_000_000_000n],
    ["1.5Gi", 1_610_612_736_000_000_000n],
    ["128Mi", 134_217_728_000_000_000n],
    ["1e3", 1_000_000_000_000n],
    ["12E-2", 120_000_000n],
    ["1E", 10n ** 27n],
    ["1Ei", 2n ** 60n * 10n ** 9n],
    ["5u", 5000n],
    ["5n", 5n],
    ["0.1n", 1n],
    ["-1", -1_000_000_000n],
    ["", undefined],
    [".", undefined],
    ["1KB", undefined],
    ["1ki", undefined],
    ["lots", undefined],
  ];
  for (const [text, value] of cases) assert.equal(parseQuantity(text), value, `${text}`);
});

Deno.test("divideQuantity rounds up as a resourceFieldRef does", () => {
  // pkg/api/v1/resource helpers_test.go TestExtractResourceValue and the downward API's docs.
  const divide = (value: string, divisor: string, unit: "cpu" | "whole") =>
    divideQuantity(parseQuantity(value)!, parseQuantity(divisor)!, unit);
  assert.equal(divide("9", "1", "cpu"), 9n);
  assert.equal(divide("100m", "1", "cpu"), 1n);
  assert.equal(divide("1.2", "1m", "cpu"), 1200n);
  assert.equal(divide("200m", "0", "cpu"), 1n);
  assert.equal(divide("1Mi", "1Ki", "whole"), 1024n);
  assert.equal(divide("10M", "1Mi", "whole"), 10n);
  assert.equal(divide("100Mi", "1", "whole"), 104857600n);
  assert.equal(divide("1500m", "1", "whole"), 2n);
});
