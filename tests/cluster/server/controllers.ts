/** The controller manager: objects that changed are looked at again, after a moment. */
import { DeploymentController } from "./deployments.ts";
import { EndpointSliceController } from "./endpointslices.ts";
import { now, type Obj } from "./json.ts";
import type { ControllerContext } from "./owners.ts";
import { type Resource, resourceNamed, resourceOfKind, RESOURCES } from "./resources.ts";
import { selectorMatcher } from "./selectors.ts";
import type { Store, StoreEvent } from "./store.ts";
import { WorkloadController } from "./workloads.ts";

const PODS = resourceNamed("pods");
const SERVICES = resourceNamed("services");

export class Controllers implements ControllerContext {
  readonly #dirty = new Set<string>();
  /** Dependents by the uid of their owner: `resource/namespace/name`. */
  readonly #dependents = new Map<string, Set<string>>();
  /** Services by `namespace/label=value` of the first pair of their selector. */
  readonly #selectors = new Map<string, Set<string>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #deployments: DeploymentController;
  readonly #workloads: WorkloadController;
  readonly #slices: EndpointSliceController;
  /** Held back: nothing is reconciled until it is false again. */
  paused = false;

  constructor(
    readonly store: Store,
    readonly reconcileMs: number,
    readonly create: (resource: Resource, object: Obj) => Obj,
  ) {
    this.#deployments = new DeploymentController(this);
    this.#workloads = new WorkloadController(this);
    this.#slices = new EndpointSliceController(this);
    store.listen((resource, event) => this.#onEvent(resource, event));
  }

  owned(resource: Resource, owner: Obj): Obj[] {
    const keys = this.#dependents.get(owner.metadata.uid);
    if (!keys) return [];
    const objects: Obj[] = [];
    for (const key of keys) {
      const [name = "", namespace = "", rest = ""] = key.split("/");
      if (name !== resource.name) continue;
      const object = this.store.get(resource, namespace, rest);
      if (object) objects.push(object);
    }
    return objects;
  }

  /** Graceful deletion as the API server does it; the kubelet does the rest. */
  deletePod(pod: Obj, graceSeconds?: number): void {
    const { namespace, name } = pod.metadata;
    const current = this.store.get(PODS, namespace, name);
    if (!current) return;
    const grace = graceSeconds ?? current.spec.terminationGracePeriodSeconds ?? 30;
    if (grace === 0 || !current.spec.nodeName) {
      this.store.remove(PODS, namespace, name);
      return;
    }
    if (current.metadata.deletionTimestamp) return;
    this.store.update(PODS, {
      ...current,
      metadata: {
        ...current.metadata,
        generation: (current.metadata.generation ?? 1) + 1,
        deletionTimestamp: now(grace * 1000),
        deletionGracePeriodSeconds: grace,
      },
    });
  }

  #mark(resource: string, namespace: string, name: string): void {
    this.#dirty.add(`${resource}/${namespace}/${name}`);
    if (this.paused) return;
    this.#timer ??= setTimeout(() => this.drain(), this.reconcileMs);
  }

  #onEvent(resource: Resource, event: StoreEvent): void {
    const { metadata } = event.object;
    const namespace = metadata.namespace ?? "";
    for (const owner of metadata.ownerReferences ?? []) {
      const key = `${resource.name}/${namespace}/${metadata.name}`;
      const set = this.#dependents.get(owner.uid) ?? new Set();
      this.#dependents.set(owner.uid, set);
      if (event.type === "DELETED") set.delete(key);
      else set.add(key);
      if (owner.controller && owner.kind !== "Service") {
        this.#mark(resourceOfKind(owner.kind).name, namespace, owner.name);
      }
    }
    if (resource === PODS) {
      // A status change that no Service can see needs no new slices.
      for (const pod of [event.object, event.before]) {
        for (const name of this.#selecting(namespace, pod)) this.#mark("services", namespace, name);
      }
      return;
    }
    if (resource === SERVICES) this.#index(event);
    if (event.type === "DELETED") this.#collect(metadata.uid);
    this.#mark(resource.name, namespace, metadata.name);
  }

  #index({ type, object, before }: StoreEvent): void {
    for (const service of [before, object]) {
      const [first] = Object.entries(service?.spec.selector ?? {});
      if (!service || !first) continue;
      const { namespace, name } = service.metadata;
      const key = `${namespace}/${first.join("=")}`;
      let names = this.#selectors.get(key);
      if (!names) this.#selectors.set(key, names = new Set());
      if (service === object && type !== "DELETED") names.add(name);
      else names.delete(name);
    }
  }

  /** Names of the Services that select the pod. */
  *#selecting(namespace: string, pod: Obj | undefined): Iterable<string> {
    for (const [label, value] of Object.entries(pod?.metadata.labels ?? {})) {
      for (const name of this.#selectors.get(`${namespace}/${label}=${value}`) ?? []) {
        const service = this.store.get(SERVICES, namespace, name);
        if (service && selectorMatcher({ matchLabels: service.spec.selector })(pod!)) yield name;
      }
    }
  }

  /** Garbage collection of what the deleted object owned. */
  #collect(uid: string): void {
    const keys = this.#dependents.get(uid);
    this.#dependents.delete(uid);
    for (const key of keys ?? []) {
      const [name = "", namespace = "", rest = ""] = key.split("/");
      const resource = resourceNamed(name);
      const object = this.store.get(resource, namespace, rest);
      if (!object) continue;
      if (resource === PODS) this.deletePod(object);
      else this.store.remove(resource, namespace, rest);
    }
  }

  /** Everything in a namespace goes, then the namespace. */
  deleteNamespace(name: string): void {
    for (const resource of RESOURCES) {
      if (!resource.namespaced || resource === PODS) continue;
      for (const object of this.store.list(resource, name)) {
        this.store.remove(resource, name, object.metadata.name);
      }
    }
    for (const pod of this.store.list(PODS, name)) this.deletePod(pod);
  }

  /** Looks at everything that changed, and at what changes because of that. */
  drain(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#dirty.size > 0 && !this.paused) {
      const keys = [...this.#dirty];
      this.#dirty.clear();
      for (const key of keys) {
        const [resource = "", namespace = "", name = ""] = key.split("/");
        this.#reconcile(resource, namespace, name);
      }
    }
  }

  #reconcile(resource: string, namespace: string, name: string): void {
    const object = this.store.get(resourceNamed(resource), namespace, name);
    if (!object) return;
    switch (resource) {
      case "services":
        return this.#slices.reconcile(object);
      case "deployments":
        return this.#deployments.deployment(object);
      case "replicasets":
        return this.#deployments.replicaSet(object);
      case "statefulsets":
        return this.#workloads.statefulSet(object);
      case "daemonsets":
        return this.#workloads.daemonSet(object);
      case "jobs":
        return this.#workloads.job(object);
      default:
    }
  }
}
