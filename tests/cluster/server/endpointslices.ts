/** EndpointSlices of Services with a selector, shapes and order as recorded. */
import { now, type Obj, suffix } from "./json.ts";
import { type ControllerContext, isReady, ownerReference } from "./owners.ts";
import { resourceNamed } from "./resources.ts";
import { selectorMatcher } from "./selectors.ts";

const SLICES = resourceNamed("endpointslices");
const PODS = resourceNamed("pods");
/** `--max-endpoints-per-slice` of kube-controller-manager. */
const MAX_ENDPOINTS = 100;

interface Group {
  readonly addressType: string;
  readonly ports: Obj[];
  readonly endpoints: Obj[];
}

export class EndpointSliceController {
  constructor(readonly context: ControllerContext) {}

  reconcile(service: Obj): void {
    const existing = this.context.owned(SLICES, service);
    if (!service.spec.selector || service.spec.type === "ExternalName") {
      for (const slice of existing) this.#remove(slice);
      return;
    }
    const families: string[] = service.spec.ipFamilies ?? ["IPv4"];
    const left = new Set(existing);
    for (const family of families) {
      const groups = [...this.#groups(service, family).values()];
      if (groups.length === 0) groups.push({ addressType: family, ports: [], endpoints: [] });
      for (const group of groups) {
        const key = portsKey(group.ports);
        const same = (slice: Obj) =>
          slice.addressType === family &&
          (portsKey(slice.ports ?? []) === key || group.endpoints.length === 0 || !slice.endpoints);
        for (let from = 0; from === 0 || from < group.endpoints.length; from += MAX_ENDPOINTS) {
          const slice = [...left].find(same);
          if (slice) left.delete(slice);
          this.#write(service, slice, {
            ...group,
            endpoints: group.endpoints.slice(from, from + MAX_ENDPOINTS),
          });
        }
      }
    }
    for (const slice of left) this.#remove(slice);
  }

  #remove(slice: Obj): void {
    this.context.store.remove(SLICES, slice.metadata.namespace, slice.metadata.name);
  }

  /** Endpoints by the port numbers they resolve to: named target ports may differ per pod. */
  #groups(service: Obj, family: string): Map<string, Group> {
    const matches = selectorMatcher({ matchLabels: service.spec.selector });
    const groups = new Map<string, Group>();
    const { store } = this.context;
    const { namespace } = service.metadata;
    for (const pod of store.labelled(PODS, namespace, service.spec.selector)) {
      const ip = pod.status?.podIP;
      if (!ip || !matches(pod)) continue;
      if (pod.status.phase === "Failed" || pod.status.phase === "Succeeded") continue;
      const ports = (service.spec.ports ?? []).flatMap((port: Obj) => {
        const number = targetPort(pod, port);
        if (number === undefined) return [];
        return [{
          name: port.name ?? "",
          protocol: port.protocol ?? "TCP",
          port: number,
          ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}),
        }];
      });
      const key = portsKey(ports);
      const group: Group = groups.get(key) ?? { addressType: family, ports, endpoints: [] };
      groups.set(key, group);
      group.endpoints.push(endpoint(service, pod, family === "IPv4" ? ip : sixth(ip)));
    }
    return groups;
  }

  #write(service: Obj, slice: Obj | undefined, group: Group): void {
    const { store } = this.context;
    const { metadata } = service;
    // Endpoints keep their places; new ones come last.
    const places = new Map<string, number>(
      (slice?.endpoints ?? []).map((one: Obj, i: number) => [one.targetRef?.uid, i]),
    );
    const place = (one: Obj) => places.get(one.targetRef.uid) ?? Infinity;
    const endpoints = group.endpoints.map((one) => one)
      .sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
    const body = {
      addressType: group.addressType,
      endpoints: endpoints.length === 0 ? null : endpoints,
      ports: endpoints.length === 0 ? null : group.ports,
    };
    if (slice) {
      if (
        JSON.stringify([slice.endpoints, slice.ports]) ===
          JSON.stringify([body.endpoints, body.ports])
      ) return;
      store.update(SLICES, {
        metadata: {
          ...slice.metadata,
          generation: slice.metadata.generation + 1,
          annotations: { "endpoints.kubernetes.io/last-change-trigger-time": now() },
        },
        ...body,
      });
      return;
    }
    this.context.create(SLICES, {
      metadata: {
        name: `${metadata.name}-${suffix()}`,
        generateName: `${metadata.name}-`,
        namespace: metadata.namespace,
        generation: 1,
        labels: {
          "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
          "kubernetes.io/service-name": metadata.name,
          ...(service.spec.clusterIP === "None" ? { "service.kubernetes.io/headless": "" } : {}),
        },
        annotations: { "endpoints.kubernetes.io/last-change-trigger-time": now() },
        ownerReferences: [ownerReference("Service", "v1", service)],
      },
      ...body,
    });
  }
}

function portsKey(ports: readonly Obj[]): string {
  return ports.map((port) => `${port.name}/${port.protocol}/${port.port}`).sort().join(",");
}

function targetPort(pod: Obj, port: Obj): number | undefined {
  if (typeof port.targetPort === "number") return port.targetPort;
  for (const container of pod.spec.containers) {
    for (const one of container.ports ?? []) {
      const protocol = one.protocol ?? "TCP";
      if (one.name === port.targetPort && protocol === (port.protocol ?? "TCP")) {
        return one.containerPort;
      }
    }
  }
  return undefined;
}

function sixth(ip: string): string {
  const [, , third = "0", fourth = "0"] = ip.split(".");
  return `fd00::${(Number(third) * 256 + Number(fourth)).toString(16)}`;
}

function endpoint(service: Obj, pod: Obj, address: string): Obj {
  const serving = isReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const named = pod.spec.hostname && pod.spec.subdomain === service.metadata.name;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(named ? { hostname: pod.spec.hostname } : {}),
    targetRef: {
      kind: "Pod",
      namespace: pod.metadata.namespace,
      name: pod.metadata.name,
      uid: pod.metadata.uid,
    },
    nodeName: pod.spec.nodeName,
  };
}
