import { CzctlError } from "../../model/errors.ts";
import type { SessionInfo } from "../../model/control.ts";
import type { CliContext } from "../context.ts";
import { controlClient } from "../control.ts";
import { parseWorkload, type WorkloadArguments } from "../kinds.ts";
import { closeSession, listOf, openSessions } from "../session/close.ts";
import type { TeleportOptions } from "./command.ts";

/** `czctl teleport --clean`: closes the session of this workload, or the only one. */
export async function clean(
  operands: readonly string[],
  options: Pick<TeleportOptions, "namespace" | "context" | "force">,
  context: CliContext,
): Promise<number> {
  const workload = operands.length === 0 ? undefined : parseWorkload(operands, "teleport");
  const client = controlClient(context);
  const sessions = await openSessions(client, context);
  const found = sessions.filter((session) =>
    (workload === undefined ||
      (session.workload.kind === workload.kind && session.workload.name === workload.name)) &&
    (options.namespace === undefined || session.workload.namespace === options.namespace) &&
    (options.context === undefined || session.context === options.context)
  );
  if (found.length === 0) {
    context.print.say(`No session${wordsOf(workload, options)} is open: nothing to clean up`);
    if (sessions.length > 0) context.print.note(`Still open: ${listOf(sessions)}`);
    if (context.print.format === "json") context.print.json({ closed: [] });
    return 0;
  }
  if (found.length > 1) throw ambiguous(found);
  return await closeSession(client, found[0]!.id, options.force === true, context);
}

/** What was asked for: ` of deployment/web in namespace shop`. */
function wordsOf(
  workload: WorkloadArguments | undefined,
  options: Pick<TeleportOptions, "namespace" | "context">,
): string {
  return (workload === undefined ? "" : ` of ${workload.kind}/${workload.name}`) +
    (options.namespace === undefined ? "" : ` in namespace ${options.namespace}`) +
    (options.context === undefined ? "" : ` with context ${options.context}`);
}

function ambiguous(found: readonly SessionInfo[]): CzctlError {
  return new CzctlError("usage", `${found.length} sessions are open: ${listOf(found)}`, {
    hint: "Close one with czctl session close ID, or all with czctl session close --all",
  });
}
