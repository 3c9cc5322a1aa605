import { type ClusterService, serviceKey } from "../model/service.ts";
import type { Slice } from "./endpoint_slice.ts";
import { mergeService, needsPortsOfPods } from "./merge.ts";
import { type PodSpec, slicesOfPods } from "./pod_endpoints.ts";
import type { ServiceSpec } from "./service_spec.ts";

/**
 * Services, and the slices or pods behind them, joined. Every change marks the
 * Services it touches; `flush` computes those and no others, and says whether
 * anything came out different.
 */
export class ServiceIndex {
  readonly #specs = new Map<string, ServiceSpec>();
  /** Slices by Service key, then by the slice's own key. */
  readonly #slices = new Map<string, Map<string, Slice>>();
  /** Pods by namespace and label pair; only where EndpointSlices are out of reach. */
  readonly #pods = new Map<string, Map<string, PodSpec>>();
  /** Service keys by namespace and first selector pair, to find those a pod may belong to. */
  readonly #bySelector = new Map<string, Set<string>>();
  /** Keys of Services that follow what other Services say of their pods, by namespace. */
  readonly #portless = new Map<string, Set<string>>();
  /** Namespaces whose EndpointSlices cannot be read; `""` is the whole cluster. */
  readonly #withoutSlices = new Set<string>();
  readonly #dirty = new Set<string>();
  readonly #services = new Map<string, ClusterService>();
  /** How many slices or pods name a pod. */
  readonly #uids = new Map<string, number>();
  readonly #gone = new Set<string>();
  readonly #named = new Set<string>();

  get services(): ReadonlyMap<string, ClusterService> {
    return this.#services;
  }

  setService(before: ServiceSpec | undefined, now: ServiceSpec | undefined): void {
    const key = serviceKey((now ?? before)!);
    if (before) this.#bySelector.get(selectorKey(before))?.delete(key);
    if (now) {
      this.#specs.set(key, now);
      if (now.selector) {
        const at = selectorKey(now);
        let keys = this.#bySelector.get(at);
        if (!keys) this.#bySelector.set(at, keys = new Set());
        keys.add(key);
      }
    } else {
      this.#specs.delete(key);
    }
    this.#setPortless(key, now !== undefined && needsPortsOfPods(now));
    this.#dirty.add(key);
  }

  setSlice(sliceKey: string, before: Slice | undefined, now: Slice | undefined): void {
    for (const slice of [before, now]) {
      if (!slice || slice.service === "") continue;
      const key = serviceKey({ namespace: slice.namespace, name: slice.service });
      this.#dirty.add(key);
      let slices = this.#slices.get(key);
      if (!slices) this.#slices.set(key, slices = new Map());
      if (slice === now) slices.set(sliceKey, now);
      else slices.delete(sliceKey);
      if (slices.size === 0) this.#slices.delete(key);
      for (const portless of this.#portless.get(slice.namespace) ?? []) this.#dirty.add(portless);
    }
    this.#count(now, 1);
    this.#count(before, -1);
  }

  setPod(before: PodSpec | undefined, now: PodSpec | undefined): void {
    const { namespace, name } = (now ?? before)!;
    for (const pod of [before, now]) {
      for (const [label, value] of Object.entries(pod?.labels ?? {})) {
        const at = `${namespace}/${label}=${value}`;
        let pods = this.#pods.get(at);
        if (!pods) this.#pods.set(at, pods = new Map());
        if (pod === now) pods.set(name, now!);
        else pods.delete(name);
        if (pods.size === 0) this.#pods.delete(at);
        for (const key of this.#bySelector.get(at) ?? []) this.#dirty.add(key);
      }
    }
    if (before?.uid === now?.uid) return;
    if (before) this.#isGone(before.uid);
    if (now) this.#isNamed(now.uid);
  }

  /** Whether EndpointSlices can be read, in a namespace or (undefined) anywhere. */
  setSlicesReadable(namespace: string | undefined, readable: boolean): void {
    const scope = namespace ?? "";
    if (readable !== this.#withoutSlices.has(scope)) return;
    if (readable) this.#withoutSlices.delete(scope);
    else this.#withoutSlices.add(scope);
    for (const [key, spec] of this.#specs) {
      if (namespace === undefined || spec.namespace === namespace) this.#dirty.add(key);
    }
  }

  /**
   * Recomputes what was touched. `podsGone`: uids nothing names any more;
   * `podsNamed`: uids that something names and nothing did before.
   */
  flush(): { changed: boolean; podsGone: string[]; podsNamed: string[] } {
    let changed = false;
    for (const key of this.#dirty) {
      const spec = this.#specs.get(key);
      const before = this.#services.get(key);
      if (!spec) {
        changed = this.#services.delete(key) || changed;
        continue;
      }
      const now = mergeService(
        spec,
        this.#slicesOf(key, spec),
        this.#portsOfPods(spec),
        this.#withoutSlices.has("") || this.#withoutSlices.has(spec.namespace),
      );
      if (before && JSON.stringify(before) === JSON.stringify(now)) continue;
      this.#services.set(key, now);
      changed = true;
    }
    this.#dirty.clear();
    const podsGone = [...this.#gone];
    const podsNamed = [...this.#named];
    this.#gone.clear();
    this.#named.clear();
    return { changed, podsGone, podsNamed };
  }

  #slicesOf(key: string, spec: ServiceSpec): Slice[] {
    const slices = [...this.#slices.get(key)?.values() ?? []];
    const pods = this.#pods.get(selectorKey(spec));
    return pods ? [...slices, ...slicesOfPods(spec, pods.values())] : slices;
  }

  #setPortless(key: string, portless: boolean): void {
    const namespace = key.slice(0, key.indexOf("/"));
    const keys = this.#portless.get(namespace) ?? new Set();
    if (portless) keys.add(key);
    else keys.delete(key);
    if (keys.size > 0) this.#portless.set(namespace, keys);
    else this.#portless.delete(namespace);
  }

  /** Pod port numbers by uid, as all slices of the namespace and the pods themselves tell them. */
  #portsOfPods(spec: ServiceSpec): ReadonlyMap<string, ReadonlySet<number>> {
    const found = new Map<string, Set<number>>();
    if (!needsPortsOfPods(spec)) return found;
    const add = (uid: string, port: number) => {
      const ports = found.get(uid);
      if (ports) ports.add(port);
      else found.set(uid, new Set([port]));
    };
    for (const [key, slices] of this.#slices) {
      if (!key.startsWith(`${spec.namespace}/`)) continue;
      for (const { ports, endpoints } of slices.values()) {
        for (const { port } of ports) {
          if (port === undefined) continue;
          for (const { pod } of endpoints) if (pod) add(pod.uid, port);
        }
      }
    }
    for (const { uid, ports } of this.#pods.get(selectorKey(spec))?.values() ?? []) {
      for (const port of ports) add(uid, port);
    }
    return found;
  }

  #count(slice: Slice | undefined, by: number): void {
    for (const { pod } of slice?.endpoints ?? []) {
      if (!pod?.uid) continue;
      const before = this.#uids.get(pod.uid) ?? 0;
      const count = before + by;
      if (count > 0) {
        this.#uids.set(pod.uid, count);
        if (before === 0) this.#isNamed(pod.uid);
      } else {
        this.#uids.delete(pod.uid);
        this.#isGone(pod.uid);
      }
    }
  }

  #isNamed(uid: string): void {
    // Gone and back within one burst: never gone.
    if (!this.#gone.delete(uid)) this.#named.add(uid);
  }

  #isGone(uid: string): void {
    if (!this.#named.delete(uid)) this.#gone.add(uid);
  }
}

function selectorKey(spec: ServiceSpec): string {
  const [first] = Object.entries(spec.selector ?? {});
  return first ? `${spec.namespace}/${first[0]}=${first[1]}` : "";
}
