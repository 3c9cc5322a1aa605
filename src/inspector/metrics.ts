/**
 * `/metrics`: Prometheus text exposition format 0.0.4,
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import type { PortInfo, ServiceInfo, SessionInfo } from "../model/control.ts";

type Labels = Record<string, string>;

/** The whole page of metrics for these sessions and the number of requests captured so far. */
export function metricsText(sessions: readonly SessionInfo[], captured: number): string {
  const text = new MetricsText();
  text.family("czctl_sessions", "gauge", "Open sessions.");
  text.sample("czctl_sessions", {}, sessions.length);

  text.family("czctl_cluster_reachable", "gauge", "1 while the session's cluster answers.");
  for (const { id, cluster } of sessions) {
    text.sample("czctl_cluster_reachable", { session: id }, cluster.reachable ? 1 : 0);
  }
  text.family("czctl_services", "gauge", "Services of a session, with or without a tunnel.");
  for (const { id, services } of sessions) {
    text.sample("czctl_services", { session: id }, services.length);
  }
  text.family("czctl_service_ready_pods", "gauge", "Pods a new connection could go to.");
  for (const { session, service } of servicesOf(sessions)) {
    text.sample("czctl_service_ready_pods", labelsOf(session, service), service.readyPods);
  }
  text.family("czctl_port_up", "gauge", "1 while something listens on the service's port.");
  eachPort(sessions, (labels, port) => {
    text.sample("czctl_port_up", labels, port.state === "blocked" ? 0 : 1);
  });
  text.family("czctl_connections", "gauge", "Connections open now.");
  eachPort(sessions, (labels, port) => text.sample("czctl_connections", labels, port.connections));
  text.family("czctl_bytes_total", "counter", "Bytes relayed; down is from the pods.");
  eachPort(sessions, (labels, port) => {
    text.sample("czctl_bytes_total", { ...labels, direction: "down" }, port.bytesDown);
    text.sample("czctl_bytes_total", { ...labels, direction: "up" }, port.bytesUp);
  });
  text.family("czctl_connection_failures_total", "counter", "Connections that came to nothing.");
  eachPort(
    sessions,
    (labels, port) => text.sample("czctl_connection_failures_total", labels, port.failed),
  );
  text.family("czctl_inspector_requests_total", "counter", "HTTP requests captured.");
  text.sample("czctl_inspector_requests_total", {}, captured);
  return text.toString();
}

function* servicesOf(sessions: readonly SessionInfo[]) {
  for (const session of sessions) {
    for (const service of session.services) yield { session, service };
  }
}

function eachPort(sessions: readonly SessionInfo[], use: (labels: Labels, port: PortInfo) => void) {
  for (const { session, service } of servicesOf(sessions)) {
    for (const port of service.ports) {
      use({ ...labelsOf(session, service), port: String(port.port) }, port);
    }
  }
}

function labelsOf(session: SessionInfo, service: ServiceInfo): Labels {
  return {
    session: session.id,
    namespace: service.namespace,
    service: service.name,
    ...(service.pod === undefined ? {} : { pod: service.pod }),
  };
}

class MetricsText {
  #lines: string[] = [];

  family(name: string, type: "gauge" | "counter", help: string) {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }

  sample(name: string, labels: Labels, value: number) {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
    this.#lines.push(`${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}`);
  }

  toString() {
    return `${this.#lines.join("\n")}\n`;
  }
}

/** As the format asks: backslash, double quote and line feed. */
export function escapeLabel(text: string): string {
  return text.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));
}
