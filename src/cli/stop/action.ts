import type { CliContext } from "../context.ts";
import { controlClient, follow, ifRunning, workloadName } from "../control.ts";
import { recoverLeftovers } from "../leftovers.ts";

/** `czctl stop [--uninstall]`: closes everything and ends svc. */
export async function stop(
  options: { readonly uninstall?: true | undefined; readonly prefix?: string | undefined },
  context: CliContext,
): Promise<void> {
  const { print, signal } = context;
  const outcome = await ifRunning(() => follow(controlClient(context).stop(signal), print));
  if (outcome === undefined) {
    await recoverLeftovers(context);
    print.say("czfwd is not running: nothing to stop");
  } else {
    for (const session of outcome.closed) print.step(`closed ${workloadName(session)}`, "");
    print.step("czfwd", "stopped");
  }
  let removed: string | undefined;
  if (options.uninstall) {
    const { removeElevated } = await import("../elevation.ts");
    removed = await removeElevated(options.prefix, context);
    if (removed === undefined) print.say("No elevated copy is installed: nothing to remove");
    else print.step("removed", removed);
  }
  if (print.format === "json") {
    print.json({
      stopped: outcome !== undefined,
      closed: (outcome?.closed ?? []).map((session) => session.id),
      ...(removed === undefined ? {} : { removed }),
    });
  }
}
