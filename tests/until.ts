/**
 * Asks every `everyMs` until the answer is neither `false` nor `undefined` nor `null`, and returns
 * it. Throws after `ms`, with `what`.
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  ms = 10_000,
  everyMs = 10,
): Promise<NonNullable<Exclude<T, false>>> {
  const end = performance.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) {
      return answer as NonNullable<Exclude<T, false>>;
    }
    if (performance.now() > end) throw new Error(`Not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
