import { CzctlError } from "../model/errors.ts";

/**
 * Port of the claim sockets. Nothing is served there; a socket is only the one
 * machine-wide sign that ends with its process, whatever happens to it.
 */
const CLAIM_PORT = 40_040;

/** Where no address of 127.0.0.0/8 but what was given to `lo` is this machine's. */
const NO_LOOPBACK = Deno.build.os === "linux"
  ? { why: "the loopback interface is down", mend: "Bring it up as root: ip link set lo up" }
  : {
    why: "this system answers to 127.0.0.1 only",
    mend: "czctl works on Linux; see docs/decisions/0034",
  };

/** Why nothing can listen on 127.1.x.y here, and what to do about it; undefined where it can. */
export function loopbackTrouble(): { why: string; mend: string } | undefined {
  try {
    Deno.listen({ hostname: "127.1.255.254", port: 0 }).close();
    return undefined;
  } catch (error) {
    return error instanceof Deno.errors.AddrNotAvailable ? NO_LOOPBACK : undefined;
  }
}

/**
 * Takes the addresses 127.1.RANGE.1-254 for this process until it ends, by
 * holding a socket on 127.1.RANGE.255. False when another user's czfwd has them.
 * Throws CzctlError where this machine has no such addresses (`unshare -n`, a
 * sandbox without network).
 */
export function claimRange(range: number): boolean {
  try {
    const listener = Deno.listen({ hostname: `127.1.${range}.255`, port: CLAIM_PORT });
    listener.unref();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    if (!(error instanceof Deno.errors.AddrNotAvailable)) throw error;
    throw new CzctlError("failed", `Cannot listen on 127.1.${range}.1: ${NO_LOOPBACK.why}`, {
      hint: NO_LOOPBACK.mend,
      cause: error,
    });
  }
}
