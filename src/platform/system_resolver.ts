import { lookup } from "node:dns/promises";

/**
 * The IPv4 addresses the system's own resolver gives for a name, as every
 * program gets them (hosts file first, where nsswitch says so). None when it
 * has no answer within `timeoutMs`.
 */
export async function systemLookup(name: string, timeoutMs: number): Promise<string[]> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("no answer")), timeoutMs);
  try {
    const found = await Promise.race([lookup(name, { all: true, family: 4 }), late.promise]);
    return found.map(({ address }) => address);
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}

/** Whether this process may open `port` on `address`; a port that is taken counts as allowed. */
export function mayListen(address: string, port: number): boolean {
  try {
    Deno.listen({ hostname: address, port }).close();
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.PermissionDenied);
  }
}
