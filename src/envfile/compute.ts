import { Buffer } from "node:buffer";
import type { WorkloadRef } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import { type Logger, silentLogger } from "../model/log.ts";
import type { ObjectSource } from "../model/objects.ts";
import { fieldValue, type FoundValue, type NodeAmounts, resourceValue } from "./downward.ts";
import { expand } from "./expansion.ts";
import type { ConfigMap, EnvVar, KubeNode, ResourceFieldRef, Secret, Service } from "./kube.ts";
import { mayBeLink, serviceLinks } from "./service_links.ts";
import { decodeText } from "./text.ts";
import { type ResolvedWorkload, resolveWorkload, type WatchTarget } from "./workload.ts";

export interface EnvironmentOptions {
  readonly objects: ObjectSource;
  readonly workload: WorkloadRef;
  readonly container?: string;
  /** The local address of a service of the workload's namespace; undefined: it keeps the cluster's. */
  readonly serviceAddress?: (service: string) => string | undefined;
  /** Uid of the pod chosen before, so that values do not jump between equal pods. */
  readonly preferPod?: string;
  readonly log?: Logger;
  readonly signal?: AbortSignal;
}

export interface Environment {
  /** envFrom, then env, then service links, as declared; a later entry has already won. */
  readonly variables: ReadonlyMap<string, string>;
  /** What a user should know: names left out, values that are not a pod's own. */
  readonly notes: readonly string[];
  readonly container: string;
  readonly podName?: string;
  readonly podUid?: string;
  /** Everything whose change can change the variables. */
  readonly watch: readonly WatchTarget[];
}

/**
 * The environment the kubelet would give the workload's container
 * (makeEnvironmentVariables in pkg/kubelet/kubelet_pods.go).
 *
 * Throws CzctlError `not_found` for the workload, or for a ConfigMap, Secret or
 * key that is not optional (there the kubelet says CreateContainerConfigError);
 * `usage` for a namespace or an unknown container; `denied`, `unreachable`.
 */
export async function computeEnvironment(options: EnvironmentOptions): Promise<Environment> {
  const resolved = await resolveWorkload(options);
  return await new Computation(options, resolved).run();
}

class Computation {
  readonly #options: EnvironmentOptions;
  readonly #resolved: ResolvedWorkload;
  readonly #notes: string[];
  readonly #watch: WatchTarget[];
  readonly #objects = new Map<string, Promise<ConfigMap | Secret | undefined>>();
  /** The kubelet's tmpEnv: what envFrom and env have given so far. */
  readonly #own = new Map<string, string>();
  /** What envFrom and env have given and czctl, unlike the kubelet, does not know the value of. */
  readonly #unknown = new Set<string>();
  /** What is to be said of a variable; it goes with the value when a later source replaces that. */
  readonly #remarks = new Map<string, string>();
  #links: ReadonlyMap<string, string> = new Map();
  /** Of which Services the links are unknown: all, where they may not be listed. */
  #unknownLinks: "all" | "kubernetes" | undefined;
  #node: Promise<NodeAmounts> | undefined;

  constructor(options: EnvironmentOptions, resolved: ResolvedWorkload) {
    this.#options = options;
    this.#resolved = resolved;
    this.#notes = [...resolved.notes];
    this.#watch = [...resolved.watch];
  }

  async run(): Promise<Environment> {
    const { container, pod } = this.#resolved;
    this.#links = await this.#serviceLinks();
    for (const from of container.envFrom ?? []) {
      if (from.configMapRef) await this.#takeAll("configmaps", from.configMapRef, from.prefix);
      else if (from.secretRef) await this.#takeAll("secrets", from.secretRef, from.prefix);
    }
    for (const variable of container.env ?? []) {
      const found = await this.#valueOf(variable);
      // An optional source that is missing leaves the variable as it was.
      if (found) this.#take(variable.name, found);
    }
    this.#notes.push(...this.#remarks.values());
    this.#noteMounts();
    const variables = new Map<string, string>();
    for (const [name, value] of [...this.#own, ...this.#links]) {
      if (variables.has(name) || this.#unknown.has(name)) continue;
      if (this.#isName(name) && this.#isValue(name, value)) variables.set(name, value);
    }
    (this.#options.log ?? silentLogger).debug("environment computed", {
      container: container.name,
      pod: pod?.metadata.name,
      variables: variables.size,
    });
    return {
      variables,
      notes: [...new Set(this.#notes)],
      container: container.name,
      ...(pod && { podName: pod.metadata.name }),
      ...(pod?.metadata.uid !== undefined && { podUid: pod.metadata.uid }),
      watch: this.#watch,
    };
  }

  #take(name: string, { value, note }: FoundValue): void {
    if (value === undefined) {
      // The kubelet has replaced what an earlier source gave.
      this.#own.delete(name);
      this.#unknown.add(name);
    } else {
      this.#own.set(name, value);
      this.#unknown.delete(name);
    }
    if (note === undefined) this.#remarks.delete(name);
    else this.#remarks.set(name, value === undefined ? leftOut(name, note) : `${name}: ${note}`);
  }

  /** A program that reads its configuration or certificates from files misses them here. */
  #noteMounts(): void {
    const { container, template } = this.#resolved;
    const mounts = (container.volumeMounts ?? []).flatMap(({ name, mountPath }) => {
      const volume = template.spec.volumes?.find((one) => one.name === name);
      const source = volume?.configMap
        ? `ConfigMap "${volume.configMap.name}"`
        : volume?.secret
        ? `Secret "${volume.secret.secretName}"`
        : undefined;
      return source === undefined ? [] : [`${source} at ${mountPath}`];
    });
    if (mounts.length === 0) return;
    this.#notes.push(`Files that the container has and this machine has not: ${mounts.join(", ")}`);
  }

  /** What no process can have in its environment; the API server lets none of it through. */
  #isName(name: string): boolean {
    const good = name !== "" && !name.includes("=") && !name.includes("\0");
    if (!good) this.#notes.push(leftOut(JSON.stringify(name), "it cannot be a variable's name"));
    return good;
  }

  /** The API server lets a NUL through, and the container runtime does not start such a container. */
  #isValue(name: string, value: string): boolean {
    const good = !value.includes("\0");
    if (!good) {
      this.#notes.push(
        leftOut(name, "it holds a NUL character, and no container starts with that"),
      );
    }
    return good;
  }

  async #serviceLinks(): Promise<ReadonlyMap<string, string>> {
    const { objects, workload, serviceAddress, signal } = this.#options;
    const services = new Map<string, Service>();
    const own = this.#resolved.template.spec.enableServiceLinks ?? true;
    const inDefault = workload.namespace === "default";
    // The API server's own variables are always there, whatever enableServiceLinks says.
    if (!own || !inDefault) {
      const kubernetes = await this.#orNote(
        objects.get<Service>("services", "default", "kubernetes", signal),
        () => {
          this.#unknownLinks = "kubernetes";
          return `Service "kubernetes" may not be read: the KUBERNETES_* variables are left out`;
        },
      );
      if (kubernetes) services.set("kubernetes", kubernetes);
    }
    if (own) {
      const listed = await this.#orNote(
        objects.list<Service>("services", workload.namespace, {}, signal),
        () => {
          this.#unknownLinks = "all";
          return "Services may not be listed: the *_SERVICE_HOST and *_PORT variables are left out";
        },
      );
      for (const service of listed ?? []) {
        const { clusterIP } = service.spec;
        if (clusterIP && clusterIP !== "None") services.set(service.metadata.name, service);
      }
      this.#watch.push({ resource: "services", namespace: workload.namespace, query: {} });
    }
    return serviceLinks(
      [...services.values()],
      (service) =>
        (service.metadata.namespace ?? workload.namespace) === workload.namespace
          ? serviceAddress?.(service.metadata.name)
          : undefined,
    );
  }

  async #orNote<T>(result: Promise<T>, note: () => string): Promise<T | undefined> {
    try {
      return await result;
    } catch (error) {
      if (!isDenied(error)) throw error;
      this.#notes.push(note());
      return undefined;
    }
  }

  async #valueOf({ name, value, valueFrom }: EnvVar): Promise<FoundValue | undefined> {
    if (value) return this.#expanded(value);
    if (!valueFrom) return { value: "" };
    if (valueFrom.fieldRef) {
      return fieldValue(valueFrom.fieldRef.fieldPath, this.#options.workload, this.#resolved);
    }
    if (valueFrom.resourceFieldRef) {
      return await this.#resource(name, valueFrom.resourceFieldRef);
    }
    if (valueFrom.configMapKeyRef) {
      return await this.#key("configmaps", valueFrom.configMapKeyRef);
    }
    if (valueFrom.secretKeyRef) return await this.#key("secrets", valueFrom.secretKeyRef);
    if (valueFrom.fileKeyRef) {
      return { note: `it comes from the file "${valueFrom.fileKeyRef.path}" inside the pod` };
    }
    return { value: "" };
  }

  /** A reference to what only the kubelet knows leaves no text that any container would have. */
  #expanded(text: string): FoundValue {
    let unknown: string | undefined;
    const value = expand(text, (name) => {
      const own = this.#own.get(name);
      if (own !== undefined) return own;
      if (this.#isUnknown(name)) unknown ??= name;
      return this.#links.get(name);
    });
    return unknown === undefined
      ? { value }
      : { note: `it refers to ${unknown}, whose value is not known` };
  }

  /** Whether the kubelet may have a value for a name that czctl has none for. */
  #isUnknown(name: string): boolean {
    if (this.#unknown.has(name)) return true;
    if (this.#links.has(name) || this.#unknownLinks === undefined) return false;
    return mayBeLink(name, this.#unknownLinks === "all" ? undefined : "KUBERNETES");
  }

  async #resource(name: string, ref: ResourceFieldRef): Promise<FoundValue> {
    const { container, template } = this.#resolved;
    const { containers, initContainers = [] } = template.spec;
    const of = !ref.containerName || ref.containerName === container.name
      ? container
      : [...containers, ...initContainers].find((one) => one.name === ref.containerName);
    if (!of) {
      throw this.#cannot(
        `variable "${name}" names container "${ref.containerName}", which is missing`,
      );
    }
    return await resourceValue(ref, of, this.#resolved, () => this.#node ??= this.#readNode());
  }

  /** Many users may not read nodes; then limits that default to the node's are left out. */
  async #readNode(): Promise<NodeAmounts> {
    const { objects, signal } = this.#options;
    const { pod, noPod } = this.#resolved;
    if (!pod) return { unknown: noPod };
    const name = pod.spec.nodeName;
    if (!name) return { unknown: `pod "${pod.metadata.name}" has no node yet` };
    try {
      const node = await objects.get<KubeNode>("nodes", "", name, signal);
      if (!node) return { unknown: `node "${name}" does not exist` };
      return { allocatable: node.status?.allocatable ?? {} };
    } catch (error) {
      if (!isDenied(error)) throw error;
      return { unknown: `node "${name}" may not be read` };
    }
  }

  async #takeAll(
    resource: "configmaps" | "secrets",
    ref: { readonly name?: string; readonly optional?: boolean },
    prefix = "",
  ): Promise<void> {
    const object = await this.#object(resource, ref.name ?? "", ref.optional ?? false);
    // In the order of the keys, so that two envFrom runs agree; names are unique within one object.
    for (const key of Object.keys(object?.data ?? {}).sort()) {
      this.#take(`${prefix}${key}`, contentsOf(resource, object!, key));
    }
  }

  async #key(
    resource: "configmaps" | "secrets",
    ref: { readonly name?: string; readonly key: string; readonly optional?: boolean },
  ): Promise<FoundValue | undefined> {
    const object = await this.#object(resource, ref.name ?? "", ref.optional ?? false);
    if (!object) return undefined;
    if (object.data && Object.hasOwn(object.data, ref.key)) {
      return contentsOf(resource, object, ref.key);
    }
    if (ref.optional) return undefined;
    throw this.#cannot(
      `key "${ref.key}" does not exist in ${KIND[resource]} "${ref.name}" of namespace ` +
        `"${this.#options.workload.namespace}"`,
    );
  }

  async #object(
    resource: "configmaps" | "secrets",
    name: string,
    optional: boolean,
  ): Promise<ConfigMap | Secret | undefined> {
    const { objects, workload, signal } = this.#options;
    const id = `${resource}/${name}`;
    let pending = this.#objects.get(id);
    if (!pending) {
      pending = objects.get<ConfigMap | Secret>(resource, workload.namespace, name, signal);
      this.#objects.set(id, pending);
      this.#watch.push({
        resource,
        namespace: workload.namespace,
        query: { fieldSelector: `metadata.name=${name}` },
      });
    }
    const object = await pending;
    if (!object && !optional) {
      throw this.#cannot(
        `${KIND[resource]} "${name}" does not exist in namespace "${workload.namespace}"`,
      );
    }
    return object;
  }

  #cannot(reason: string): MissingReference {
    const { kind, name } = this.#options.workload;
    return new MissingReference(
      `Cannot make the environment of ${kind}/${name}: ${reason}`,
      this.#watch,
    );
  }
}

function leftOut(name: string, reason: string): string {
  return `${name} is left out: ${reason}`;
}

function isDenied(error: unknown): boolean {
  return error instanceof CzctlError && error.code === "denied";
}

/** What a container gets of a key that is there. */
function contentsOf(
  resource: "configmaps" | "secrets",
  object: ConfigMap | Secret,
  key: string,
): FoundValue {
  const stored = object.data![key]!;
  if (resource === "configmaps") return { value: stored };
  const { text, whole } = decodeText(Buffer.from(stored, "base64"));
  if (whole) return { value: text };
  return {
    value: text,
    note: `key "${key}" of Secret "${object.metadata.name}" is not UTF-8 text: ` +
      "as in the container, U+FFFD stands for each byte that is not",
  };
}

const KIND = { configmaps: "ConfigMap", secrets: "Secret" } as const;

/** Something the environment refers to is missing; `watch` says what to wait for. */
export class MissingReference extends CzctlError {
  readonly watch: readonly WatchTarget[];

  constructor(message: string, watch: readonly WatchTarget[]) {
    super("not_found", message, {
      hint: "The kubelet could not start the container either (CreateContainerConfigError)",
    });
    this.name = "MissingReference";
    this.watch = [...watch];
  }
}
