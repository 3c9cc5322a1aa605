import type { WorkloadRef } from "../model/control.ts";
import type { Container, Pod, PodSpec, Quantities, ResourceFieldRef } from "./kube.ts";
import { divideQuantity, parseQuantity } from "./quantity.ts";
import type { ResolvedWorkload } from "./workload.ts";

/** What a pod says of itself: fieldRef and resourceFieldRef. */

/** A value, or none with the reason; `note` qualifies a value that is not the pod's own. */
export interface FoundValue {
  readonly value?: string;
  readonly note?: string;
}

/** `fieldRef` as podFieldSelectorRuntimeValue of the kubelet. */
export function fieldValue(
  fieldPath: string,
  workload: WorkloadRef,
  { template, pod, noPod }: Pick<ResolvedWorkload, "template" | "pod" | "noPod">,
): FoundValue {
  const metadata = pod?.metadata ?? template.metadata;
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/s.exec(fieldPath);
  if (keyed) {
    const map = keyed[1] === "labels" ? metadata?.labels : metadata?.annotations;
    if (map && Object.hasOwn(map, keyed[2]!)) return { value: map[keyed[2]!]! };
  } else if (fieldPath === "metadata.namespace") {
    return { value: workload.namespace };
  } else if (fieldPath === "spec.serviceAccountName") {
    return { value: (pod?.spec ?? template.spec).serviceAccountName || "default" };
  }
  const value = pod && valueOfPod(fieldPath, pod);
  if (value) return { value };
  const stand = keyed
    ? pod ? undefined : labelOf(fieldPath, workload)
    : standIn(fieldPath, workload);
  if (stand !== undefined) {
    const why = pod ? `pod "${pod.metadata.name}" does not have it yet` : noPod;
    return { value: stand, note: `${why}, so "${fieldPath}" is taken to be "${stand}"` };
  }
  // A key that is missing is the empty string, as for the kubelet.
  return keyed ? { value: "" } : { note: `"${fieldPath}" is not known` };
}

function valueOfPod(fieldPath: string, { metadata, spec, status }: Pod): string | undefined {
  switch (fieldPath) {
    case "metadata.name":
      return metadata.name;
    case "metadata.uid":
      return metadata.uid;
    // Both names are good: ConvertDownwardAPIFieldLabel of pkg/apis/core/pods.
    case "spec.host":
    case "spec.nodeName":
      return spec.nodeName;
    case "status.hostIP":
      return status?.hostIP;
    case "status.hostIPs":
      return joined(status?.hostIPs, status?.hostIP);
    case "status.podIP":
      return status?.podIP;
    case "status.podIPs":
      return joined(status?.podIPs, status?.podIP);
  }
  return undefined;
}

function standIn(fieldPath: string, workload: WorkloadRef): string | undefined {
  return Object.hasOwn(STAND_INS, fieldPath) ? STAND_INS[fieldPath]!(workload) : undefined;
}

/** The annotation, and since Kubernetes 1.28 label, that tells a pod of an Indexed Job its number. */
export const COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index";

/** What a controller marks its first pod with. */
function labelOf(fieldPath: string, { kind, name }: WorkloadRef): string | undefined {
  if (kind === "statefulset") {
    if (fieldPath === "metadata.labels['statefulset.kubernetes.io/pod-name']") return `${name}-0`;
    if (fieldPath === "metadata.labels['apps.kubernetes.io/pod-index']") return "0";
  }
  const job = kind === "job" || kind === "cronjob";
  return job && fieldPath.endsWith(`['${COMPLETION_INDEX}']`) ? "0" : undefined;
}

/** What a local process may take for its own while no pod runs, or has it. */
const STAND_INS: Readonly<Record<string, (workload: WorkloadRef) => string>> = {
  "metadata.name": ({ kind, name }) => (kind === "statefulset" ? `${name}-0` : name),
  "metadata.uid": () => "",
  "spec.host": () => "",
  "spec.nodeName": () => "",
  "status.hostIP": () => "127.0.0.1",
  "status.hostIPs": () => "127.0.0.1",
  "status.podIP": () => "127.0.0.1",
  "status.podIPs": () => "127.0.0.1",
};

function joined(list: readonly { readonly ip: string }[] | undefined, first?: string): string {
  return list?.map(({ ip }) => ip).join(",") || first || "";
}

/** What a node can give, or why that is not known. */
export type NodeAmounts = { readonly allocatable: Quantities } | { readonly unknown: string };

const NODE = Symbol("the node's allocatable amount");

/**
 * What stands for a limit that is not set: the pod's own (since Kubernetes
 * 1.34), else the node's allocatable amount (defaultPodLimitsForDownwardAPI of
 * the kubelet). Init containers that are referred to by name get none.
 */
function defaultLimit(
  ref: ResourceFieldRef,
  container: Container,
  { containers, resources }: PodSpec,
): string | number | typeof NODE | undefined {
  const [side, resource] = split(ref.resource);
  if (side !== "limits" || !DEFAULTED.has(resource)) return undefined;
  if (isSet(container.resources?.limits, resource)) return undefined;
  if (ref.containerName && !containers.includes(container)) return undefined;
  return isSet(resources?.limits, resource) ? resources!.limits![resource] : NODE;
}

/**
 * `resourceFieldRef`: a container's request or limit over the divisor, rounded
 * up. A request that is not set is the limit, which the API server fills in
 * for pods, else 0.
 */
export async function resourceValue(
  ref: ResourceFieldRef,
  container: Container,
  { template, notAdmitted }: Pick<ResolvedWorkload, "template" | "notAdmitted">,
  readNode: () => Promise<NodeAmounts>,
): Promise<FoundValue> {
  const [side, resource] = split(ref.resource);
  const { limits, requests } = container.resources ?? {};
  if (side !== "limits" && side !== "requests") return { note: `"${ref.resource}" is not known` };
  const own = side === "limits" ? limits?.[resource] : requests?.[resource] ?? limits?.[resource];
  let amount = defaultLimit(ref, container, template.spec) ?? own;
  if (amount === NODE) {
    const node = await readNode();
    if ("unknown" in node) {
      const { unknown } = node;
      return { note: `no limit is set for ${resource}, so it is the node's, and ${unknown}` };
    }
    // What a node does not report stays 0.
    amount = node.allocatable[resource];
  }
  const parsed = parseQuantity(amount ?? "0");
  const divisor = parseQuantity(ref.divisor ?? "1");
  if (parsed === undefined || divisor === undefined) {
    return { note: `"${String(parsed === undefined ? amount : ref.divisor)}" is not a quantity` };
  }
  const value = String(divideQuantity(parsed, divisor, resource === "cpu" ? "cpu" : "whole"));
  if (own !== undefined || notAdmitted === undefined) return { value };
  const note = `${notAdmitted}, so "${ref.resource}" is taken to be "${value}"; ` +
    "a LimitRange may give a pod another";
  return { value, note };
}

const DEFAULTED = new Set(["cpu", "memory", "ephemeral-storage"]);

function split(resource: string): [side: string, resource: string] {
  const dot = resource.indexOf(".");
  return [resource.slice(0, dot), resource.slice(dot + 1)];
}

function isSet(quantities: Quantities | undefined, resource: string): boolean {
  const quantity = quantities?.[resource];
  return quantity !== undefined && parseQuantity(quantity) !== 0n;
}
