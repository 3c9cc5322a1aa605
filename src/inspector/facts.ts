/** Sessions as the inspector tells them, with and without the token. */
import type { PortInfo, ServiceInfo, SessionInfo } from "../model/control.ts";

/**
 * What anybody on this machine may know of a session: what is in /etc/hosts
 * and in the list of listeners anyway, and whether it works. Not the cluster's
 * address, not paths of the user's files, no messages that may quote either.
 */
export interface SessionFacts {
  readonly id: string;
  readonly workload: SessionInfo["workload"];
  readonly namespaces: readonly string[];
  readonly createdAt: string;
  readonly state: SessionInfo["state"];
  readonly cluster: SessionInfo["cluster"];
  readonly lost?: SessionInfo["lost"];
  readonly services: readonly ServiceInfo[];
  readonly context?: string;
  readonly server?: string;
  readonly envFile?: SessionInfo["envFile"];
  readonly notes?: readonly string[];
}

/** A session as it is told to holders of the token (`full`) or to anybody. */
export function sessionFacts(session: SessionInfo, full: boolean): SessionFacts {
  if (full) return session;
  const { id, workload, namespaces, createdAt, state, cluster, lost, services } = session;
  const { reachable, since } = cluster;
  return {
    id,
    workload,
    namespaces,
    createdAt,
    state,
    cluster: { reachable, ...(since === undefined ? {} : { since }) },
    ...(lost === undefined ? {} : { lost }),
    services: services.map((service) => ({ ...service, ports: service.ports.map(portFacts) })),
  };
}

/** That connections fail may be known, not why: that quotes the cluster. */
function portFacts(port: PortInfo): PortInfo {
  if (port.lastFailure === undefined) return port;
  const { at } = port.lastFailure;
  return { ...port, lastFailure: { at, reason: "czctl inspect opens this page with the reason" } };
}

/** Live figures of one port of one service; the key is `portKey`. */
export type Traffic = readonly [connections: number, bytesDown: number, bytesUp: number];

export function portKey(session: string, service: ServiceInfo, port: PortInfo): string {
  return [session, service.namespace, service.name, service.pod ?? "", port.port].join("/");
}

/** The figures of every port. */
export function trafficOf(sessions: readonly SessionInfo[]): Map<string, Traffic> {
  const found = new Map<string, Traffic>();
  for (const session of sessions) {
    for (const service of session.services) {
      for (const port of service.ports) {
        const figures = [port.connections, port.bytesDown, port.bytesUp] as const;
        found.set(portKey(session.id, service, port), figures);
      }
    }
  }
  return found;
}

/** Text that differs when anything but the live figures does. */
export function shapeOf(sessions: readonly SessionFacts[]): string {
  const live = new Set(["connections", "bytesDown", "bytesUp", "failed", "at"]);
  return JSON.stringify(sessions, (key, value) => (live.has(key) ? undefined : value));
}
