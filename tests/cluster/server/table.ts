/** Tables for `kubectl get`: columns and cells as the API server prints them (pkg/printers). */
import type { Obj } from "./json.ts";
import { apiVersion, type Resource } from "./resources.ts";

type Cell = string | number;
interface Column {
  readonly name: string;
  readonly type: string;
  /** 1: only with `-o wide`. */
  readonly priority: number;
  readonly cell: (object: Obj) => Cell;
}

function column(
  name: string,
  cell: (object: Obj) => Cell,
  options: { wide?: boolean; type?: string } = {},
): Column {
  return { name, cell, type: options.type ?? "string", priority: options.wide ? 1 : 0 };
}

const number = { type: "integer" };
const wide = { wide: true };
const none = (text: string | undefined) => text === undefined || text === "" ? "<none>" : text;

/** `duration.HumanDuration`: 45s, 3m20s, 5h, 2d3h. */
export function age(since: string | undefined): string {
  if (!since) return "<unknown>";
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(since)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  if (days < 8) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  return days < 365 * 2 ? `${days}d` : `${Math.floor(days / 365)}y`;
}

const AGE = column("Age", (object) => age(object.metadata.creationTimestamp));

function labels(map: Obj | undefined): string {
  return none(Object.entries(map ?? {}).map(([key, value]) => `${key}=${value}`).join(","));
}
const selector = (object: Obj) => labels(object.spec.selector?.matchLabels);
const containersOf = (object: Obj): Obj[] => object.spec.template?.spec.containers ?? [];
const CONTAINERS = column(
  "Containers",
  (one) => containersOf(one).map((c) => c.name).join(","),
  wide,
);
const IMAGES = column("Images", (one) => containersOf(one).map((c) => c.image).join(","), wide);
const SELECTOR = column("Selector", selector, wide);

function podStatus(pod: Obj): string {
  if (pod.metadata.deletionTimestamp) return "Terminating";
  for (const status of pod.status.containerStatuses ?? []) {
    const reason = status.state.waiting?.reason ?? status.state.terminated?.reason;
    if (reason) return reason;
  }
  return pod.status.reason ?? pod.status.phase;
}

function ports(service: Obj): string {
  return none(
    (service.spec.ports ?? []).map((port: Obj) =>
      `${port.port}${port.nodePort ? `:${port.nodePort}` : ""}/${port.protocol}`
    ).join(","),
  );
}

function list(values: readonly Cell[], most: number): string {
  if (values.length === 0) return "<unset>";
  return values.slice(0, most).join(",") +
    (values.length > most ? ` + ${values.length - most} more...` : "");
}

const COLUMNS: Record<string, readonly Column[]> = {
  ConfigMap: [column("Data", (one) => Object.keys(one.data ?? {}).length), AGE],
  Secret: [
    column("Type", (one) => one.type),
    column("Data", (one) => Object.keys(one.data ?? {}).length),
    AGE,
  ],
  Namespace: [column("Status", (one) => one.status.phase), AGE],
  Node: [
    column("Status", () => "Ready"),
    column("Roles", () => "<none>"),
    AGE,
    column("Version", (one) => one.status.nodeInfo?.kubeletVersion ?? ""),
  ],
  Pod: [
    column("Ready", (one) => {
      const statuses: Obj[] = one.status.containerStatuses ?? [];
      return `${statuses.filter((status) => status.ready).length}/${one.spec.containers.length}`;
    }),
    column("Status", podStatus),
    column("Restarts", (one) =>
      String((one.status.containerStatuses ?? [])
        .reduce((sum: number, status: Obj) => sum + status.restartCount, 0))),
    AGE,
    column("IP", (one) => none(one.status.podIP), wide),
    column("Node", (one) => none(one.spec.nodeName), wide),
    column("Nominated Node", () => "<none>", wide),
    column("Readiness Gates", () => "<none>", wide),
  ],
  Service: [
    column("Type", (one) => one.spec.type),
    column("Cluster-IP", (one) => none(one.spec.clusterIP)),
    column("External-IP", (one) => none(one.spec.externalName)),
    column("Port(s)", ports),
    AGE,
    column("Selector", (one) => labels(one.spec.selector), wide),
  ],
  EndpointSlice: [
    column("AddressType", (one) => one.addressType),
    column("Ports", (one) => list((one.ports ?? []).map((port: Obj) => port.port), 3)),
    column(
      "Endpoints",
      (one) => list((one.endpoints ?? []).flatMap((each: Obj) => each.addresses), 3),
    ),
    AGE,
  ],
  Deployment: [
    column("Ready", (one) => `${one.status.readyReplicas ?? 0}/${one.spec.replicas}`),
    column("Up-to-date", (one) => one.status.updatedReplicas ?? 0),
    column("Available", (one) => one.status.availableReplicas ?? 0),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
  ],
  ReplicaSet: [
    column("Desired", (one) => one.spec.replicas, number),
    column("Current", (one) => one.status.replicas, number),
    column("Ready", (one) => one.status.readyReplicas ?? 0, number),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
  ],
  StatefulSet: [
    column("Ready", (one) => `${one.status.readyReplicas ?? 0}/${one.spec.replicas}`),
    AGE,
    CONTAINERS,
    IMAGES,
  ],
  DaemonSet: [
    column("Desired", (one) => one.status.desiredNumberScheduled, number),
    column("Current", (one) => one.status.currentNumberScheduled, number),
    column("Ready", (one) => one.status.numberReady, number),
    column("Up-to-date", (one) => one.status.updatedNumberScheduled ?? 0, number),
    column("Available", (one) => one.status.numberAvailable ?? 0, number),
    column("Node Selector", () => "<none>"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
  ],
  Job: [
    column("Status", (one) => one.status.conditions?.[0]?.type ?? "Running"),
    column("Completions", (one) => `${one.status.succeeded ?? 0}/${one.spec.completions}`),
    column("Duration", (one) => age(one.status.startTime)),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
  ],
  CronJob: [
    column("Schedule", (one) => one.spec.schedule),
    column("Timezone", (one) => none(one.spec.timeZone)),
    column("Suspend", (one) => (one.spec.suspend ? "True" : "False")),
    column("Active", (one) => one.status.active?.length ?? 0, number),
    column(
      "Last Schedule",
      (one) => one.status.lastScheduleTime ? age(one.status.lastScheduleTime) : "<none>",
    ),
    AGE,
  ],
  Event: [
    column("Last Seen", (one) => age(one.lastTimestamp)),
    column("Type", (one) => one.type ?? ""),
    column("Reason", (one) => one.reason ?? ""),
    column("Message", (one) => one.message ?? ""),
  ],
};

const NAME = column("Name", (object) => object.metadata.name);

export function table(
  resource: Resource,
  objects: readonly Obj[],
  metadata: Obj,
  options: { headers: boolean; include: "None" | "Metadata" | "Object"; text: (o: Obj) => Obj },
): Obj {
  const columns = [NAME, ...(COLUMNS[resource.kind] ?? [AGE])];
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata,
    columnDefinitions: options.headers
      ? columns.map(({ name, type, priority }) => ({
        name,
        type,
        format: name === "Name" ? "name" : "",
        description: "",
        priority,
      }))
      : null,
    rows: objects.map((object) => ({
      cells: columns.map(({ cell }) => cell(object)),
      ...(options.include === "None" ? {} : {
        object: options.include === "Object" ? options.text(object) : {
          kind: "PartialObjectMetadata",
          apiVersion: "meta.k8s.io/v1",
          metadata: object.metadata,
        },
      }),
    })),
  };
}

/** A plain object with kind and apiVersion in front. */
export function complete(resource: Resource, object: Obj): Obj {
  return { kind: resource.kind, apiVersion: apiVersion(resource), ...object };
}
