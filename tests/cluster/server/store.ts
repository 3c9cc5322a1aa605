import { randomUUID } from "node:crypto";
import { type Obj } from "./json.ts";
import { apiVersion, type Resource } from "./resources.ts";
import { alreadyExists, conflict, expired, notFound } from "./status.ts";

export interface StoreEvent {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: Obj;
  /** What it was before, for watches with a selector. */
  readonly before?: Obj;
}

/** How many events a resource remembers before old versions answer 410. */
const HISTORY = 20_000;

interface Shelf {
  readonly resource: Resource;
  readonly objects: Map<string, Obj>;
  readonly byNamespace: Map<string, Map<string, Obj>>;
  /** By `namespace/label=value`. */
  readonly byLabel: Map<string, Map<string, Obj>>;
  history: StoreEvent[];
  /** Events up to this version are forgotten. */
  floor: number;
}

export function keyOf(object: Obj): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

/** The objects, one version counter for all of them, and who listens (etcd's part). */
export class Store {
  version = 100;
  #shelves = new Map<string, Shelf>();
  #listeners = new Set<(resource: Resource, event: StoreEvent) => void>();
  #text = new WeakMap<Obj, string>();

  #shelf(resource: Resource): Shelf {
    let shelf = this.#shelves.get(resource.name);
    if (!shelf) {
      shelf = {
        resource,
        objects: new Map(),
        byNamespace: new Map(),
        byLabel: new Map(),
        history: [],
        floor: 0,
      };
      this.#shelves.set(resource.name, shelf);
    }
    return shelf;
  }

  /** Called after every change, in order. The result stops it. */
  listen(listener: (resource: Resource, event: StoreEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get(resource: Resource, namespace: string, name: string): Obj | undefined {
    return this.#shelf(resource).objects.get(`${namespace}/${name}`);
  }

  /** Sorted by namespace and name, as etcd gives them. Namespace `""`: all. */
  list(resource: Resource, namespace = ""): Obj[] {
    const objects = this.values(resource, namespace);
    return [...objects].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  }

  /** The same without the order. */
  values(resource: Resource, namespace = ""): Iterable<Obj> {
    const shelf = this.#shelf(resource);
    return namespace === ""
      ? shelf.objects.values()
      : shelf.byNamespace.get(namespace)?.values() ?? [];
  }

  /** Those that carry at least the first of these labels; all of the namespace without any. */
  labelled(
    resource: Resource,
    namespace: string,
    labels: Readonly<Record<string, string>>,
  ): Iterable<Obj> {
    const [first] = Object.entries(labels);
    if (first === undefined) return this.values(resource, namespace);
    return this.#shelf(resource).byLabel.get(`${namespace}/${first.join("=")}`)?.values() ?? [];
  }

  #label(shelf: Shelf, object: Obj | undefined, add: boolean): void {
    const { namespace = "", name, labels = {} } = object?.metadata ?? {};
    for (const [label, value] of Object.entries(labels)) {
      const key = `${namespace}/${label}=${value}`;
      let inside = shelf.byLabel.get(key);
      if (!inside) shelf.byLabel.set(key, inside = new Map());
      if (add) inside.set(name, object!);
      else inside.delete(name);
      if (inside.size === 0) shelf.byLabel.delete(key);
    }
  }

  create(resource: Resource, object: Obj): Obj {
    const shelf = this.#shelf(resource);
    if (shelf.objects.has(keyOf(object))) {
      throw alreadyExists(resource.name, resource.group, object.metadata.name);
    }
    const { name, generateName, namespace, ...rest } = object.metadata;
    const metadata = {
      name,
      ...(generateName === undefined ? {} : { generateName }),
      ...(namespace === undefined ? {} : { namespace }),
      uid: randomUUID(),
      ...rest,
    };
    return this.#commit(shelf, "ADDED", { ...object, metadata });
  }

  /**
   * Replaces an object. With `expected`, only if that is still its version.
   * Nothing happens when nothing would change.
   */
  update(resource: Resource, object: Obj, expected?: string): Obj {
    const shelf = this.#shelf(resource);
    const before = shelf.objects.get(keyOf(object));
    if (!before) throw notFound(resource.name, resource.group, object.metadata.name);
    if (expected !== undefined && expected !== before.metadata.resourceVersion) {
      throw conflict(resource.name, resource.group, object.metadata.name);
    }
    const same = { ...object, metadata: { ...object.metadata } };
    same.metadata.resourceVersion = before.metadata.resourceVersion;
    if (JSON.stringify(same) === this.text(before)) return before;
    return this.#commit(shelf, "MODIFIED", object, before);
  }

  remove(resource: Resource, namespace: string, name: string): Obj | undefined {
    const shelf = this.#shelf(resource);
    const before = shelf.objects.get(`${namespace}/${name}`);
    return before && this.#commit(shelf, "DELETED", before, before);
  }

  #commit(shelf: Shelf, type: StoreEvent["type"], object: Obj, before?: Obj): Obj {
    const version = ++this.version;
    // Key order as the server's own structs print it; only for eyes.
    const { name, generateName, namespace, uid, resourceVersion: _, ...rest } = object.metadata;
    const stored: Obj = {
      ...object,
      metadata: {
        name,
        ...(generateName === undefined ? {} : { generateName }),
        ...(namespace === undefined ? {} : { namespace }),
        uid,
        resourceVersion: String(version),
        ...rest,
      },
    };
    const key = keyOf(stored);
    const group = namespace ?? "";
    let inside = shelf.byNamespace.get(group);
    if (!inside) shelf.byNamespace.set(group, inside = new Map());
    if (type === "DELETED") {
      shelf.objects.delete(key);
      inside.delete(name);
    } else {
      shelf.objects.set(key, stored);
      inside.set(name, stored);
    }
    // In place while the labels stay, so that the order stays, too.
    if (JSON.stringify(before?.metadata.labels) !== JSON.stringify(stored.metadata.labels)) {
      this.#label(shelf, before, false);
    }
    this.#label(shelf, stored, type !== "DELETED");
    const event = { version, type, object: stored, ...(before ? { before } : {}) };
    shelf.history.push(event);
    if (shelf.history.length > HISTORY * 2) {
      shelf.floor = shelf.history[HISTORY - 1]!.version;
      shelf.history = shelf.history.slice(HISTORY);
    }
    for (const listener of this.#listeners) listener(shelf.resource, event);
    return stored;
  }

  /** Everything after `version`. Throws ApiError 410 when that is forgotten. */
  since(resource: Resource, version: number): readonly StoreEvent[] {
    const shelf = this.#shelf(resource);
    if (version < shelf.floor) throw expired(version, shelf.floor);
    const history = shelf.history;
    let low = 0, high = history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (history[middle]!.version <= version) low = middle + 1;
      else high = middle;
    }
    return history.slice(low);
  }

  /** Forgets the history: every older resourceVersion is 410 from now on. */
  expire(name?: string): void {
    for (const shelf of this.#shelves.values()) {
      if (name !== undefined && shelf.resource.name !== name) continue;
      shelf.history = [];
      shelf.floor = this.version;
    }
    this.version++;
  }

  /** JSON of an object without kind and apiVersion, made once. */
  text(object: Obj): string {
    let text = this.#text.get(object);
    if (text === undefined) this.#text.set(object, text = JSON.stringify(object));
    return text;
  }

  /** JSON with kind and apiVersion in front, as single objects and watch events have it. */
  fullText(resource: Resource, object: Obj): string {
    return `{"kind":"${resource.kind}","apiVersion":"${apiVersion(resource)}",${
      this.text(object).slice(1)
    }`;
  }
}
