import type { PortInfo, ServiceInfo, SessionInfo } from "../../src/model/control.ts";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import {
  type Inspector,
  type InspectorOptions,
  startInspector,
} from "../../src/inspector/inspector.ts";

export function port(number: number, more: Partial<PortInfo> = {}): PortInfo {
  return {
    port: number,
    name: "http",
    state: "listening",
    connections: 0,
    bytesDown: 0,
    bytesUp: 0,
    failed: 0,
    ...more,
  };
}

export function service(name: string, more: Partial<ServiceInfo> = {}): ServiceInfo {
  return {
    namespace: "sample-project",
    name,
    address: "127.1.31.1",
    names: [`${name}.sample-project`, `${name}.sample-project.svc.cluster.local`, name],
    ports: [port(80)],
    skipped: [],
    readyPods: 2,
    ...more,
  };
}

export function session(services: readonly ServiceInfo[], more: Partial<SessionInfo> = {}) {
  const info: SessionInfo = {
    id: "a1b2c3",
    workload: { kind: "deployment", name: "web", namespace: "sample-project" },
    context: "kind-demo",
    server: "https://10.1.2.3:6443",
    namespaces: ["sample-project"],
    createdAt: "2026-01-02T03:04:05.000Z",
    state: "ready",
    cluster: { reachable: true },
    services,
    envFile: { path: "/home/jo/env.sh", variables: 14, state: "watching" },
    notes: ["the name web is taken by another program"],
    ...more,
  };
  return info;
}

/** Runs `body` with an inspector on a free port, and closes it. */
export async function withInspector(
  sessions: () => readonly SessionInfo[],
  body: (inspector: Inspector, url: string) => Promise<void>,
  options: Partial<InspectorOptions> = {},
): Promise<void> {
  const inspector = await startInspector({
    clock: systemClock,
    log: silentLogger,
    sessions,
    port: 0,
    ...options,
  });
  try {
    if (inspector.state.url === undefined) throw new Error(inspector.state.reason);
    await body(inspector, inspector.state.url);
  } finally {
    await inspector.close();
  }
}

/** Trades a fresh one-time code; the result is the cookie header of a browser that was let in. */
export async function letIn(inspector: Inspector): Promise<{ cookie: string; home: string }> {
  const answer = await fetch(inspector.inspectUrl(), { redirect: "manual" });
  await answer.body?.cancel();
  const cookie = answer.headers.get("set-cookie")?.split(";")[0];
  const home = answer.headers.get("location");
  if (answer.status !== 303 || !cookie || !home) throw new Error(`not let in: ${answer.status}`);
  return { cookie, home };
}
