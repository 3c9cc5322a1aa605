import { CzctlError } from "../model/errors.ts";
import type { WorkloadKind, WorkloadRef } from "../model/control.ts";
import type { ObjectQuery, ObjectSource, ResourceName } from "../model/objects.ts";
import { shellWord } from "../model/shell_word.ts";
import {
  type Container,
  type Controller,
  type CronJob,
  type JobSpec,
  type Pod,
  type PodTemplate,
  selectorText,
  type Service,
} from "./kube.ts";
import { COMPLETION_INDEX } from "./downward.ts";
import { currentPods, podsOfDeployment, sameVariables } from "./revision.ts";

/** What must be watched to see a workload change. */
export interface WatchTarget {
  readonly resource: ResourceName;
  readonly namespace: string;
  readonly query: ObjectQuery;
}

export interface ResolvedWorkload {
  /** The container whose environment it is. */
  readonly container: Container;
  readonly template: PodTemplate;
  /** The pod whose address and node stand for the workload's, if one runs. */
  readonly pod?: Pod;
  /** Why there is no `pod`, where there is none. */
  readonly noPod: string;
  /** Set where the template has not been through admission, which adds to a pod: why. */
  readonly notAdmitted?: string;
  readonly notes: readonly string[];
  readonly watch: readonly WatchTarget[];
}

const RESOURCE_OF: Partial<Record<WorkloadKind, ResourceName>> = {
  deployment: "deployments",
  statefulset: "statefulsets",
  daemonset: "daemonsets",
  replicaset: "replicasets",
  job: "jobs",
  cronjob: "cronjobs",
  pod: "pods",
  service: "services",
};

/** The object of the workload itself, for a watch that outlives it. */
export function workloadTarget(workload: WorkloadRef): WatchTarget {
  const resource = RESOURCE_OF[workload.kind];
  if (!resource) {
    throw new CzctlError("usage", `Cannot make an environment file for a ${workload.kind}`, {
      hint: "Name a workload of it, for example: czctl environment deployment NAME",
    });
  }
  return {
    resource,
    namespace: workload.namespace,
    query: { fieldSelector: `metadata.name=${workload.name}` },
  };
}

export interface ResolveOptions {
  readonly objects: ObjectSource;
  readonly workload: WorkloadRef;
  readonly container?: string;
  /** Uid of the pod chosen before: kept while it is as good as any other. */
  readonly preferPod?: string;
  readonly signal?: AbortSignal;
}

/**
 * Finds the pod template, a pod of it, and the container.
 * Throws CzctlError `not_found`, `usage` (a namespace, or no such container), `denied`, `unreachable`.
 */
export async function resolveWorkload(options: ResolveOptions): Promise<ResolvedWorkload> {
  const { objects, workload, signal } = options;
  const target = workloadTarget(workload);
  const object = await objects.get(target.resource, workload.namespace, workload.name, signal);
  if (!object) throw missing(workload, objects);
  const watch = [target];
  const notes: string[] = [];

  if (workload.kind === "pod") {
    const pod = object as Pod;
    const template = { metadata: pod.metadata, spec: pod.spec };
    return {
      container: containerOf(
        pod.spec,
        [pod.metadata.annotations?.[DEFAULT_CONTAINER]],
        options,
        notes,
      ),
      template,
      pod,
      noPod: NO_POD,
      notes,
      watch,
    };
  }

  const { template, query, owners, settled } = await podsOf(object, options);
  let pods: readonly Pod[] = [];
  let noPod = NO_POD;
  if (query !== undefined) {
    watch.push({ resource: "pods", namespace: workload.namespace, query });
    try {
      const listed = await objects.list<Pod>("pods", workload.namespace, query, signal);
      pods = workload.kind === "deployment"
        ? await podsOfDeployment(
          objects,
          object as Controller,
          workload.namespace,
          listed,
          signal,
        )
        : owners === undefined
        ? listed
        : listed.filter((pod) => ownedBy(pod, owners));
    } catch (error) {
      // Without pods the template still says nearly everything.
      if (!(error instanceof CzctlError && error.code === "denied") || !template) throw error;
      notes.push("Pods may not be listed: values that come from a running pod are guessed");
      noPod = "pods may not be listed";
    }
  }
  const open = template === undefined ? [] : pods.filter((pod) => !ownedBy(pod, settled));
  const outdated = new Set(open);
  if (template && open.length > 0) {
    const made = await currentPods(
      objects,
      workload,
      object as Controller,
      template,
      open,
      signal,
    );
    for (const pod of made) outdated.delete(pod);
  }
  const current = new Set(pods.filter((pod) => !outdated.has(pod)));
  const pod = choosePod(pods, current, options.preferPod);
  const source = template ?? (pod && { metadata: pod.metadata, spec: pod.spec });
  if (!source) {
    throw new CzctlError(
      "not_found",
      `Cannot find a pod behind service "${workload.name}" in namespace "${workload.namespace}"`,
      { hint: "Name the workload instead, for example: czctl environment deployment NAME" },
    );
  }
  // A pod made from this very template also has what admission webhooks added to it.
  const made = pod && current.has(pod) ? pod : undefined;
  const spec = made?.spec ?? source.spec;
  const marked = made?.metadata.annotations?.[DEFAULT_CONTAINER] ??
    source.metadata?.annotations?.[DEFAULT_CONTAINER];
  return {
    container: containerOf(spec, [marked, source.spec.containers[0]?.name], options, notes),
    template: { ...(source.metadata && { metadata: source.metadata }), spec },
    ...(pod && { pod }),
    noPod,
    ...(!made && { notAdmitted: pod ? "no pod of the present template runs" : noPod }),
    notes,
    watch,
  };
}

const NO_POD = "no pod runs";

function missing(workload: WorkloadRef, { kubectl }: ObjectSource): CzctlError {
  return new CzctlError(
    "not_found",
    `Cannot find ${workload.kind} "${workload.name}" in namespace "${workload.namespace}"`,
    { hint: `See: ${kubectl} get ${workload.kind} -n ${shellWord(workload.namespace)}` },
  );
}

interface PodsOf {
  readonly template?: PodTemplate;
  readonly query?: ObjectQuery;
  /** Uids of the controllers whose pods count; undefined: whatever the query finds. */
  readonly owners?: ReadonlySet<string>;
  /** Uids of controllers whose pods are all of the present template. */
  readonly settled: ReadonlySet<string>;
}

const NONE: ReadonlySet<string> = new Set();

async function podsOf(object: unknown, options: ResolveOptions): Promise<PodsOf> {
  const { objects, workload, signal } = options;
  switch (workload.kind) {
    case "service": {
      const { selector } = (object as Service).spec;
      if (!selector || Object.keys(selector).length === 0) {
        throw new CzctlError(
          "failed",
          `Cannot make an environment for service "${workload.name}": it selects no pods`,
          { hint: "Name the workload instead, for example: czctl environment deployment NAME" },
        );
      }
      return {
        query: { labelSelector: selectorText({ matchLabels: selector }) },
        settled: NONE,
      };
    }
    case "cronjob": {
      const cronJob = object as CronJob;
      const { spec } = cronJob.spec.jobTemplate;
      const template = templateOf(spec);
      try {
        const jobs = await objects.list<Controller>("jobs", workload.namespace, {}, signal);
        const owned = jobs.filter((job) =>
          job.metadata.ownerReferences?.some((owner) => owner.uid === cronJob.metadata.uid)
        );
        const owners = new Set(owned.map((job) => job.metadata.uid ?? ""));
        if (owners.size === 0) return { template, settled: NONE };
        const settled = new Set(
          owned.filter((job) => sameVariables(job.spec.template.spec, spec.template.spec))
            .map((job) => job.metadata.uid ?? ""),
        );
        // Which pods have since before the prefixed label (1.27): pkg/registry/batch/job/strategy.go.
        const query = { labelSelector: "job-name" };
        return { template, owners, settled, query };
      } catch (error) {
        if (error instanceof CzctlError && error.code === "denied") {
          return { template, settled: NONE };
        }
        throw error;
      }
    }
    default: {
      const controller = object as Controller;
      const { selector } = controller.spec;
      const template = workload.kind === "job"
        ? templateOf(controller.spec)
        : controller.spec.template;
      const labelSelector = selectorText(selector);
      const { uid } = controller.metadata;
      return {
        template,
        // A Job's template cannot change, and its controller adds to it (JOB_COMPLETION_INDEX).
        settled: workload.kind === "job" && uid !== undefined ? new Set([uid]) : NONE,
        ...(labelSelector !== "" && { query: { labelSelector } }),
        // A Deployment's pods belong to its ReplicaSets; everybody else owns them directly.
        ...(workload.kind !== "deployment" && uid !== undefined && { owners: new Set([uid]) }),
      };
    }
  }
}

/** The template as the Job controller makes pods of it (addCompletionIndexEnvVariables). */
function templateOf({ template, completionMode }: JobSpec): PodTemplate {
  if (completionMode !== "Indexed") return template;
  const name = "JOB_COMPLETION_INDEX";
  const fieldRef = { fieldPath: `metadata.annotations['${COMPLETION_INDEX}']` };
  const add = (container: Container): Container =>
    container.env?.some((one) => one.name === name)
      ? container
      : { ...container, env: [...container.env ?? [], { name, valueFrom: { fieldRef } }] };
  const { containers, initContainers } = template.spec;
  return {
    ...template,
    spec: {
      ...template.spec,
      containers: containers.map(add),
      ...(initContainers && { initContainers: initContainers.map(add) }),
    },
  };
}

function ownedBy(pod: Pod, owners: ReadonlySet<string>): boolean {
  return pod.metadata.ownerReferences?.some((owner) => owners.has(owner.uid)) ?? false;
}

/** Ready before running before finished, the current template's before an older one's, then by name. */
function choosePod(
  pods: readonly Pod[],
  current: ReadonlySet<Pod>,
  prefer: string | undefined,
): Pod | undefined {
  const rank = (pod: Pod): number => {
    const { phase } = pod.status ?? {};
    const ready = pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True");
    let points = phase === "Running" ? (ready ? 40 : 20) : phase === "Pending" ? 8 : 4;
    if (pod.metadata.deletionTimestamp !== undefined) points -= 30;
    if (current.has(pod)) points += 2;
    if (pod.metadata.uid === prefer) points += 1;
    return points;
  };
  return pods.toSorted((a, b) =>
    rank(b) - rank(a) || (a.metadata.name < b.metadata.name ? -1 : 1)
  )[0];
}

/** kubectl's own, set by people and by the webhooks of service meshes. */
const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";

/**
 * The one of `--container`, else the first of `preferred` that is there, else
 * the first. A webhook may have put its own container before the workload's,
 * so the pod's first says little.
 */
function containerOf(
  spec: PodTemplate["spec"],
  preferred: readonly (string | undefined)[],
  options: ResolveOptions,
  notes: string[],
): Container {
  // A sidecar runs as long as the others do; kubectl exec and logs take it by name, too.
  const sidecars = spec.initContainers?.filter(({ restartPolicy }) => restartPolicy === "Always");
  const running = [...spec.containers, ...sidecars ?? []];
  const names = running.map(({ name }) => name);
  const { workload, container: wanted } = options;
  if (wanted !== undefined) {
    const found = running.find(({ name }) => name === wanted);
    if (found) return found;
    const init = spec.initContainers?.some(({ name }) => name === wanted);
    throw new CzctlError(
      "usage",
      init
        ? `Cannot use container "${wanted}" of ${workload.kind} "${workload.name}": it is an init container`
        : `Cannot find container "${wanted}" in ${workload.kind} "${workload.name}"`,
      { hint: `Give --container one of: ${names.join(", ")}` },
    );
  }
  const name = preferred.find((one) => one !== undefined && names.includes(one));
  const chosen = running.find((one) => one.name === name) ?? running[0];
  if (!chosen) {
    throw new CzctlError(
      "failed",
      `Cannot find a container in ${workload.kind} "${workload.name}"`,
    );
  }
  if (names.length > 1) {
    const others = names.filter((one) => one !== chosen.name).join(", ");
    notes.push(`Container "${chosen.name}"; others, for --container: ${others}`);
  }
  return chosen;
}
