import { CzctlError } from "../model/errors.ts";
import type { WorkloadRef } from "../model/control.ts";
import type { KubeObject, ObjectSource } from "../model/objects.ts";
import { type Controller, type Pod, type PodTemplate, selectorText } from "./kube.ts";

/**
 * Which pods were made from a workload's present template.
 *
 * A pod's spec says more than the template, because admission webhooks add to
 * it, but a pod of an older template says things that are no longer so. An
 * entry a pod has and the template has not may be either; only the revision
 * tells.
 */
export async function currentPods(
  objects: ObjectSource,
  workload: WorkloadRef,
  object: Controller,
  template: PodTemplate,
  pods: readonly Pod[],
  signal?: AbortSignal,
): Promise<ReadonlySet<Pod>> {
  const candidates = pods.filter((pod) => fits(pod, template, contains));
  const enriched = candidates.filter((pod) => !fits(pod, template, equal));
  if (enriched.length === 0) return new Set(candidates);
  const label = await revisionLabel(objects, workload, object as Revised, signal);
  return new Set(candidates.filter((pod) => {
    if (fits(pod, template, equal)) return true;
    return label !== undefined && pod.metadata.labels?.[label.key] === label.value;
  }));
}

interface Revised extends Controller {
  readonly metadata: Controller["metadata"] & { readonly generation?: number };
  readonly status?: { readonly observedGeneration?: number; readonly updateRevision?: string };
}

const REVISION = "deployment.kubernetes.io/revision";
const TEMPLATE_GENERATION = "deprecated.daemonset.template.generation";

/** The label by which pods of the present revision are known; undefined: none, or not known yet. */
async function revisionLabel(
  objects: ObjectSource,
  workload: WorkloadRef,
  object: Revised,
  signal?: AbortSignal,
): Promise<{ key: string; value: string | undefined } | undefined> {
  const { metadata, status } = object;
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) return undefined;
  const annotations = metadata.annotations ?? {};
  switch (workload.kind) {
    case "deployment": {
      const labelSelector = selectorText(object.spec.selector);
      const sets = await listed(objects, workload.namespace, labelSelector, signal);
      const set = sets.find((one) =>
        one.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid) &&
        one.metadata.annotations?.[REVISION] === annotations[REVISION]
      );
      const value = set?.metadata.labels?.["pod-template-hash"];
      return value === undefined ? undefined : { key: "pod-template-hash", value };
    }
    case "statefulset":
      return { key: "controller-revision-hash", value: status?.updateRevision };
    case "daemonset":
      return { key: "pod-template-generation", value: annotations[TEMPLATE_GENERATION] };
    default:
      // A Job's template cannot change; ReplicaSets and CronJobs do not mark their pods.
      return undefined;
  }
}

async function listed(
  objects: ObjectSource,
  namespace: string,
  labelSelector: string,
  signal?: AbortSignal,
): Promise<readonly KubeObject[]> {
  try {
    return await objects.list("replicasets", namespace, { labelSelector }, signal);
  } catch (error) {
    if (error instanceof CzctlError && error.code === "denied") return [];
    throw error;
  }
}

type Comparison = (all: readonly string[], wanted: readonly string[]) => boolean;

function fits(pod: Pod, template: PodTemplate, compare: Comparison): boolean {
  return template.spec.containers.every((wanted) => {
    const container = pod.spec.containers.find(({ name }) => name === wanted.name);
    return container !== undefined &&
      compare((container.env ?? []).map(canonical), (wanted.env ?? []).map(canonical)) &&
      compare((container.envFrom ?? []).map(canonical), (wanted.envFrom ?? []).map(canonical));
  });
}

const equal: Comparison = (all, wanted) =>
  all.length === wanted.length && all.every((entry, index) => entry === wanted[index]);

const contains: Comparison = (all, wanted) => {
  let at = 0;
  return wanted.every((entry) => (at = all.indexOf(entry, at) + 1) > 0);
};

/** JSON with sorted keys, so that equal entries are equal text. */
function canonical(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, inner) =>
      inner !== null && typeof inner === "object" && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
  );
}
