import type { ClusterService, ServiceEndpoint, ServicePort } from "../model/service.ts";
import type { Slice } from "./endpoint_slice.ts";
import type { ServiceSpec, SpecPort } from "./service_spec.ts";

/**
 * What a session can do with a Service: pure, and the same whatever the order
 * of the slices. One endpoint per pod, merged over its slices (several address
 * families, several sets of ports). `portsOfPods`: what else is known of the
 * pods of one without TCP ports (`needsPortsOfPods`), by uid. `withoutSlices`:
 * EndpointSlices cannot be read here, these are made of pods.
 */
export function mergeService(
  spec: ServiceSpec,
  slices: readonly Slice[],
  portsOfPods: ReadonlyMap<string, ReadonlySet<number>> = new Map(),
  withoutSlices = false,
): ClusterService {
  const headless = spec.clusterIP === "None";
  const portless = needsPortsOfPods(spec);
  const found = mergeEndpoints(tcpPorts(spec), slices);
  const endpoints = portless ? found.map((endpoint) => withPorts(endpoint, portsOfPods)) : found;
  const tcp = portless ? portsOfAll(endpoints) : tcpPorts(spec);
  const base = {
    namespace: spec.namespace,
    name: spec.name,
    uid: spec.uid,
    ...(spec.type === "ExternalName" ? { externalName: spec.externalName } : {}),
    ...(spec.clusterIP && !headless ? { clusterIP: spec.clusterIP } : {}),
    skippedPorts: spec.ports.filter((port) => port.protocol !== "TCP").map((port) => ({
      port: port.port,
      protocol: port.protocol,
      reason: `${port.protocol} cannot be carried by a port-forward`,
    })),
    ...(spec.affinitySeconds === undefined ? {} : { affinitySeconds: spec.affinitySeconds }),
    publishNotReadyAddresses: spec.publishNotReadyAddresses,
  };
  const ports = tcp.map((port) => servicePort(port, spec));
  const podless = addressesWithoutPod(slices);
  const reason = whyNone(spec, tcp, endpoints, podless, withoutSlices);
  if (reason !== undefined) return { ...base, kind: "none", reason, ports, endpoints: [] };
  return {
    ...base,
    kind: headless ? "headless" : "tunnel",
    ports,
    ...(podless.length > 0 ? { podless } : {}),
    endpoints,
  };
}

function whyNone(
  spec: ServiceSpec,
  tcp: readonly SpecPort[],
  endpoints: readonly ServiceEndpoint[],
  podless: readonly string[],
  withoutSlices: boolean,
): string | undefined {
  if (spec.type === "ExternalName") {
    return `It is an ExternalName for "${spec.externalName}", which is outside the cluster`;
  }
  if (tcp.length === 0 && !needsPortsOfPods(spec)) {
    if (spec.ports.length === 0) return "It has no ports";
    const kinds = [...new Set(spec.ports.map((port) => port.protocol))].join(" and ");
    return `It has only ${kinds} ports, which a port-forward cannot carry`;
  }
  if (spec.selector || endpoints.length > 0) {
    return tcp.length > 0
      ? undefined
      : "It is a headless Service without TCP ports, and no other Service tells which ports its pods listen on";
  }
  if (withoutSlices) {
    return "It has no selector, and the EndpointSlices that say what is behind it cannot be read";
  }
  if (podless.length === 0) return "It has no selector and no endpoints";
  const shown = podless.slice(0, 3).join(", ") + (podless.length > 3 ? ", ..." : "");
  return `It has no selector and its endpoints (${shown}) name no pod (no targetRef), which a port-forward needs`;
}

/**
 * A headless Service may have no ports at all, or only UDP ones. In the cluster
 * its name leads to the pods, so whatever they listen on is reached by it.
 */
export function needsPortsOfPods(spec: ServiceSpec): boolean {
  return spec.type !== "ExternalName" && spec.clusterIP === "None" && tcpPorts(spec).length === 0;
}

function tcpPorts(spec: ServiceSpec): SpecPort[] {
  return spec.ports.filter((port) => port.protocol === "TCP");
}

function withPorts(
  endpoint: ServiceEndpoint,
  portsOfPods: ReadonlyMap<string, ReadonlySet<number>>,
): ServiceEndpoint {
  const numbers = [...portsOfPods.get(endpoint.podUid) ?? []].sort((a, b) => a - b);
  return { ...endpoint, ports: Object.fromEntries(numbers.map((port) => [`${port}`, port])) };
}

/** One for each number, which is its name as well. */
function portsOfAll(endpoints: readonly ServiceEndpoint[]): SpecPort[] {
  const numbers = new Set(endpoints.flatMap((endpoint) => Object.values(endpoint.ports)));
  return [...numbers].sort((a, b) => a - b).map((port) => ({
    name: `${port}`,
    port,
    protocol: "TCP",
    targetPort: port,
  }));
}

function mergeEndpoints(
  tcp: readonly SpecPort[],
  slices: readonly Slice[],
): ServiceEndpoint[] {
  const pods = new Map<string, Mutable<ServiceEndpoint> & { ports: Record<string, number> }>();
  for (const slice of slices) {
    const ports = slicePorts(tcp, slice);
    for (const { pod, ready, serving, terminating, hostname } of slice.endpoints) {
      if (!pod) continue;
      const before = pods.get(pod.uid);
      if (!before) {
        pods.set(pod.uid, {
          podNamespace: pod.namespace,
          podName: pod.name,
          podUid: pod.uid,
          ...(hostname ? { hostname } : {}),
          ready,
          serving,
          terminating,
          ports: { ...ports },
        });
        continue;
      }
      // Two slices of one pod may be a moment apart; the connection itself
      // finds out soon enough, so what says "yes" counts.
      before.ready ||= ready;
      before.serving ||= serving;
      before.terminating ||= terminating;
      if (hostname && (!before.hostname || hostname < before.hostname)) before.hostname = hostname;
      for (const [name, port] of Object.entries(ports)) {
        before.ports[name] = Math.min(before.ports[name] ?? port, port);
      }
    }
  }
  return [...pods.values()].sort((a, b) =>
    compare(a.podName, b.podName) || compare(a.podNamespace, b.podNamespace) ||
    compare(a.podUid, b.podUid)
  );
}

/** Those of endpoints that may be pods, too, but a port-forward goes by a pod's name. */
function addressesWithoutPod(slices: readonly Slice[]): string[] {
  const found = slices.flatMap(({ endpoints }) =>
    endpoints.flatMap(({ pod, address }) => pod === undefined ? [address] : [])
  );
  return [...new Set(found)].sort();
}

/** Pod port numbers by service port name, for the pods of one slice. */
function slicePorts(tcp: readonly SpecPort[], slice: Slice): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { name, targetPort, port } of tcp) {
    const match = slice.ports.find((candidate) => candidate.name === name);
    if (!match) continue;
    const number = match.port ?? (typeof targetPort === "number" ? targetPort : port);
    found[name] = number;
  }
  return found;
}

function servicePort(
  { name, port, targetPort, appProtocol }: SpecPort,
  of: ServiceSpec,
): ServicePort {
  // Without a selector there are no pods to look a name up in.
  const isName = typeof targetPort === "string" && of.selector === undefined;
  return {
    name,
    port,
    targetPort: isName ? port : targetPort,
    ...(appProtocol ? { appProtocol } : {}),
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
