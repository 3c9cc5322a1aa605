/** StatefulSet, DaemonSet and Job: small, but honest about order, names and labels. */
import { hashOf, now, type Obj, suffix } from "./json.ts";
import { type ControllerContext, isActive, isReady, ownerReference } from "./owners.ts";
import { type Resource, resourceNamed } from "./resources.ts";

const PODS = resourceNamed("pods");
const STATEFULSETS = resourceNamed("statefulsets");
const DAEMONSETS = resourceNamed("daemonsets");
const JOBS = resourceNamed("jobs");
const NODES = resourceNamed("nodes");

export class WorkloadController {
  constructor(readonly context: ControllerContext) {}

  #pod(owner: Obj, resource: Resource, name: string, labels: Obj, spec: Obj = {}): void {
    const { template } = owner.spec;
    this.context.create(PODS, {
      metadata: {
        name,
        generateName: `${owner.metadata.name}-`,
        namespace: owner.metadata.namespace,
        labels: { ...template.metadata?.labels, ...labels },
        ...(template.metadata?.annotations ? { annotations: template.metadata.annotations } : {}),
        ownerReferences: [
          ownerReference(resource.kind, `${resource.group}/${resource.version}`, owner),
        ],
      },
      spec: { ...template.spec, ...spec },
    });
  }

  #update(resource: Resource, owner: Obj, status: Obj): void {
    const { namespace, name } = owner.metadata;
    const current = this.context.store.get(resource, namespace, name);
    if (current) this.context.store.update(resource, { ...current, status });
  }

  statefulSet(set: Obj): void {
    const { name } = set.metadata;
    const revision = `${name}-${hashOf(set.spec.template, 9)}`;
    const pods = new Map<number, Obj>(
      this.context.owned(PODS, set).map((
        pod,
      ) => [Number(pod.metadata.name.split("-").at(-1)), pod]),
    );
    this.#ordered(set, pods, revision);
    const now = this.context.owned(PODS, set).filter(isActive);
    const ready = now.filter(isReady).length;
    const updated =
      now.filter((pod) => pod.metadata.labels["controller-revision-hash"] === revision).length;
    const done = updated === now.length;
    this.#update(STATEFULSETS, set, {
      observedGeneration: set.metadata.generation,
      replicas: now.length,
      ...(ready === 0 ? {} : { readyReplicas: ready }),
      ...(now.length === 0 ? {} : { currentReplicas: done ? now.length : now.length - updated }),
      ...(updated === 0 ? {} : { updatedReplicas: updated }),
      currentRevision: done ? revision : set.status.currentRevision ?? revision,
      updateRevision: revision,
      collisionCount: 0,
      availableReplicas: ready,
    });
  }

  /** One step: one pod made, or one removed, highest ordinal first. */
  #ordered(set: Obj, pods: Map<number, Obj>, revision: string): void {
    const { replicas, podManagementPolicy, serviceName } = set.spec;
    const parallel = podManagementPolicy === "Parallel";
    for (let i = 0; i < replicas; i++) {
      const pod = pods.get(i);
      if (!pod) {
        const name = `${set.metadata.name}-${i}`;
        this.#pod(set, STATEFULSETS, name, {
          "apps.kubernetes.io/pod-index": String(i),
          "controller-revision-hash": revision,
          "statefulset.kubernetes.io/pod-name": name,
        }, { hostname: name, ...(serviceName ? { subdomain: serviceName } : {}) });
        if (!parallel) return;
      } else if (!parallel && (!isReady(pod) || pod.metadata.deletionTimestamp)) return;
    }
    const above = [...pods.keys()].filter((i) => i >= replicas).sort((a, b) => b - a);
    for (const i of above) {
      this.context.deletePod(pods.get(i)!);
      if (!parallel) return;
    }
    if (set.spec.updateStrategy.type === "OnDelete") return;
    for (let i = replicas - 1; i >= 0; i--) {
      const pod = pods.get(i);
      if (!pod) return;
      if (pod.metadata.labels["controller-revision-hash"] !== revision) {
        this.context.deletePod(pod);
        return;
      }
      if (!isReady(pod)) return;
    }
  }

  daemonSet(set: Obj): void {
    const nodes = this.context.store.list(NODES);
    const hash = hashOf(set.spec.template);
    const pods = this.context.owned(PODS, set).filter(isActive);
    const stale = pods.filter((pod) => pod.metadata.labels["controller-revision-hash"] !== hash);
    const unready = pods.filter((pod) => !isReady(pod)).length;
    // Rolling update with maxUnavailable 1: the old pod goes first.
    if (stale.length > 0 && unready === 0) this.context.deletePod(stale[0]!);
    for (let i = pods.length; i < nodes.length; i++) {
      this.#pod(set, DAEMONSETS, `${set.metadata.name}-${suffix()}`, {
        "controller-revision-hash": hash,
        "pod-template-generation": String(set.metadata.generation),
      });
    }
    const now = this.context.owned(PODS, set).filter(isActive);
    const ready = now.filter(isReady).length;
    this.#update(DAEMONSETS, set, {
      currentNumberScheduled: now.length,
      numberMisscheduled: 0,
      desiredNumberScheduled: nodes.length,
      numberReady: ready,
      observedGeneration: set.metadata.generation,
      updatedNumberScheduled: now.length - stale.length,
      ...(ready === 0 ? {} : { numberAvailable: ready }),
    });
  }

  job(job: Obj): void {
    const { completions, parallelism } = job.spec;
    const pods = this.context.owned(PODS, job);
    const succeeded = pods.filter((pod) => pod.status.phase === "Succeeded").length;
    const failed = pods.filter((pod) => pod.status.phase === "Failed").length;
    const active = pods.filter(isActive);
    const wanted = Math.min(parallelism, completions - succeeded);
    const over = failed > job.spec.backoffLimit;
    for (let i = active.length; i < wanted && !over && !job.spec.suspend; i++) {
      const labels = {
        "batch.kubernetes.io/controller-uid": job.metadata.uid,
        "batch.kubernetes.io/job-name": job.metadata.name,
        "controller-uid": job.metadata.uid,
        "job-name": job.metadata.name,
      };
      this.#pod(job, JOBS, `${job.metadata.name}-${suffix()}`, labels);
    }
    const done = succeeded >= completions;
    const running = this.context.owned(PODS, job).filter(isActive);
    const finished = done || over;
    this.#update(JOBS, job, {
      ...(finished
        ? {
          conditions: job.status.conditions ?? [{
            type: done ? "Complete" : "Failed",
            status: "True",
            lastProbeTime: now(),
            lastTransitionTime: now(),
            ...(over
              ? {
                reason: "BackoffLimitExceeded",
                message: "Job has reached the specified backoff limit",
              }
              : {
                reason: "CompletionsReached",
                message: "Reached expected number of succeeded pods",
              }),
          }],
          ...(done ? { completionTime: job.status.completionTime ?? now() } : {}),
        }
        : {}),
      startTime: job.status.startTime ?? now(),
      ...(running.length === 0 ? {} : { active: running.length }),
      ...(succeeded === 0 ? {} : { succeeded }),
      ...(failed === 0 ? {} : { failed }),
      ready: running.filter(isReady).length,
    });
  }
}
