/**
 * What a DNS name leads to, as the system's resolver configuration says; the
 * first record as text. Undefined when there is none, nobody answers, or the
 * signal ends the wait. A trailing dot keeps search domains out of it.
 */
export async function resolvesTo(
  name: string,
  type: "A" | "NS",
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const records = await Deno.resolveDns(name, type, { signal });
    return records[0];
  } catch {
    return undefined;
  }
}

/** True when a name server answers at all, be it that there is no such name. */
export async function nameIsAnswered(name: string, signal: AbortSignal): Promise<boolean> {
  try {
    await Deno.resolveDns(name, "NS", { signal });
    return true;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}
