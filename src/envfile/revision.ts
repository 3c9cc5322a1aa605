import { CzctlError } from "../model/errors.ts";
import type { WorkloadRef } from "../model/control.ts";
import type { KubeObject, ObjectSource } from "../model/objects.ts";
import {
  type Container,
  type Controller,
  type Pod,
  type PodSpec,
  type PodTemplate,
  selectorText,
} from "./kube.ts";

/**
 * Which pods were made from a workload's present template.
 *
 * A pod's spec says more than the template, because admission webhooks add to
 * it and change it (JAVA_TOOL_OPTIONS of OpenTelemetry's, for one), but a pod
 * of an older template says things that are no longer so. Where the two
 * differ, only the revision tells which of it is so.
 */
export async function currentPods(
  objects: ObjectSource,
  workload: WorkloadRef,
  object: Controller,
  template: PodTemplate,
  pods: readonly Pod[],
  signal?: AbortSignal,
): Promise<ReadonlySet<Pod>> {
  const same = new Set(pods.filter((pod) => sameVariables(pod.spec, template.spec)));
  if (same.size === pods.length) return same;
  const label = await revisionLabel(objects, workload, object as Revised, signal);
  if (label === undefined) return same;
  return new Set(
    pods.filter((pod) => same.has(pod) || pod.metadata.labels?.[label.key] === label.value),
  );
}

/**
 * The pods of a Deployment. Its selector may match those of another as well
 * (`app=web` beside `app=web,track=canary`); owners tell them apart.
 */
export async function podsOfDeployment(
  objects: ObjectSource,
  deployment: Controller,
  namespace: string,
  pods: readonly Pod[],
  signal?: AbortSignal,
): Promise<readonly Pod[]> {
  const { name, uid } = deployment.metadata;
  // The controller names a ReplicaSet after the Deployment and the hash of the template.
  const named = ({ metadata }: Pod) =>
    metadata.ownerReferences?.some((owner) =>
      owner.kind === "ReplicaSet" && owner.name === `${name}-${metadata.labels?.[HASH]}`
    ) ?? false;
  if (pods.every(named)) return pods;
  // One that the Deployment has adopted may have any name.
  const sets = await listed(objects, namespace, selectorText(deployment.spec.selector), signal);
  const own = new Set(
    sets.filter((set) => set.metadata.ownerReferences?.some((owner) => owner.uid === uid))
      .map((set) => set.metadata.uid),
  );
  return pods.filter((pod) =>
    named(pod) || pod.metadata.ownerReferences?.some((owner) => own.has(owner.uid))
  );
}

interface Revised extends Controller {
  readonly metadata: Controller["metadata"] & { readonly generation?: number };
  readonly status?: { readonly observedGeneration?: number; readonly updateRevision?: string };
}

const REVISION = "deployment.kubernetes.io/revision";
const HASH = "pod-template-hash";
const TEMPLATE_GENERATION = "deprecated.daemonset.template.generation";

/** The label by which pods of the present revision are known; undefined: none, or not known yet. */
async function revisionLabel(
  objects: ObjectSource,
  workload: WorkloadRef,
  object: Revised,
  signal?: AbortSignal,
): Promise<{ key: string; value: string } | undefined> {
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
      return labelled(HASH, set?.metadata.labels?.[HASH]);
    }
    case "statefulset":
      return labelled("controller-revision-hash", status?.updateRevision);
    case "daemonset":
      return labelled("pod-template-generation", annotations[TEMPLATE_GENERATION]);
    case "replicaset":
      // A Deployment's set never changes its template; any other does not mark its pods.
      return labelled(HASH, metadata.labels?.[HASH]);
    default:
      return undefined;
  }
}

function labelled(key: string, value: string | undefined) {
  return value === undefined ? undefined : { key, value };
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

/** Whether all containers of `wanted` have the same entries, in the same order, in `spec`. */
export function sameVariables(spec: PodSpec, wanted: PodSpec): boolean {
  const all = allContainers(spec);
  return allContainers(wanted).every((one) => {
    const container = all.find(({ name }) => name === one.name);
    return container !== undefined &&
      canonical(container.env ?? []) === canonical(one.env ?? []) &&
      canonical(container.envFrom ?? []) === canonical(one.envFrom ?? []);
  });
}

function allContainers({ containers, initContainers = [] }: PodSpec): readonly Container[] {
  return [...containers, ...initContainers];
}

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
