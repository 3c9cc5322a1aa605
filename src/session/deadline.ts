import type { Clock } from "../model/clock.ts";

/**
 * The promise's result, if it comes within `ms`. Throws what `error` makes when
 * it does not, and the signal's reason when aborted.
 */
export async function before<T>(
  promise: Promise<T>,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
  error: () => Error,
): Promise<T> {
  const done = new AbortController();
  const late = clock.sleep(ms, AbortSignal.any([signal, done.signal])).then(() => {
    throw error();
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    done.abort();
  }
}
