import { Buffer } from "node:buffer";
import type { WorkloadRef } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import { type Logger, silentLogger } from "../model/log.ts";
import type { ObjectSource } from "../model/objects.ts";
import { fieldValue, needsNode, resourceValue } from "./downward.ts";
import { expand } from "./expansion.ts";
import type { ConfigMap, EnvVar, KubeNode, Quantities, Secret, Service } from "./kube.ts";
import { serviceLinks } from "./service_links.ts";
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
  #links: ReadonlyMap<string, string> = new Map();
  #node: Promise<Quantities | undefined> | undefined;

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
      const value = await this.#valueOf(variable);
      if (value !== undefined) this.#own.set(variable.name, value);
    }
    this.#noteMounts();
    const variables = new Map<string, string>();
    for (const [name, value] of [...this.#own, ...this.#links]) {
      if (!variables.has(name) && this.#isName(name)) variables.set(name, value);
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
    if (!good) {
      this.#notes.push(`${JSON.stringify(name)} is left out: it cannot be a variable's name`);
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
        `Service "kubernetes" may not be read: the KUBERNETES_* variables are left out`,
      );
      if (kubernetes) services.set("kubernetes", kubernetes);
    }
    if (own) {
      const listed = await this.#orNote(
        objects.list<Service>("services", workload.namespace, {}, signal),
        "Services may not be listed: the *_SERVICE_HOST and *_PORT variables are left out",
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

  async #orNote<T>(result: Promise<T>, note: string): Promise<T | undefined> {
    try {
      return await result;
    } catch (error) {
      if (!(error instanceof CzctlError && error.code === "denied")) throw error;
      this.#notes.push(note);
      return undefined;
    }
  }

  async #valueOf({ name, value, valueFrom }: EnvVar): Promise<string | undefined> {
    if (value) {
      return expand(value, (other) => this.#own.get(other) ?? this.#links.get(other));
    }
    if (!valueFrom) return "";
    const { workload } = this.#options;
    const { template, pod } = this.#resolved;
    if (valueFrom.fieldRef) {
      return this.#downward(
        name,
        fieldValue(valueFrom.fieldRef.fieldPath, workload, template, pod),
      );
    }
    if (valueFrom.resourceFieldRef) {
      return await this.#resource(name, valueFrom.resourceFieldRef);
    }
    if (valueFrom.configMapKeyRef) {
      return await this.#key("configmaps", name, valueFrom.configMapKeyRef);
    }
    if (valueFrom.secretKeyRef) return await this.#key("secrets", name, valueFrom.secretKeyRef);
    if (valueFrom.fileKeyRef) {
      this.#notes.push(
        `${name} is left out: it comes from the file "${valueFrom.fileKeyRef.path}" inside the pod`,
      );
      return undefined;
    }
    return "";
  }

  #downward(name: string, { value, note }: { value?: string; note?: string }): string | undefined {
    if (note !== undefined) {
      this.#notes.push(value === undefined ? `${name} is left out: ${note}` : `${name}: ${note}`);
    }
    return value;
  }

  async #resource(
    name: string,
    ref: NonNullable<NonNullable<EnvVar["valueFrom"]>["resourceFieldRef"]>,
  ): Promise<string | undefined> {
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
    const { spec } = template;
    const allocatable = needsNode(ref, of, spec) ? await this.#allocatable() : undefined;
    return this.#downward(name, resourceValue(ref, of, spec, allocatable));
  }

  /** Many users may not read nodes; then limits that default to the node's are left out. */
  #allocatable(): Promise<Quantities | undefined> {
    const node = this.#resolved.pod?.spec.nodeName;
    if (!node) return Promise.resolve(undefined);
    const { objects, signal } = this.#options;
    this.#node ??= this.#orNote(
      objects.get<KubeNode>("nodes", "", node, signal),
      `Node "${node}" may not be read`,
    ).then((object) => object?.status?.allocatable);
    return this.#node;
  }

  async #takeAll(
    resource: "configmaps" | "secrets",
    ref: { readonly name?: string; readonly optional?: boolean },
    prefix = "",
  ): Promise<void> {
    const object = await this.#object(resource, ref.name ?? "", ref.optional ?? false);
    // In the order of the keys, so that two envFrom runs agree; names are unique within one object.
    for (const key of Object.keys(object?.data ?? {}).sort()) {
      const value = this.#text(resource, object!, key, `${prefix}${key}`);
      if (value !== undefined) this.#own.set(`${prefix}${key}`, value);
    }
  }

  async #key(
    resource: "configmaps" | "secrets",
    variable: string,
    ref: { readonly name?: string; readonly key: string; readonly optional?: boolean },
  ): Promise<string | undefined> {
    const object = await this.#object(resource, ref.name ?? "", ref.optional ?? false);
    if (!object) return undefined;
    if (object.data && Object.hasOwn(object.data, ref.key)) {
      return this.#text(resource, object, ref.key, variable);
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

  #text(
    resource: "configmaps" | "secrets",
    object: ConfigMap | Secret,
    key: string,
    variable: string,
  ): string | undefined {
    const stored = object.data![key]!;
    if (resource === "configmaps") return stored;
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
        .decode(Buffer.from(stored, "base64"));
    } catch {
      // The kubelet fails on it as well: the container runtime takes text only.
      this.#notes.push(
        `${variable} is left out: key "${key}" of Secret "${object.metadata.name}" is not UTF-8 text`,
      );
      return undefined;
    }
  }

  #cannot(reason: string): MissingReference {
    const { kind, name } = this.#options.workload;
    return new MissingReference(
      `Cannot make the environment of ${kind}/${name}: ${reason}`,
      this.#watch,
    );
  }
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
