/** Role "api": the store, the controllers, the REST API, and the processes around them. */
import type { ChildProcess } from "node:child_process";
import cluster from "node:cluster";
import { createServer as createHttpServer, type Server } from "node:http";
import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Buffer } from "node:buffer";
import { claimPrefix } from "./addresses.ts";
import { Api } from "./api.ts";
import { Access } from "./auth.ts";
import type { ReadyLine, ServerConfig } from "./config.ts";
import type { Control, Counters, PodPlace } from "./control_api.ts";
import { Controllers } from "./controllers.ts";
import { applyDefaults } from "./defaults.ts";
import type { Obj } from "./json.ts";
import { writeCredential, writeKubeconfig } from "./kubeconfig.ts";
import { Kubelet } from "./kubelet.ts";
import { NODE_IP, NODE_NAME } from "./pod_status.ts";
import { isReady } from "./owners.ts";
import { mergePatch } from "./patch.ts";
import { DATA_PATH_FLAGS } from "./pod_protocol.ts";
import { type Resource, resourceNamed, resourceOfKind } from "./resources.ts";
import { Store } from "./store.ts";
import type { GatewayCommand, GatewayConfig, GatewayReport, GatewayStats } from "./target.ts";
import { Watches } from "./watches.ts";
import { makeCertificate } from "./x509.ts";

const PODS = resourceNamed("pods");

export class ClusterProcess implements Control {
  readonly store = new Store();
  readonly access: Access;
  readonly watches: Watches;
  readonly controllers: Controllers;
  readonly kubelet: Kubelet;
  readonly api: Api;
  readonly #ca = makeCertificate({ commonName: "kubernetes", usage: "ca" });
  readonly #server;
  readonly #secrets = new Map<string, Record<string, unknown>>();
  #gateways: ChildProcess[] = [];
  #port = 0;
  #ways = { spdy: true, websocket: true };
  #delayMs: number;
  #clusterIPs = 0;
  #statsId = 0;
  #stats = new Map<number, (stats: GatewayStats) => void>();
  readonly #changes = new Map<string, number>();

  constructor(readonly config: ServerConfig, prefix: string) {
    const { timings } = config;
    this.#delayMs = config.delayMs;
    this.access = new Access(config.users);
    this.watches = new Watches(this.store, timings.bookmarkMs);
    this.store.listen(({ name }) => {
      this.#changes.set(name, (this.#changes.get(name) ?? 0) + 1);
    });
    this.kubelet = new Kubelet(this.store, {
      timings,
      prefix,
      lazy: config.lazyPods,
      onState: (uid, state) => this.#tell({ type: "pod", uid, state }),
    });
    const create = (resource: Resource, object: Obj) => this.#create(resource, object);
    this.controllers = new Controllers(this.store, timings.reconcileMs, create);
    this.api = new Api({
      store: this.store,
      access: this.access,
      watches: this.watches,
      controllers: this.controllers,
      kubelet: this.kubelet,
      version: config.version,
      address: () => `127.0.0.1:${this.#port}`,
      create,
    });
    this.#server = makeCertificate({
      commonName: "kube-apiserver",
      usage: "server",
      issuer: this.#ca,
      dnsNames: ["localhost", "kubernetes", "kubernetes.default.svc", "test-cluster.example"],
      addresses: [Buffer.from([127, 0, 0, 1]), Buffer.concat([Buffer.alloc(15), Buffer.from([1])])],
    });
  }

  get #socketPath(): string {
    return join(this.config.folder, "api.sock");
  }

  #clusterIP = (): string => {
    const number = ++this.#clusterIPs + 10;
    return `10.96.${(number >> 8) & 255}.${number & 255}`;
  };

  #create(resource: Resource, object: Obj): Obj {
    return this.store.create(resource, applyDefaults(resource, object, this.#clusterIP));
  }

  #tell(command: GatewayCommand): void {
    for (const gateway of this.#gateways) if (gateway.connected) gateway.send(command);
  }

  /** Loads objects as if they had been there for long: pods are ready at once. */
  async #load(objects: readonly Obj[]): Promise<void> {
    this.kubelet.instant = true;
    const namespaces = resourceNamed("namespaces");
    for (const object of objects) {
      const resource = resourceOfKind(object.kind);
      const namespace = object.metadata.namespace;
      if (resource.namespaced && !this.store.get(namespaces, "", namespace)) {
        this.#create(namespaces, { metadata: { name: namespace } });
      }
      const before = this.store.get(resource, namespace ?? "", object.metadata.name);
      if (!before) this.#create(resource, object);
      else {
        const { kind: _k, apiVersion: _a, ...patch } = object;
        const after = mergePatch(before, patch);
        const changed = JSON.stringify(after.spec) !== JSON.stringify(before.spec);
        if (changed && before.metadata.generation) after.metadata.generation++;
        this.store.update(resource, after);
      }
    }
    this.controllers.drain();
    this.kubelet.instant = false;
    await this.kubelet.settled();
  }

  async start(): Promise<ReadyLine> {
    const { config } = this;
    await this.#load([
      { kind: "Namespace", metadata: { name: "default" } },
      { kind: "Namespace", metadata: { name: "kube-system" } },
      {
        kind: "Node",
        metadata: { name: NODE_NAME, labels: { "kubernetes.io/hostname": NODE_NAME } },
        spec: {},
        status: {
          capacity: { cpu: "2", memory: "8Gi", pods: "110" },
          allocatable: { cpu: "2", memory: "8Gi", pods: "110" },
          conditions: [{ type: "Ready", status: "True", reason: "KubeletReady" }],
          addresses: [{ type: "InternalIP", address: NODE_IP }],
          nodeInfo: { kubeletVersion: `v${config.version}.2`, operatingSystem: "linux" },
        },
      },
      {
        kind: "Service",
        metadata: {
          name: "kubernetes",
          namespace: "default",
          labels: { component: "apiserver", provider: "kubernetes" },
        },
        spec: {
          clusterIP: "10.96.0.1",
          ports: [{ name: "https", port: 443, targetPort: 6443 }],
        },
      },
      ...config.objects,
    ]);
    const http = createHttpServer((request, response) => void this.api.handle(request, response));
    http.keepAliveTimeout = 0;
    http.requestTimeout = 0;
    await new Promise<void>((resolve) => http.listen(this.#socketPath, resolve));
    this.#port = config.port;
    await this.#startGateways();
    const control = await this.#startControl();
    return {
      url: this.url,
      port: this.#port,
      kubeconfig: this.#writeKubeconfig(),
      controlUrl: control,
      caPem: this.#ca.certPem,
      contexts: config.users.map((user) => user.context),
      pid: process.pid,
    };
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  #writeKubeconfig(): string {
    const { folder, users } = this.config;
    return writeKubeconfig(folder, this.url, this.#ca, users, this.access, this.#secrets);
  }

  async #startGateways(): Promise<void> {
    // All ask for the same port, be it 0: that is how node:cluster knows they share one.
    const port = this.#port;
    for (let i = 0; i < this.config.gateways; i++) await this.#startGateway(port);
  }

  #startGateway(port: number): Promise<void> {
    const config: GatewayConfig = {
      port,
      socketPath: this.#socketPath,
      certPem: this.#server.certPem,
      keyPem: this.#server.keyPem,
      caPem: this.#ca.certPem,
      ...this.config.forward,
      ...this.#ways,
      delayMs: this.#delayMs,
    };
    // Several share the port through node:cluster; one alone accepts by itself.
    cluster.schedulingPolicy = this.config.gateways > 1 ? cluster.SCHED_RR : cluster.SCHED_NONE;
    cluster.setupPrimary({
      exec: process.argv[1]!,
      args: ["gateway"],
      execArgv: [...DATA_PATH_FLAGS],
    });
    const child = cluster.fork({ TEST_CLUSTER_GATEWAY: JSON.stringify(config) }).process;
    this.#gateways.push(child);
    return new Promise((resolve, reject) => {
      child.on("message", (report: GatewayReport) => {
        if (report.type === "listening") {
          this.#port = report.port;
          resolve();
        } else {
          this.#stats.get(report.id)?.(report.stats);
          this.#stats.delete(report.id);
        }
      });
      child.once("exit", (code) => {
        reject(new Error(`A gateway ended with code ${code}`));
        // A bug here: better no cluster than one that hangs.
        if (this.#gateways.includes(child)) process.exit(1);
      });
    });
  }

  async #stopGateways(): Promise<void> {
    await Promise.all(
      this.#gateways.splice(0).map((child) =>
        new Promise<void>((resolve) => {
          child.once("exit", () => resolve());
          child.kill("SIGKILL");
        })
      ),
    );
  }

  #startControl(): Promise<string> {
    const server: Server = createHttpServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", async () => {
        const send = (code: number, value: unknown) => {
          response.writeHead(code, { "content-type": "application/json", connection: "close" });
          response.end(JSON.stringify(value ?? null));
        };
        try {
          const name = (request.url ?? "/").slice(1) as keyof Control;
          const text = Buffer.concat(chunks).toString();
          if (!METHODS.has(name)) return send(404, { error: `No such method: "${name}"` });
          // deno-lint-ignore no-explicit-any
          send(200, await (this as any)[name](text === "" ? {} : JSON.parse(text)));
        } catch (error) {
          send(500, { error: error instanceof Error ? error.message : String(error) });
        }
      });
    });
    return new Promise((resolve) =>
      server.listen({ host: "127.0.0.1", port: 0 }, () => {
        const address = server.address();
        resolve(`http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`);
      })
    );
  }

  close(): void {
    this.kubelet.close();
    for (const gateway of this.#gateways) gateway.kill("SIGKILL");
  }

  #pod(name: string): Obj {
    const [namespace = "", rest = ""] = name.split("/");
    const pod = this.store.get(PODS, namespace, rest);
    if (!pod) throw new Error(`No such pod: "${name}"`);
    return pod;
  }

  // The control API, in the order of its interface.

  pods(): Promise<PodPlace[]> {
    return Promise.resolve(
      this.store.list(PODS).map((pod) => {
        const address = this.kubelet.address(pod.metadata.uid);
        return {
          namespace: pod.metadata.namespace,
          name: pod.metadata.name,
          uid: pod.metadata.uid,
          phase: pod.status.phase,
          ready: isReady(pod),
          terminating: pod.metadata.deletionTimestamp !== undefined,
          ...(pod.status.podIP ? { podIP: pod.status.podIP } : {}),
          ...(address ? { address } : {}),
        };
      }),
    );
  }

  async apply({ objects }: { objects: readonly Obj[] }): Promise<null> {
    await this.#load(objects);
    return null;
  }

  remove(
    params: { resource: string; namespace?: string; name: string; graceSeconds?: number },
  ): Promise<null> {
    const resource = resourceNamed(params.resource);
    if (resource === PODS) {
      this.controllers.deletePod(
        this.#pod(`${params.namespace}/${params.name}`),
        params.graceSeconds,
      );
    } else {
      if (resource.kind === "Namespace") this.controllers.deleteNamespace(params.name);
      if (!this.store.remove(resource, params.namespace ?? "", params.name)) {
        throw new Error(`No such object: "${params.resource}/${params.name}"`);
      }
    }
    return Promise.resolve(null);
  }

  #edit(resource: Resource, namespace: string, name: string, patch: Obj): Promise<null> {
    const before = this.store.get(resource, namespace, name);
    if (!before) throw new Error(`No such object: "${resource.name}/${namespace}/${name}"`);
    const after = mergePatch(before, patch);
    const metadata = { ...after.metadata, generation: (before.metadata.generation ?? 1) + 1 };
    this.store.update(resource, { ...after, metadata });
    return Promise.resolve(null);
  }

  rollout({ namespace, deployment }: { namespace: string; deployment: string }): Promise<null> {
    // With milliseconds, so that two restarts within a second are two.
    const annotations = { "kubectl.kubernetes.io/restartedAt": new Date().toISOString() };
    return this.#edit(resourceNamed("deployments"), namespace, deployment, {
      spec: { template: { metadata: { annotations } } },
    });
  }

  scale(
    params: { resource?: string; namespace: string; name: string; replicas: number },
  ): Promise<null> {
    return this.#edit(
      resourceNamed(params.resource ?? "deployments"),
      params.namespace,
      params.name,
      { spec: { replicas: params.replicas } },
    );
  }

  pauseControllers({ paused }: { paused: boolean }): Promise<null> {
    this.controllers.paused = paused;
    if (!paused) this.controllers.drain();
    return Promise.resolve(null);
  }

  async podFault({ pod, fault }: Parameters<Control["podFault"]>[0]): Promise<null> {
    await this.kubelet.fault(this.#pod(pod).metadata.uid, fault);
    return null;
  }

  podReady({ pod, ready }: { pod: string; ready: boolean }): Promise<null> {
    this.kubelet.ready(this.#pod(pod), ready);
    return Promise.resolve(null);
  }

  podStats({ pod }: { pod: string }) {
    return this.kubelet.stats(this.#pod(pod).metadata.uid);
  }

  drop({ what, pod, how = "reset" }: Parameters<Control["drop"]>[0]): Promise<null> {
    this.#tell({ type: "drop", what, how, ...(pod === undefined ? {} : { pod }) });
    return this.#sync();
  }

  freeze({ frozen, pod }: { frozen: boolean; pod?: string }): Promise<null> {
    this.#tell({ type: "freeze", frozen, ...(pod === undefined ? {} : { pod }) });
    return this.#sync();
  }

  hang({ hung }: { hung: boolean }): Promise<null> {
    for (const gateway of this.#gateways) gateway.kill(hung ? "SIGSTOP" : "SIGCONT");
    return Promise.resolve(null);
  }

  records({ single }: { single: boolean }): Promise<null> {
    this.#tell({ type: "records", single });
    return this.#sync();
  }

  delay({ ms }: { ms: number }): Promise<null> {
    this.#delayMs = ms;
    this.#tell({ type: "delay", ms });
    return this.#sync();
  }

  ways(ways: { spdy: boolean; websocket: boolean }): Promise<null> {
    this.#ways = ways;
    this.#tell({ type: "ways", ...ways });
    return this.#sync();
  }

  /** Resolves when the gateways have done what they were told before. */
  async #sync(): Promise<null> {
    await this.#gatewayStats();
    return null;
  }

  async restart({ newPort, downMs }: { newPort?: boolean; downMs?: number }) {
    await this.#stopGateways();
    if (downMs) await new Promise((resolve) => setTimeout(resolve, downMs));
    if (newPort) this.#port = 0;
    await this.#startGateways();
    if (newPort) this.#writeKubeconfig();
    return { url: this.url };
  }

  cutWatches({ resource }: { resource?: string }): Promise<number> {
    return Promise.resolve(this.watches.cut(resource));
  }

  silenceWatches({ silent, keep }: { silent: boolean; keep?: boolean }): Promise<null> {
    this.watches.silence(silent, keep ?? false);
    return Promise.resolve(null);
  }

  expireWatches({ resource }: { resource?: string }): Promise<number> {
    return Promise.resolve(this.watches.expire(resource));
  }

  expireVersions({ resource }: { resource?: string }): Promise<null> {
    this.store.expire(resource);
    this.api.forgetPages();
    return Promise.resolve(null);
  }

  setRules({ user, rules }: Parameters<Control["setRules"]>[0]): Promise<null> {
    this.access.setRules(user, rules);
    return Promise.resolve(null);
  }

  revokeTokens({ user }: { user: string }): Promise<null> {
    this.access.revoke(user);
    return Promise.resolve(null);
  }

  rotateExec(
    { user = "exec-user", lifetimeMs = 3_600_000, revoke = false }: Parameters<
      Control["rotateExec"]
    >[0],
  ): Promise<null> {
    if (revoke) this.access.revoke(user);
    writeCredential(this.config.folder, user, this.access.issue(user), lifetimeMs);
    return Promise.resolve(null);
  }

  execCalls({ user = "exec-user" }: { user?: string }): Promise<number> {
    const path = join(this.config.folder, `exec-${user}.calls`);
    if (!statSync(path, { throwIfNoEntry: false })) return Promise.resolve(0);
    return Promise.resolve(readFileSync(path, "utf8").split("\n").length - 1);
  }

  async #gatewayStats(): Promise<GatewayStats> {
    const all = await Promise.all(
      this.#gateways.filter((gateway) => gateway.connected).map((gateway) =>
        new Promise<GatewayStats>((resolve) => {
          const id = ++this.#statsId;
          this.#stats.set(id, resolve);
          gateway.send({ type: "stats", id } satisfies GatewayCommand);
        })
      ),
    );
    const sum = (pick: (stats: GatewayStats) => number) =>
      all.reduce((total, stats) => total + pick(stats), 0);
    return {
      connectionsTotal: sum((stats) => stats.connectionsTotal),
      connectionsOpen: sum((stats) => stats.connectionsOpen),
      linksTotal: sum((stats) => stats.linksTotal),
      links: all.flatMap((stats) => stats.links),
    };
  }

  async counters(): Promise<Counters> {
    return {
      ...await this.#gatewayStats(),
      requests: Object.fromEntries(this.api.counters),
      watches: this.watches.list(),
      changes: Object.fromEntries(this.#changes),
    };
  }

  resetCounters(): Promise<null> {
    this.api.counters.clear();
    this.#changes.clear();
    return Promise.resolve(null);
  }
}

const METHODS = new Set<keyof Control>([
  ...["pods", "apply", "remove", "rollout", "scale", "pauseControllers"] as const,
  ...[
    "podFault",
    "podReady",
    "podStats",
    "drop",
    "freeze",
    "hang",
    "delay",
    "records",
    "ways",
  ] as const,
  ...["restart", "cutWatches", "silenceWatches", "expireWatches", "expireVersions"] as const,
  ...["setRules", "revokeTokens", "rotateExec", "execCalls", "counters", "resetCounters"] as const,
]);

let running: ClusterProcess | undefined;
let folder: string | undefined;

/** Reads the configuration (one line of JSON) from stdin; ends when stdin ends. */
export async function runCluster(): Promise<void> {
  let text = "";
  const stop = () => {
    running?.close();
    // The starter may be dead; if it is not, it finds the folder gone, which is as good.
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    process.exit(0);
  };
  process.stdin.setEncoding("utf8");
  const line = await new Promise<string>((resolve) => {
    process.stdin.on("data", (chunk) => {
      text += chunk;
      const end = text.indexOf("\n");
      if (end >= 0) resolve(text.slice(0, end));
    });
    process.stdin.on("end", stop);
    process.stdin.on("error", stop);
  });
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  const config: ServerConfig = JSON.parse(line);
  folder = config.folder;
  const { prefix } = await claimPrefix();
  running = new ClusterProcess(config, prefix);
  const ready = await running.start();
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}
