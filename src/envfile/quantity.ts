/** Resource quantities (`100m`, `1.5Gi`, `2e3`), exact to a billionth as in Kubernetes. */

const NANO = 1_000_000_000n;

const SUFFIXES: Readonly<Record<string, readonly [numerator: bigint, denominator: bigint]>> = {
  "": [1n, 1n],
  n: [1n, NANO],
  u: [1n, 1_000_000n],
  m: [1n, 1000n],
  k: [10n ** 3n, 1n],
  M: [10n ** 6n, 1n],
  G: [10n ** 9n, 1n],
  T: [10n ** 12n, 1n],
  P: [10n ** 15n, 1n],
  E: [10n ** 18n, 1n],
  Ki: [2n ** 10n, 1n],
  Mi: [2n ** 20n, 1n],
  Gi: [2n ** 30n, 1n],
  Ti: [2n ** 40n, 1n],
  Pi: [2n ** 50n, 1n],
  Ei: [2n ** 60n, 1n],
};

/** Billionths of the unit, rounded up; undefined for what is not a quantity. */
export function parseQuantity(text: string | number): bigint | undefined {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:([eE])([+-]?\d{1,3})|([a-zA-Z]{0,2}))$/.exec(
    String(text).trim(),
  );
  if (!match) return undefined;
  const [, sign, whole = "", fraction = "", exponentMark, exponent = "0", suffix = ""] = match;
  if (whole + fraction === "") return undefined;
  const scale = exponentMark === undefined ? SUFFIXES[suffix] : power(Number(exponent));
  if (!scale) return undefined;
  const numerator = BigInt(whole + fraction) * scale[0] * NANO;
  const value = ceilDivide(numerator, scale[1] * 10n ** BigInt(fraction.length));
  return sign === "-" ? -value : value;
}

/**
 * `value / divisor`, rounded up: what a resourceFieldRef gives. CPU is counted
 * in thousandths and everything else in whole units before it is divided
 * (convertResourceCPUToString and its siblings in pkg/api/v1/resource).
 */
export function divideQuantity(value: bigint, divisor: bigint, unit: "cpu" | "whole"): bigint {
  const step = unit === "cpu" ? NANO / 1000n : NANO;
  const by = divisor === 0n ? NANO : divisor;
  return ceilDivide(ceilDivide(value, step), ceilDivide(by, step));
}

function power(exponent: number): readonly [bigint, bigint] {
  return exponent < 0 ? [1n, 10n ** BigInt(-exponent)] : [10n ** BigInt(exponent), 1n];
}

function ceilDivide(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator % denominator > 0n ? quotient + 1n : quotient;
}
