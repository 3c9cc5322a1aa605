/** Deployment and ReplicaSet: rolling updates with maxSurge and maxUnavailable. */
import { hashOf, now, type Obj, suffix } from "./json.ts";
import { type ControllerContext, isActive, isReady, ownerReference } from "./owners.ts";
import { resourceNamed } from "./resources.ts";

const DEPLOYMENTS = resourceNamed("deployments");
const REPLICASETS = resourceNamed("replicasets");
const PODS = resourceNamed("pods");

/** A number, or a share of `total`: surge rounds up, unavailable down. */
function share(value: number | string | undefined, total: number, up: boolean): number {
  if (typeof value === "number") return value;
  const part = total * parseFloat(value ?? "25%") / 100;
  return up ? Math.ceil(part) : Math.floor(part);
}

export class DeploymentController {
  constructor(readonly context: ControllerContext) {}

  deployment(deployment: Obj): void {
    const { store } = this.context;
    const { metadata, spec } = deployment;
    const hash = hashOf(spec.template);
    const sets = this.context.owned(REPLICASETS, deployment);
    let fresh = sets.find((set) => set.metadata.labels["pod-template-hash"] === hash);
    const old = sets.filter((set) => set !== fresh);
    const wanted: number = spec.replicas;
    const rolling = spec.strategy.type !== "Recreate";
    const surge = rolling ? share(spec.strategy.rollingUpdate.maxSurge, wanted, true) : 0;
    let unavailable = rolling
      ? share(spec.strategy.rollingUpdate.maxUnavailable, wanted, false)
      : wanted;
    if (rolling && surge === 0 && unavailable === 0) unavailable = 1;
    const oldReplicas = old.reduce((sum, set) => sum + set.spec.replicas, 0);
    const podsOf = (set: Obj) => this.context.owned(PODS, set);
    const oldAlive = old.some((set) => podsOf(set).length > 0);

    if (!fresh) {
      const revision = 1 + Math.max(0, ...sets.map((set) => Number(revisionOf(set))));
      const replicas = rolling
        ? Math.min(wanted, wanted + surge - oldReplicas)
        : oldAlive
        ? 0
        : wanted;
      const labels = { ...spec.template.metadata?.labels, "pod-template-hash": hash };
      fresh = this.context.create(REPLICASETS, {
        metadata: {
          name: `${metadata.name}-${hash}`,
          namespace: metadata.namespace,
          labels,
          annotations: {
            "deployment.kubernetes.io/desired-replicas": String(wanted),
            "deployment.kubernetes.io/max-replicas": String(wanted + surge),
            "deployment.kubernetes.io/revision": String(revision),
          },
          ownerReferences: [ownerReference("Deployment", "apps/v1", deployment)],
        },
        spec: {
          replicas: Math.max(0, replicas),
          selector: {
            matchLabels: { ...spec.selector?.matchLabels, "pod-template-hash": hash },
          },
          template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
        },
      });
    }
    if (!spec.paused) this.#roll(fresh, old, wanted, surge, unavailable, rolling, oldAlive);
    this.#status(deployment, store.get(REPLICASETS, metadata.namespace, fresh.metadata.name)!, [
      fresh,
      ...old,
    ]);
  }

  #scale(set: Obj, replicas: number): void {
    if (set.spec.replicas === replicas) return;
    this.context.store.update(REPLICASETS, {
      ...set,
      metadata: { ...set.metadata, generation: (set.metadata.generation ?? 1) + 1 },
      spec: { ...set.spec, replicas },
    });
  }

  #roll(
    fresh: Obj,
    old: readonly Obj[],
    wanted: number,
    surge: number,
    unavailable: number,
    rolling: boolean,
    oldAlive: boolean,
  ): void {
    if (!rolling) {
      for (const set of old) this.#scale(set, 0);
      if (!oldAlive) this.#scale(fresh, wanted);
      return;
    }
    const oldReplicas = old.reduce((sum, set) => sum + set.spec.replicas, 0);
    if (oldReplicas === 0) return this.#scale(fresh, wanted);
    const current: number = fresh.spec.replicas;
    const room = wanted + surge - (current + oldReplicas);
    if (current > wanted) this.#scale(fresh, wanted);
    else if (room > 0) this.#scale(fresh, Math.min(wanted, current + room));
    // Old pods may go as far as enough are available without them.
    // No more than a set is to have: those above that are going already.
    const available = (set: Obj) =>
      Math.min(
        set.spec.replicas,
        this.context.owned(PODS, set).filter((pod) => isActive(pod) && isReady(pod)).length,
      );
    const all = [fresh, ...old].reduce((sum, set) => sum + available(set), 0);
    let may = all - (wanted - unavailable);
    for (const set of old) {
      // Those that are not ready go first and cost nothing.
      const unready = Math.max(0, set.spec.replicas - available(set));
      const take = Math.min(set.spec.replicas, unready + Math.max(0, may));
      may -= Math.max(0, take - unready);
      if (take > 0) this.#scale(set, set.spec.replicas - take);
    }
  }

  #status(deployment: Obj, fresh: Obj, sets: readonly Obj[]): void {
    const { store } = this.context;
    const pods = sets.flatMap((set) => this.context.owned(PODS, set));
    const active = pods.filter(isActive);
    const ready = active.filter(isReady).length;
    const updated = this.context.owned(PODS, fresh).filter(isActive).length;
    const wanted: number = deployment.spec.replicas;
    const finished = updated === wanted && active.length === wanted && ready === wanted;
    const enough = ready >= wanted - share(
          deployment.spec.strategy.rollingUpdate?.maxUnavailable,
          wanted,
          false,
        );
    const before: Obj[] = deployment.status.conditions ?? [];
    const condition = (type: string, status: string, reason: string, message: string) => {
      const old = before.find((one) => one.type === type);
      if (old?.status === status && old.reason === reason && old.message === message) return old;
      return {
        type,
        status,
        lastUpdateTime: now(),
        lastTransitionTime: old?.status === status ? old.lastTransitionTime : now(),
        reason,
        message,
      };
    };
    const name = fresh.metadata.name;
    const count = (key: string, value: number) => (value === 0 ? {} : { [key]: value });
    const current = store.get(DEPLOYMENTS, deployment.metadata.namespace, deployment.metadata.name);
    if (!current) return;
    store.update(DEPLOYMENTS, {
      ...current,
      metadata: {
        ...current.metadata,
        annotations: {
          ...current.metadata.annotations,
          "deployment.kubernetes.io/revision": revisionOf(fresh),
        },
      },
      status: {
        observedGeneration: deployment.metadata.generation,
        ...count("replicas", active.length),
        ...count("updatedReplicas", updated),
        ...count("readyReplicas", ready),
        ...count("availableReplicas", ready),
        ...count("unavailableReplicas", Math.max(0, wanted - ready)),
        terminatingReplicas: pods.filter((pod) => pod.metadata.deletionTimestamp).length,
        conditions: [
          finished
            ? condition(
              "Progressing",
              "True",
              "NewReplicaSetAvailable",
              `ReplicaSet "${name}" has successfully progressed.`,
            )
            : condition(
              "Progressing",
              "True",
              "ReplicaSetUpdated",
              `ReplicaSet "${name}" is progressing.`,
            ),
          enough
            ? condition(
              "Available",
              "True",
              "MinimumReplicasAvailable",
              "Deployment has minimum availability.",
            )
            : condition(
              "Available",
              "False",
              "MinimumReplicasUnavailable",
              "Deployment does not have minimum availability.",
            ),
        ],
      },
    });
  }

  replicaSet(set: Obj): void {
    const { context } = this;
    const pods = context.owned(PODS, set);
    const active = pods.filter(isActive);
    const missing = set.spec.replicas - active.length;
    for (let i = 0; i < missing; i++) {
      const { metadata, spec } = set.spec.template;
      context.create(PODS, {
        metadata: {
          name: `${set.metadata.name}-${suffix()}`,
          generateName: `${set.metadata.name}-`,
          namespace: set.metadata.namespace,
          labels: metadata?.labels,
          ...(metadata?.annotations ? { annotations: metadata.annotations } : {}),
          ownerReferences: [ownerReference("ReplicaSet", "apps/v1", set)],
        },
        spec,
      });
    }
    if (missing < 0) {
      // Those that are not ready first, then the youngest.
      const order = [...active].sort((a, b) =>
        Number(isReady(a)) - Number(isReady(b)) ||
        b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp) ||
        Number(b.metadata.resourceVersion) - Number(a.metadata.resourceVersion)
      );
      for (const pod of order.slice(0, -missing)) context.deletePod(pod);
    }
    const current = context.store.get(REPLICASETS, set.metadata.namespace, set.metadata.name);
    if (!current) return;
    const now = context.owned(PODS, set);
    const counted = now.filter(isActive);
    const ready = counted.filter(isReady).length;
    context.store.update(REPLICASETS, {
      ...current,
      status: {
        replicas: counted.length,
        ...(counted.length === 0 ? {} : { fullyLabeledReplicas: counted.length }),
        ...(ready === 0 ? {} : { readyReplicas: ready, availableReplicas: ready }),
        terminatingReplicas: now.filter((pod) => pod.metadata.deletionTimestamp).length,
        observedGeneration: set.metadata.generation,
      },
    });
  }
}

function revisionOf(set: Obj): string {
  return set.metadata.annotations?.["deployment.kubernetes.io/revision"] ?? "1";
}
