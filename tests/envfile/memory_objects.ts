// deno-lint-ignore-file no-explicit-any -- objects as an API server sends them
import { CzctlError } from "../../src/model/errors.ts";
import type {
  KubeObject,
  ObjectQuery,
  ObjectSource,
  ObjectWatch,
  ResourceName,
} from "../../src/model/objects.ts";

/** Objects in memory that behave like an API server as far as ObjectSource shows one. */
export class MemoryObjects implements ObjectSource {
  readonly #objects = new Map<string, KubeObject>();
  readonly #watches = new Set<() => void>();
  /** What a request may not do: `get secrets`, `watch configmaps`, ... */
  readonly denied = new Set<string>();
  /** Every request made, as `get secrets/name`. */
  readonly requests: string[] = [];
  readonly kubectl = "kubectl --context memory";
  unreachable = false;

  put(resource: ResourceName, object: any): void {
    this.#objects.set(`${resource}/${object.metadata.namespace ?? ""}/${object.metadata.name}`, {
      ...structuredClone(object),
    });
    this.#changed();
  }

  delete(resource: ResourceName, namespace: string, name: string): void {
    this.#objects.delete(`${resource}/${namespace}/${name}`);
    this.#changed();
  }

  get watches(): number {
    return this.#watches.size;
  }

  get<T extends KubeObject>(resource: ResourceName, namespace: string, name: string) {
    return this.#answer("get", `${resource}/${name}`, () => {
      const found = this.#objects.get(`${resource}/${namespace}/${name}`);
      return found && structuredClone(found) as unknown as T;
    });
  }

  list<T extends KubeObject>(resource: ResourceName, namespace: string, query: ObjectQuery = {}) {
    return this.#answer("list", resource, () => this.#find<T>(resource, namespace, query));
  }

  watch<T extends KubeObject>(
    resource: ResourceName,
    namespace: string,
    query: ObjectQuery,
    onChange: (objects: readonly T[]) => void,
    onError?: (error: Error) => void,
  ): ObjectWatch {
    if (this.denied.has(`watch ${resource}`)) {
      queueMicrotask(() =>
        onError?.(new CzctlError("denied", `Cannot watch ${resource}: forbidden`))
      );
      return { close() {} };
    }
    let last: string | undefined;
    const look = () => {
      const found = this.#find<T>(resource, namespace, query);
      const text = JSON.stringify(found);
      if (text === last) return;
      last = text;
      onChange(found);
    };
    this.#watches.add(look);
    queueMicrotask(() => this.#watches.has(look) && look());
    return { close: () => void this.#watches.delete(look) };
  }

  #changed(): void {
    for (const look of [...this.#watches]) look();
  }

  #find<T extends KubeObject>(
    resource: string,
    namespace: string,
    query: ObjectQuery,
  ): readonly T[] {
    return [...this.#objects]
      .filter(([key]) => key.startsWith(`${resource}/${namespace}/`))
      .map(([, object]) => structuredClone(object) as unknown as T)
      .filter((object) => matches(object, query));
  }

  async #answer<T>(verb: string, what: string, make: () => T): Promise<T> {
    this.requests.push(`${verb} ${what}`);
    await Promise.resolve();
    if (this.unreachable) throw new CzctlError("unreachable", "Cannot reach the cluster");
    const resource = what.split("/")[0];
    if (this.denied.has(`${verb} ${resource}`)) {
      throw new CzctlError("denied", `Cannot ${verb} ${what}: forbidden`);
    }
    return make();
  }
}

function matches(object: KubeObject, { labelSelector, fieldSelector }: ObjectQuery): boolean {
  if (fieldSelector !== undefined && fieldSelector !== `metadata.name=${object.metadata.name}`) {
    return false;
  }
  return (labelSelector ?? "").split(/,(?![^(]*\))/).filter(Boolean).every((term) => {
    const labels = object.metadata.labels ?? {};
    const set = /^(\S+) (in|notin) \((.*)\)$/.exec(term);
    if (set) return set[3]!.split(",").includes(labels[set[1]!] ?? "") === (set[2] === "in");
    const [key, value] = term.split("=");
    return value === undefined ? Object.hasOwn(labels, key!) : labels[key!] === value;
  });
}

/** A Deployment `web` with one ready pod; `spec` goes into the only container. */
export function webDeployment(spec: any, podSpec: any = {}) {
  const template: any = {
    metadata: { labels: { app: "web" } },
    spec: { ...podSpec, containers: [{ name: "web", ...spec }] },
  };
  return {
    kind: "Deployment",
    metadata: { name: "web", namespace: "shop", uid: "d1", generation: 1 },
    spec: { selector: { matchLabels: { app: "web" } }, template },
    status: { observedGeneration: 1 },
  };
}

/** A ready pod of that Deployment. */
export function webPod(
  deployment: any,
  name = "web-5d9-abcde",
  labels: Record<string, string> = {},
) {
  const hash = labels["pod-template-hash"] ?? "5d9";
  return {
    kind: "Pod",
    metadata: {
      name,
      namespace: "shop",
      uid: `uid-${name}`,
      labels: {
        ...deployment.spec.template.metadata.labels,
        "pod-template-hash": hash,
        ...labels,
      },
      ownerReferences: [{
        kind: "ReplicaSet",
        name: `${deployment.metadata.name}-${hash}`,
        uid: `rs-${hash}`,
        controller: true,
      }],
      annotations: { "example.org/team": "blue" },
    },
    spec: { ...structuredClone(deployment.spec.template.spec), nodeName: "node-1" },
    status: {
      phase: "Running",
      podIP: "10.1.2.3",
      podIPs: [{ ip: "10.1.2.3" }, { ip: "fd00::3" }],
      hostIP: "192.168.0.7",
      hostIPs: [{ ip: "192.168.0.7" }],
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
}
