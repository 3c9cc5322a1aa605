import { lostText, type StatusInfo } from "../../model/control.ts";
import { buildInfo } from "../../platform/build_info.ts";
import type { CliContext } from "../context.ts";
import { controlClient, ifRunning } from "../control.ts";
import { recoverLeftovers } from "../leftovers.ts";
import { sessionTable, troubleLines } from "../session/list.ts";
import { ago, columns, count } from "../text.ts";

/** Ports with trouble that are told one by one. */
const MOST_TROUBLES = 5;

/** `czctl status`. */
export async function status(context: CliContext): Promise<void> {
  const { print } = context;
  const info = await ifRunning(() => controlClient(context).status(context.signal));
  if (info === undefined) await recoverLeftovers(context);
  if (print.format === "json") return print.json({ running: info !== undefined, ...info });
  if (info === undefined) return print.line("czfwd is not running: no session is open");
  for (const line of statusLines(info, Date.now())) print.line(line);
  const own = buildInfo().version;
  if (info.version !== own) {
    print.note(`czfwd is of version ${info.version}, czctl of ${own}: czctl stop && czctl start`);
  }
}

/** What svc says of itself, as lines for people. */
export function statusLines(info: StatusInfo, now: number): string[] {
  const stays = info.resident ? "stays until czctl stop" : "ends with the last session";
  const helper = info.helper.pid === undefined ? "" : `, pid ${info.helper.pid}`;
  const why = info.helper.reason === undefined ? "" : `: ${info.helper.reason}`;
  const lines = columns([
    [
      "czfwd",
      `running for ${ago(Date.parse(info.startedAt), now)}, pid ${info.pid}, ` +
      `version ${info.version}, ${stays}`,
    ],
    ["helper", `${info.helper.state}${helper}${why}`],
    ["inspector", info.inspector.url ?? `not there: ${info.inspector.reason ?? "not started"}`],
    ["sessions", info.sessions.length === 0 ? "none" : count(info.sessions.length, "session")],
  ]);
  if (info.sessions.length > 0) {
    lines.push("", ...sessionTable(info.sessions, now));
    for (const session of info.sessions) {
      for (const lost of session.lost ?? []) lines.push(`  ! ${session.id}: ${lostText(lost)}`);
      if (session.cluster.reachable) continue;
      const since = session.cluster.since === undefined
        ? ""
        : ` for ${ago(Date.parse(session.cluster.since), now)}`;
      lines.push(
        `  ! ${session.id}: the cluster is unreachable${since}: ` +
          (session.cluster.reason ?? "no answer"),
      );
    }
    const troubles = info.sessions.flatMap(({ services }) => troubleLines(services, now));
    lines.push(...troubles.slice(0, MOST_TROUBLES));
    const more = troubles.length - MOST_TROUBLES;
    if (more > 0) lines.push(`  ! and ${more} more: czctl session list --details`);
  }
  return lines;
}
