import { CzctlError } from "../../model/errors.ts";
import type { SessionInfo } from "../../model/control.ts";
import type { CliContext } from "../context.ts";
import { controlClient } from "../control.ts";
import { defined } from "../options.ts";
import { parseWorkload, type WorkloadArguments } from "../kinds.ts";
import { closeSession, listOf, openSessions } from "../session/close.ts";
import type { TeleportOptions } from "./command.ts";

/** `czctl teleport --clean`: closes the session of this workload, or the only one. */
export async function clean(
  operands: readonly string[],
  options: Pick<TeleportOptions, "namespace" | "context" | "kubeconfig" | "force">,
  context: CliContext,
): Promise<number> {
  if (context.program !== undefined) {
    throw new CzctlError("usage", "A program is named together with --clean", {
      hint: "Give one of them; see czctl teleport --help",
    });
  }
  const workload = operands.length === 0 ? undefined : parseWorkload(operands, "teleport");
  const client = controlClient(context);
  const sessions = await openSessions(client, context, { strict: true });
  const named = sessions.filter((session) =>
    (workload === undefined ||
      (session.workload.kind === workload.kind && session.workload.name === workload.name)) &&
    (options.namespace === undefined || session.workload.namespace === options.namespace)
  );
  const found = await ofCluster(named, options, context);
  if (found.length === 0) {
    context.print.say(`No session${wordsOf(workload, options)} is open: nothing to clean up`);
    if (sessions.length > 0) context.print.note(`Still open: ${listOf(sessions)}`);
    if (context.print.format === "json") context.print.json({ closed: [] });
    return 0;
  }
  if (found.length > 1) throw ambiguous(found);
  return await closeSession(client, found[0]!.id, options.force === true, context);
}

/** Those of the cluster that is meant: a session is open whatever its cluster's context is called. */
async function ofCluster(
  sessions: readonly SessionInfo[],
  { kubeconfig, context: name }: Pick<TeleportOptions, "context" | "kubeconfig">,
  context: CliContext,
): Promise<readonly SessionInfo[]> {
  if (kubeconfig === undefined && name === undefined) return sessions;
  if (kubeconfig === undefined) {
    const called = sessions.filter((session) => session.context === name);
    if (called.length > 0 || sessions.length === 0) return called;
  }
  const { serverOfContext } = await import("../../cluster/cluster.ts");
  const place = {
    env: context.env,
    cwd: context.cwd,
    home: context.paths().home,
    ...defined({ explicit: kubeconfig }),
  };
  const server = await serverOfContext(place, name).catch((error) => {
    // A context of another file, or of one that is gone.
    if (kubeconfig === undefined) return undefined;
    throw error;
  });
  return sessions.filter((session) => session.server === server);
}

/** What was asked for: ` of deployment/web in namespace shop`. */
function wordsOf(
  workload: WorkloadArguments | undefined,
  options: Pick<TeleportOptions, "namespace" | "context" | "kubeconfig">,
): string {
  return (workload === undefined ? "" : ` of ${workload.kind}/${workload.name}`) +
    (options.namespace === undefined ? "" : ` in namespace ${options.namespace}`) +
    (options.context === undefined ? "" : ` with context ${options.context}`) +
    (options.kubeconfig === undefined ? "" : ` in the cluster of ${options.kubeconfig}`);
}

function ambiguous(found: readonly SessionInfo[]): CzctlError {
  return new CzctlError("usage", `${found.length} sessions are open: ${listOf(found)}`, {
    hint: "Close one with czctl session close ID, or all with czctl session close --all",
  });
}
