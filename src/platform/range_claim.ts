/**
 * Port of the claim sockets. Nothing is served there; a socket is only the one
 * machine-wide sign that ends with its process, whatever happens to it.
 */
const CLAIM_PORT = 40_040;

/**
 * Takes the addresses 127.1.RANGE.1-254 for this process until it ends, by
 * holding a socket on 127.1.RANGE.255. False when another user's czfwd has them.
 */
export function claimRange(range: number): boolean {
  try {
    const listener = Deno.listen({ hostname: `127.1.${range}.255`, port: CLAIM_PORT });
    listener.unref();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}
