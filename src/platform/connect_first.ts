import { isIPv6 } from "./ip.ts";

/** An address is alone for this long before the next one is tried beside it, in ms: as in Go's net.Dialer. */
const ALONE_MS = 300;

/**
 * Connects to the first of several addresses that answers. The next one's turn
 * comes when one has failed, or has said nothing for a moment: where IPv6, or
 * one of several API servers, leads nowhere, nobody waits for that (RFC 8305).
 * What comes later is closed. Rejects with all their errors once every one has
 * failed, which they do when the signal is aborted.
 */
export function connectFirst<T extends { close(): void }>(
  addresses: readonly string[],
  connect: (address: string, signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const left = inTurns(addresses);
  const others = new AbortController();
  const either = AbortSignal.any([signal, others.signal]);
  const errors: unknown[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let open = 0;
  let done = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const next = () => {
    clearTimeout(timer);
    const address = left.shift();
    if (address === undefined || signal.aborted) {
      if (open === 0) reject(new AggregateError(errors, "No address answers"));
      return;
    }
    open++;
    connect(address, either).then((conn) => {
      if (done) return conn.close();
      done = true;
      clearTimeout(timer);
      others.abort();
      resolve(conn);
    }, (error) => {
      open--;
      errors.push(error);
      if (!done) next();
    });
    if (left.length > 0) timer = setTimeout(next, ALONE_MS);
  };
  next();
  return promise;
}

/** The families alternate, beginning with that of the first: the resolver has sorted each (RFC 6724). */
function inTurns(addresses: readonly string[]): string[] {
  const all = [...new Set(addresses)];
  const first = isIPv6(all[0] ?? "");
  const ours = all.filter((address) => isIPv6(address) === first);
  const theirs = all.filter((address) => isIPv6(address) !== first);
  const turns = Math.max(ours.length, theirs.length);
  return Array.from({ length: turns }, (_, turn) => [ours[turn], theirs[turn]])
    .flat().filter((address) => address !== undefined);
}
