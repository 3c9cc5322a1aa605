import { CzctlError } from "../../model/errors.ts";
import type { SessionInfo } from "../../model/control.ts";
import type { CliContext } from "../context.ts";
import {
  controlClient,
  follow,
  ifRunning,
  namespacesOf,
  type Outcome,
  tunnelledOf,
  workloadName,
} from "../control.ts";
import type { ControlClient } from "../control_client.ts";
import { kindOf } from "../kinds.ts";
import { count } from "../text.ts";

/** After a failure a svc that has no other session ends within this, in ms. */
const GIVEN_UP_MS = 2_000;

/** `czctl session close [ID] [--all] [--force]`. */
export async function close(
  id: string | undefined,
  options: { readonly all?: true | undefined; readonly force?: true | undefined },
  context: CliContext,
): Promise<number> {
  if (id !== undefined && options.all) {
    throw new CzctlError("usage", "A session and --all are named together", {
      hint: "Give one of them: czctl session close ID, or czctl session close --all",
    });
  }
  const client = controlClient(context);
  const sessions = await openSessions(client, context, { strict: true });
  if (sessions.length === 0 && id === undefined) {
    context.print.say("No session is open: nothing to close");
    if (context.print.format === "json") context.print.json({ closed: [] });
    return 0;
  }
  if (options.all) return await closeSession(client, undefined, options.force === true, context);
  const chosen = chooseSession(sessions, id);
  return await closeSession(client, chosen.id, options.force === true, context);
}

/** `deploy/web` as sessions are listed: `deployment/web`. */
function workloadOf(id: string): string | undefined {
  const [word, name] = id.split("/");
  return name === undefined ? undefined : `${kindOf(word!)}/${name}`;
}

/**
 * The open sessions; none when no svc is running, after cleaning up what a dead one left.
 * With `strict` it throws CzctlError where that cannot be cleaned up.
 */
export async function openSessions(
  client: ControlClient,
  context: CliContext,
  options: { strict?: boolean } = {},
): Promise<readonly SessionInfo[]> {
  const sessions = await ifRunning(() => client.sessions(context.signal));
  if (sessions !== undefined) {
    const { mendLink } = await import("../../session/launch.ts");
    await mendLink(context.paths());
    return sessions;
  }
  const { recoverLeftovers } = await import("../leftovers.ts");
  await recoverLeftovers(context, options);
  return [];
}

/**
 * The session an id or its beginning means, or a workload (`deploy/web`);
 * without one, the only session.
 * `several` is the hint where it could be more than one.
 * Throws CzctlError `not_found` or `usage`.
 */
export function chooseSession(
  sessions: readonly SessionInfo[],
  id: string | undefined,
  several = "Name one by its id; czctl session close --all closes all",
): SessionInfo {
  // A variable of a script that is not set must not mean the only session.
  if (id !== undefined && id.trim() === "") {
    throw new CzctlError("usage", "The session's id is empty", { hint: "See: czctl session list" });
  }
  const list = listOf(sessions);
  const workload = id === undefined ? undefined : workloadOf(id);
  const found = id === undefined
    ? sessions
    : sessions.filter((session) => session.id.startsWith(id) || workloadName(session) === workload);
  const exact = found.find((session) => session.id === id) ?? found[0];
  if (exact === undefined) {
    throw new CzctlError(
      "not_found",
      id === undefined ? "No session is open" : `Session "${id}" not found`,
      { hint: sessions.length === 0 ? "No session is open" : `Open sessions: ${list}` },
    );
  }
  if (found.length > 1 && exact.id !== id) {
    throw new CzctlError(
      "usage",
      id === undefined
        ? `${found.length} sessions are open: ${list}`
        : `"${id}" means ${found.length} sessions: ${listOf(found)}`,
      { hint: several },
    );
  }
  return exact;
}

/** Sessions for a message; with the namespace where the workload alone would not tell them apart. */
export function listOf(sessions: readonly SessionInfo[]): string {
  const alike = (nameOf: (session: SessionInfo) => string, one: SessionInfo) =>
    sessions.filter((session) => nameOf(session) === nameOf(one)).length > 1;
  const placeOf = (session: SessionInfo) =>
    `${workloadName(session)} of ${session.workload.namespace}, ${session.context}`;
  return sessions.map((session) => {
    const name = alike(workloadName, session) ? placeOf(session) : workloadName(session);
    return `${session.id} (${name}${alike(placeOf, session) ? ` at ${session.server}` : ""})`;
  }).join(", ");
}

/** Closes one session, or all without an id, and says which. */
export async function closeSession(
  client: ControlClient,
  id: string | undefined,
  force: boolean,
  context: CliContext,
): Promise<number> {
  const { print, signal } = context;
  const { untilSvcEnds } = await import("../leftovers.ts");
  let outcome: Outcome;
  try {
    outcome = await follow(client.close(id, force, signal), print);
  } catch (error) {
    // svc gives up what it cannot undo, such as a block it has no helper for any more.
    if (!signal.aborted) await untilSvcEnds(context, GIVEN_UP_MS);
    throw error;
  }
  const { closed, ending } = outcome;
  if (ending) await untilSvcEnds(context);
  for (const session of closed) {
    print.step(
      `closed ${workloadName(session)}`,
      `${count(tunnelledOf(session).length, "service")} of ${namespacesOf(session)}`,
    );
  }
  if (print.format === "json") print.json({ closed: closed.map((session) => session.id) });
  return 0;
}
