import type { PortInfo, ServiceInfo, SessionInfo } from "../model/control.ts";
import type { LeftOutName } from "../model/hosts.ts";
import type { Emit } from "./emit.ts";

/** Names that are left out for the same reason and told one by one. */
const MOST_NAMES = 8;

/** What `teleport` prints when a session is open: a step per part, then the notes. */
export function describeOpened(
  session: SessionInfo,
  home: string,
  blocked: readonly { key: string; address: string; port: number; reason: string }[],
  emit: Emit,
): void {
  const tunnelled = session.services.filter((service) => service.address !== undefined);
  const services = tunnelled.filter((service) => service.pod === undefined);
  const ports = services.reduce((sum, service) => sum + service.ports.length, 0);
  const names = tunnelled.reduce((sum, service) => sum + service.names.length, 0);
  const addresses = services.map((service) => service.address!).sort(byNumbers);
  const first = addresses[0]!;
  const last = addresses[addresses.length - 1]!;
  const where = session.namespaces[0] === "*" ? "all namespaces" : session.namespaces.join(", ");
  emit({
    type: "step",
    label: `${count(services.length, "service")} of ${where}, ${count(ports, "port")}`,
    detail: first === last ? first : `${first} – ${last}`,
  });
  emit({
    type: "step",
    label: "/etc/hosts",
    detail: `${count(names, "name")} (backup: ~/hosts.original)`,
  });
  if (session.envFile) {
    emit({
      type: "step",
      label: session.envFile.path.startsWith(`${home}/`)
        ? `~${session.envFile.path.slice(home.length)}`
        : session.envFile.path,
      detail: `${
        count(session.envFile.variables, "variable")
      } of ${session.workload.kind}/${session.workload.name}`,
    });
  }
  for (const port of blocked) {
    emit({
      type: "note",
      text: `${port.address}:${port.port} (${port.key}) is not forwarded yet: ${port.reason}`,
    });
  }
  for (const service of session.services) {
    if (service.address === undefined) {
      emit({
        type: "note",
        text: `${service.namespace}/${service.name} has no tunnel: ${service.reason}`,
      });
      // Its ports need no second line.
      continue;
    }
    for (const skipped of service.skipped) {
      emit({ type: "note", text: `${service.namespace}/${service.name} ${skipped}` });
    }
  }
  for (const note of session.notes) emit({ type: "note", text: note });
}

/** `namespace/service:port`, with `pod.` before the service for an addressed pod. */
export function portLabel(service: ServiceInfo, port: PortInfo): string {
  const pod = service.pod === undefined ? "" : `${service.pod}.`;
  return `${service.namespace}/${pod}${service.name}:${port.port}`;
}

/** Names that are not in the hosts file, one note for each reason. */
export function leftOutNotes(leftOut: readonly LeftOutName[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { name, reason } of leftOut) {
    const names = byReason.get(reason);
    if (names === undefined) byReason.set(reason, [name]);
    else names.push(name);
  }
  return [...byReason].map(([reason, [name, ...others]]) => {
    if (others.length === 0) return `The name ${name} is left out: ${reason}`;
    const shown = others.slice(0, MOST_NAMES - 1).join(", ");
    const more = others.length - MOST_NAMES + 1;
    return `The names ${name}, ${shown}${
      more > 0 ? ` and ${more} more` : ""
    } are left out: ${reason}`;
  });
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

function byNumbers(a: string, b: string): number {
  const x = a.split(".").map(Number);
  const y = b.split(".").map(Number);
  return (x[2]! - y[2]!) || (x[3]! - y[3]!);
}
