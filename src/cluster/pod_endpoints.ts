import type { RawObject } from "./api_client.ts";
import type { Slice, SliceEndpoint } from "./endpoint_slice.ts";
import type { ServiceSpec } from "./service_spec.ts";

/** What czctl keeps of a Pod where EndpointSlices are out of reach. */
export interface PodSpec {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ready: boolean;
  readonly terminating: boolean;
  /** It has an address and has not run to its end. */
  readonly alive: boolean;
  readonly hostname: string;
  readonly subdomain: string;
  /** Named TCP container ports. */
  readonly namedPorts: Readonly<Record<string, number>>;
  /** All TCP container ports. */
  readonly ports: readonly number[];
}

export function pickPod(object: RawObject): PodSpec {
  const { metadata, spec = {}, status = {} } = object;
  const namedPorts: Record<string, number> = {};
  const ports: number[] = [];
  // Sidecars are init containers that restart; their ports count, last.
  const sidecars = (spec.initContainers ?? [])
    .filter((container: RawObject) => container.restartPolicy === "Always");
  for (const container of [...(spec.containers ?? []), ...sidecars]) {
    for (const port of container.ports ?? []) {
      if ((port.protocol ?? "TCP") !== "TCP") continue;
      ports.push(port.containerPort);
      if (port.name) namedPorts[port.name] ??= port.containerPort;
    }
  }
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid ?? "",
    labels: metadata.labels ?? {},
    ready: (status.conditions ?? []).some((condition: RawObject) =>
      condition.type === "Ready" && condition.status === "True"
    ),
    terminating: metadata.deletionTimestamp !== undefined && metadata.deletionTimestamp !== null,
    alive: Boolean(status.podIP) && status.phase !== "Succeeded" && status.phase !== "Failed",
    hostname: spec.hostname ?? "",
    subdomain: spec.subdomain ?? "",
    namedPorts,
    ports,
  };
}

export function selects(
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

/**
 * The slices the EndpointSlice controller would make of these pods: one for
 * each way the pods resolve the named target ports.
 */
export function slicesOfPods(service: ServiceSpec, pods: Iterable<PodSpec>): Slice[] {
  const { selector } = service;
  if (!selector) return [];
  const tcp = service.ports.filter((port) => port.protocol === "TCP");
  const groups = new Map<string, { ports: Slice["ports"]; endpoints: SliceEndpoint[] }>();
  for (const pod of pods) {
    if (!pod.alive || pod.namespace !== service.namespace || !selects(selector, pod.labels)) {
      continue;
    }
    const ports = tcp.flatMap(({ name, targetPort }) => {
      const port = typeof targetPort === "number" ? targetPort : pod.namedPorts[targetPort];
      return port === undefined ? [] : [{ name, port }];
    });
    const key = JSON.stringify(ports);
    let group = groups.get(key);
    if (!group) groups.set(key, group = { ports, endpoints: [] });
    group.endpoints.push({
      pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid },
      address: "",
      ...(pod.hostname && pod.subdomain === service.name ? { hostname: pod.hostname } : {}),
      ready: service.publishNotReadyAddresses || (pod.ready && !pod.terminating),
      serving: pod.ready,
      terminating: pod.terminating,
    });
  }
  return [...groups.values()].map((group) => ({
    namespace: service.namespace,
    service: service.name,
    ...group,
  }));
}
