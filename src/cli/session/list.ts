import type { PortInfo, ServiceInfo, SessionInfo } from "../../model/control.ts";
import { portLabel } from "../../session/describe.ts";
import type { CliContext } from "../context.ts";
import { controlClient, namespacesOf, tunnelledOf, workloadName } from "../control.ts";
import type { Printer } from "../printer.ts";
import { ago, columns, count, plain, size } from "../text.ts";
import { openSessions } from "./close.ts";

/** `czctl session list [--details]`. */
export async function listSessions(
  options: { readonly details?: true | undefined },
  context: CliContext,
): Promise<void> {
  const { print } = context;
  const sessions = await openSessions(controlClient(context), context);
  if (print.format === "json") return print.json({ sessions });
  if (sessions.length === 0) return print.line("No session is open");
  if (!options.details) {
    for (const row of sessionTable(sessions, Date.now())) print.line(row);
    return;
  }
  sessions.forEach((session, index) => {
    if (index > 0) print.line();
    printDetails(session, print, Date.now());
  });
}

/** One line per session, with a heading. */
export function sessionTable(sessions: readonly SessionInfo[], now: number): string[] {
  const rows = sessions.map((session) => [
    session.id,
    workloadName(session),
    session.namespaces.join(","),
    session.context,
    String(tunnelledOf(session).length),
    stateOf(session),
    ago(Date.parse(session.createdAt), now),
  ]);
  const heading = ["ID", "WORKLOAD", "NAMESPACES", "CONTEXT", "SERVICES", "STATE", "AGE"];
  return columns([heading, ...rows.map((row) => row.map(plain))]);
}

function stateOf(session: SessionInfo): string {
  if (!session.cluster.reachable) return "cluster unreachable";
  const lost = new Set(session.lost?.map(({ namespace }) => namespace));
  return session.namespaces.every((name) => lost.has(name)) ? "namespace gone" : session.state;
}

function printDetails(session: SessionInfo, print: Printer, now: number): void {
  const facts = [
    ["session", `${session.id}  ${workloadName(session)}`],
    ["namespaces", namespacesOf(session)],
    ["cluster", `${session.context} (${session.server})`],
    ["state", `${session.state}, opened ${ago(Date.parse(session.createdAt), now)} ago`],
  ];
  if (!session.cluster.reachable) {
    const since = session.cluster.since;
    const when = since === undefined ? "" : ` for ${ago(Date.parse(since), now)}`;
    facts.push(["", `cluster unreachable${when}: ${session.cluster.reason ?? "no answer"}`]);
  }
  const file = session.envFile;
  if (file !== undefined) {
    const why = file.reason === undefined ? "" : `: ${file.reason}`;
    facts.push([
      "env file",
      `${file.path}, ${count(file.variables, "variable")}, ${file.state}${why}`,
    ]);
  }
  for (const row of columns(facts)) print.line(row);
  for (const note of session.notes) print.line(`  ! ${note}`);
  for (const row of serviceTable(session.services, now)) print.line(row);
}

/** Every service with its address, ports and names, and why it has none. */
export function serviceTable(services: readonly ServiceInfo[], now: number): string[] {
  const rows: string[][] = [["ADDRESS", "SERVICE", "PORTS", "PODS", "TRAFFIC", "NAMES"]];
  for (const service of services) {
    const name = service.pod === undefined ? service.name : `${service.name} (${service.pod})`;
    const sum = (of: (port: PortInfo) => number) =>
      service.ports.reduce((total, port) => total + of(port), 0);
    const open = sum((port) => port.connections);
    const traffic = `${size(sum((p) => p.bytesDown))} in, ${size(sum((p) => p.bytesUp))} out` +
      (open === 0 ? "" : `, ${count(open, "connection")}`);
    rows.push([
      service.address ?? "-",
      `${service.namespace}/${name}`,
      portsText(service),
      String(service.readyPods),
      service.ports.length === 0 ? "-" : traffic,
      service.reason ?? service.names.join(" "),
    ].map(plain));
  }
  const table = columns(rows);
  for (const line of troubleLines(services, now)) table.push(line);
  for (const service of services) {
    for (const skipped of service.skipped) {
      table.push(plain(`  ! ${service.name}: ${skipped}`));
    }
  }
  return table;
}

/** Ports that cannot be bound, and those whose last connection came to nothing, and why. */
export function troubleLines(services: readonly ServiceInfo[], now: number): string[] {
  return services.flatMap((service) =>
    service.ports.flatMap((port) => {
      const { lastFailure: failure } = port;
      const name = portLabel(service, port);
      if (port.state === "blocked") {
        return plain(`  ! ${name} cannot be bound: ${port.reason ?? "?"}`);
      }
      if (failure === undefined) return [];
      const hint = failure.hint === undefined ? "" : `. ${failure.hint}`;
      const when = `${ago(Date.parse(failure.at), now)} ago`;
      return plain(`  ! ${name} failed ${when}: ${failure.reason}${hint}`);
    })
  );
}

/** The ports, each counted once: another name of a Service has that one's. */
function portsText({ ports, aliasOf }: ServiceInfo): string {
  if (aliasOf !== undefined) return `as ${aliasOf}`;
  return ports.map(portText).join(",") || "-";
}

function portText(port: PortInfo): string {
  return port.state === "blocked" ? `${port.port}!` : String(port.port);
}
