import type { CliContext } from "./context.ts";

/**
 * Cleans up after a svc that has died, when there is something to clean up.
 * Called by the commands that find no svc running; opening a session does it
 * by itself.
 */
export async function recoverLeftovers(context: CliContext): Promise<void> {
  const { recoverIfNeeded } = await import("../session/recovery.ts");
  const mended = await recoverIfNeeded({ paths: context.paths() });
  for (const text of mended) context.print.note(text);
}
