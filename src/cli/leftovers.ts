import { systemClock } from "../platform/clock.ts";
import type { CliContext } from "./context.ts";

/** A svc that ends by itself has let its helper restore the hosts file within this, in ms. */
const ENDED_MS = 5_000;

/**
 * Cleans up after a svc that has died, when there is something to clean up.
 * Called by the commands that find no svc running; opening a session does it
 * by itself. `strict`: for a command that is to clean up; throws CzctlError
 * where it cannot.
 */
export async function recoverLeftovers(
  context: CliContext,
  { strict = false }: { strict?: boolean } = {},
): Promise<void> {
  const { recoverIfNeeded } = await import("../session/recovery.ts");
  const mended = await recoverIfNeeded({ paths: context.paths(), strict });
  for (const text of mended) context.print.note(text);
}

/**
 * Waits until a svc that is ending has ended, so that nothing of it is left
 * when a command returns, and cleans up what it could not. False when it still
 * lives: somebody else may have opened a session meanwhile.
 */
export async function untilSvcEnds(context: CliContext, ms = ENDED_MS): Promise<boolean> {
  const { svcEnded } = await import("../session/launch.ts");
  if (!(await svcEnded(context.paths(), ms, systemClock))) return false;
  await recoverLeftovers(context);
  return true;
}
