import type { Obj } from "./json.ts";

export interface Resource {
  readonly group: string;
  readonly version: string;
  /** Plural, as in URLs. */
  readonly name: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
  readonly subresources: readonly string[];
  /** Field selectors besides metadata.name and metadata.namespace. */
  readonly fields: readonly string[];
  /** What a BOOKMARK object of this kind carries besides metadata (empty Go struct). */
  readonly zero: Obj;
}

const ALL = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const workload = { selector: null, template: { spec: { containers: null } } };

function resource(
  group: string,
  version: string,
  name: string,
  kind: string,
  rest: Partial<Resource> = {},
): Resource {
  return {
    group,
    version,
    name,
    kind,
    singular: kind.toLowerCase(),
    namespaced: true,
    shortNames: [],
    categories: [],
    verbs: ALL,
    subresources: [],
    fields: [],
    zero: {},
    ...rest,
  };
}

export const RESOURCES: readonly Resource[] = [
  resource("", "v1", "configmaps", "ConfigMap", { shortNames: ["cm"] }),
  resource("", "v1", "events", "Event", { shortNames: ["ev"] }),
  resource("", "v1", "namespaces", "Namespace", {
    namespaced: false,
    shortNames: ["ns"],
    subresources: ["status", "finalize"],
    fields: ["status.phase"],
    zero: { spec: {}, status: {} },
  }),
  resource("", "v1", "nodes", "Node", {
    namespaced: false,
    shortNames: ["no"],
    subresources: ["status"],
    zero: { spec: {}, status: {} },
  }),
  resource("", "v1", "pods", "Pod", {
    shortNames: ["po"],
    categories: ["all"],
    subresources: ["portforward", "status"],
    fields: ["status.phase", "spec.nodeName", "status.podIP", "spec.restartPolicy"],
    zero: { spec: { containers: null }, status: {} },
  }),
  resource("", "v1", "secrets", "Secret", { fields: ["type"] }),
  resource("", "v1", "services", "Service", {
    shortNames: ["svc"],
    categories: ["all"],
    subresources: ["status"],
    fields: ["spec.clusterIP", "spec.type"],
    zero: { spec: {}, status: { loadBalancer: {} } },
  }),
  resource("apps", "v1", "daemonsets", "DaemonSet", {
    shortNames: ["ds"],
    categories: ["all"],
    subresources: ["status"],
    zero: { spec: { ...workload, updateStrategy: {} }, status: {} },
  }),
  resource("apps", "v1", "deployments", "Deployment", {
    shortNames: ["deploy"],
    categories: ["all"],
    subresources: ["scale", "status"],
    zero: { spec: { ...workload, strategy: {} }, status: {} },
  }),
  resource("apps", "v1", "replicasets", "ReplicaSet", {
    shortNames: ["rs"],
    categories: ["all"],
    subresources: ["scale", "status"],
    zero: { spec: { ...workload }, status: { replicas: 0 } },
  }),
  resource("apps", "v1", "statefulsets", "StatefulSet", {
    shortNames: ["sts"],
    categories: ["all"],
    subresources: ["scale", "status"],
    zero: { spec: { ...workload, serviceName: "", updateStrategy: {} }, status: { replicas: 0 } },
  }),
  resource("batch", "v1", "cronjobs", "CronJob", {
    shortNames: ["cj"],
    categories: ["all"],
    subresources: ["status"],
    zero: { spec: { schedule: "", jobTemplate: { spec: workload } }, status: {} },
  }),
  resource("batch", "v1", "jobs", "Job", {
    categories: ["all"],
    subresources: ["status"],
    fields: ["status.successful"],
    zero: { spec: { template: { spec: { containers: null } } }, status: {} },
  }),
  resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", {
    zero: { addressType: "", endpoints: null, ports: null },
  }),
];

/** Reviews a client may create, answered at once and never stored. */
export const REVIEWS: readonly Resource[] = [
  resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", {
    namespaced: false,
    verbs: ["create"],
  }),
  resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", {
    namespaced: false,
    verbs: ["create"],
  }),
  resource("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", {
    namespaced: false,
    verbs: ["create"],
  }),
];

export function apiVersion(resource: { group: string; version: string }): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

export function findResource(group: string, version: string, name: string): Resource | undefined {
  return [...RESOURCES, ...REVIEWS].find((one) =>
    one.group === group && one.version === version && one.name === name
  );
}

/** By plural name alone; the test cluster has no two of the same name. */
export function resourceNamed(name: string): Resource {
  const found = RESOURCES.find((one) => one.name === name);
  if (!found) throw new Error(`No such resource in the test cluster: "${name}"`);
  return found;
}

export function resourceOfKind(kind: string): Resource {
  const found = RESOURCES.find((one) => one.kind === kind);
  if (!found) throw new Error(`No such kind in the test cluster: "${kind}"`);
  return found;
}
