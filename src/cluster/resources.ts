import type { WorkloadKind } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import type { ResourceName } from "../model/objects.ts";

interface ResourceInfo {
  /** `/api/v1` or `/apis/GROUP/VERSION`. */
  readonly base: string;
  readonly group: string;
  /** The kind as Kubernetes writes it. */
  readonly kind: string;
  readonly namespaced: boolean;
}

function core(kind: string, namespaced = true): ResourceInfo {
  return { base: "/api/v1", group: "", kind, namespaced };
}

function grouped(group: string, kind: string): ResourceInfo {
  return { base: `/apis/${group}/v1`, group, kind, namespaced: true };
}

const RESOURCES: Record<ResourceName, ResourceInfo> = {
  namespaces: core("Namespace", false),
  nodes: core("Node", false),
  services: core("Service"),
  pods: core("Pod"),
  configmaps: core("ConfigMap"),
  secrets: core("Secret"),
  endpointslices: grouped("discovery.k8s.io", "EndpointSlice"),
  deployments: grouped("apps", "Deployment"),
  statefulsets: grouped("apps", "StatefulSet"),
  daemonsets: grouped("apps", "DaemonSet"),
  replicasets: grouped("apps", "ReplicaSet"),
  jobs: grouped("batch", "Job"),
  cronjobs: grouped("batch", "CronJob"),
};

export function resourceInfo(resource: ResourceName): ResourceInfo {
  return RESOURCES[resource];
}

export function knownResource(name: string): name is ResourceName {
  return Object.hasOwn(RESOURCES, name);
}

/**
 * The collection's path, or with `name` one object's. Without a namespace: of
 * the whole cluster. Throws CzctlError `usage` for `.` and `..`, which would
 * lead to another path (client-go's IsValidPathSegmentName).
 */
export function resourcePath(resource: ResourceName, namespace?: string, name?: string): string {
  for (const segment of [namespace, name]) {
    if (segment !== "." && segment !== "..") continue;
    throw new CzctlError("usage", `Not a name of Kubernetes: "${segment}"`, {
      hint: "Check -n, -a and the context's namespace: kubectl config view --minify",
    });
  }
  const { base, namespaced } = RESOURCES[resource];
  const inside = namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  const tail = name === undefined ? "" : `/${encodeURIComponent(name)}`;
  return `${base}${inside}/${resource}${tail}`;
}

const KINDS: Record<WorkloadKind, { resource: ResourceName; short: readonly string[] }> = {
  namespace: { resource: "namespaces", short: ["ns"] },
  deployment: { resource: "deployments", short: ["deploy"] },
  statefulset: { resource: "statefulsets", short: ["sts"] },
  daemonset: { resource: "daemonsets", short: ["ds"] },
  replicaset: { resource: "replicasets", short: ["rs"] },
  job: { resource: "jobs", short: [] },
  cronjob: { resource: "cronjobs", short: ["cj"] },
  pod: { resource: "pods", short: ["po"] },
  service: { resource: "services", short: ["svc"] },
};

/** Every kind a session can be opened for, in the order of the help text. */
export const WORKLOAD_KINDS = Object.keys(KINDS) as WorkloadKind[];

export function resourceOfKind(kind: WorkloadKind): ResourceName {
  return KINDS[kind].resource;
}

/** The kind as Kubernetes writes it: `StatefulSet`. */
export function kindTitle(kind: WorkloadKind): string {
  return RESOURCES[KINDS[kind].resource].kind;
}

/**
 * The kind meant by what a user typed, as kubectl reads it: singular, plural
 * or short name, any case, with or without the group (`deployments.apps`,
 * `deployment.v1.apps`). Undefined when it is none of them.
 */
export function canonicalKind(text: string): WorkloadKind | undefined {
  const lower = text.toLowerCase();
  const dot = lower.indexOf(".");
  const word = dot < 0 ? lower : lower.slice(0, dot);
  const group = dot < 0 ? undefined : lower.slice(dot + 1).replace(/^v\d+\w*\.?/, "");
  for (const kind of WORKLOAD_KINDS) {
    const { resource, short } = KINDS[kind];
    if (word !== kind && word !== resource && !short.includes(word)) continue;
    return group === undefined || group === RESOURCES[resource].group ? kind : undefined;
  }
  return undefined;
}

/**
 * Takes `deployment/web` apart. Undefined when there is no slash; a kind that
 * is none gives `kind: undefined`.
 */
export function splitKindName(
  text: string,
): { kind: WorkloadKind | undefined; kindText: string; name: string } | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const kindText = text.slice(0, slash);
  return { kind: canonicalKind(kindText), kindText, name: text.slice(slash + 1) };
}
