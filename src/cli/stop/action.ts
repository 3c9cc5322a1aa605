import type { CliContext } from "../context.ts";
import { controlClient, follow, ifRunning, workloadName } from "../control.ts";
import { recoverLeftovers, untilSvcEnds } from "../leftovers.ts";

/** svc waits for its helper this long at most, and that for the lock of the hosts file, in ms. */
const STOPPED_MS = 45_000;

/** `czctl stop [--uninstall]`: closes everything and ends svc. */
export async function stop(
  options: { readonly uninstall?: true | undefined; readonly prefix?: string | undefined },
  context: CliContext,
): Promise<void> {
  const { print, signal } = context;
  const { mendLink } = await import("../../session/launch.ts");
  await mendLink(context.paths());
  const outcome = await ifRunning(() => follow(controlClient(context).stop(signal), print));
  if (outcome === undefined) {
    await recoverLeftovers(context, { strict: true });
    print.say("czfwd is not running: nothing to stop");
  } else {
    for (const session of outcome.closed) print.step(`closed ${workloadName(session)}`, "");
    // One of an older version does not say that it ends.
    const ended = await untilSvcEnds(context, STOPPED_MS);
    if (ended) print.step("czfwd", "stopped");
    else print.note("czfwd is asked to stop, and has not ended yet; see czctl logs");
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
