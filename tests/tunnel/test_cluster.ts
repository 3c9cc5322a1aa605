import { join } from "node:path";
import { Buffer } from "node:buffer";
import type { ApiTarget, ApiTargetSource } from "../../src/model/api_target.ts";
import { silentLogger } from "../../src/model/log.ts";
import { type Cluster as Watched, openCluster } from "../../src/cluster/cluster.ts";
import type { Discovery } from "../../src/cluster/discovery.ts";
import { serviceKey } from "../../src/model/service.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { TunnelEngine, type TunnelEngineOptions } from "../../src/tunnel/engine.ts";
import type { TunnelListener } from "../../src/tunnel/listener.ts";
import { type Cluster, type ClusterOptions, service, startCluster } from "../cluster/mod.ts";
import { Client, until } from "./support.ts";

export const NS = "faults";

/** A user's target, read from the kubeconfig anew each time, so that a new address or token is seen. */
export function targetsOf(cluster: Cluster, context: string): ApiTargetSource {
  const text = (value: unknown) => Buffer.from(String(value), "base64").toString();
  return async () => {
    const config = JSON.parse(await Deno.readTextFile(cluster.kubeconfig));
    const url = new URL(config.clusters[0].cluster.server);
    const { context: { user: name } } = config.contexts.find((
      one: { name: string },
    ) => one.name === context);
    const { user } = config.users.find((one: { name: string }) => one.name === name);
    const token = user.exec === undefined
      ? user.token
      : JSON.parse(await Deno.readTextFile(join(cluster.folder, `exec-${name}.json`))).status.token;
    const target: ApiTarget = {
      host: url.hostname,
      port: Number(url.port),
      basePath: "",
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      tls: {
        ca: text(config.clusters[0].cluster["certificate-authority-data"]),
        insecureSkipVerify: false,
        ...(user["client-certificate-data"] === undefined ? {} : {
          cert: text(user["client-certificate-data"]),
          key: text(user["client-key-data"]),
        }),
      },
    };
    return target;
  };
}

/** Sockets this process has open. */
function openSockets(): number {
  let count = 0;
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith("socket:")) count++;
    } catch {
      // The folder's own.
    }
  }
  return count;
}

/** A cluster and an engine with listeners whose endpoints follow the watch, as a session's do. */
export class Ground {
  /** By listener, the name of its Service. */
  readonly #listeners = new Map<TunnelListener, string>();
  readonly #discovery: Discovery;
  readonly clients: Client[] = [];

  private constructor(
    readonly cluster: Cluster,
    readonly engine: TunnelEngine,
    private readonly watched: Watched,
    private readonly socketsBefore: number,
  ) {
    this.#discovery = watched.discover({ namespaces: [NS] }, {
      onChange: () => this.#refresh(),
      onPodGone: (uid) => engine.retirePod(uid),
      onPodNamed: (uid) => engine.revivePod(uid),
      onPodLeaving: (service, uid, leaving) => engine.podLeaves(service, uid, leaving),
    });
  }

  static async start(
    options: ClusterOptions & {
      readonly context?: string;
      readonly engine?: Partial<TunnelEngineOptions>;
    },
  ): Promise<Ground> {
    const before = openSockets();
    const cluster = await startCluster(options);
    const engine = Ground.engineFor(cluster, options.context ?? "token", options.engine);
    const watched = await openCluster({
      kubeconfig: cluster.kubeconfig,
      context: "admin",
      env: {},
      cwd: cluster.folder,
      home: cluster.folder,
      log: silentLogger,
      clock: systemClock,
    });
    const ground = new Ground(cluster, engine, watched, before);
    await ground.#discovery.ready;
    return ground;
  }

  static engineFor(
    cluster: Cluster,
    context: string,
    more: Partial<TunnelEngineOptions> = {},
  ): TunnelEngine {
    return new TunnelEngine({
      targets: targetsOf(cluster, context),
      log: silentLogger,
      clock: systemClock,
      ...more,
    });
  }

  /** A listener for one port of the pods of a Deployment. */
  async listen(app: string, port: number, engine = this.engine): Promise<TunnelListener> {
    const name = `${app}-${port}`;
    await this.cluster.control.apply({ objects: [service(NS, name, app, [{ port }])] });
    const ready = async () =>
      (await this.cluster.control.pods()).filter((pod) =>
        pod.namespace === NS && pod.name.startsWith(`${app}-`) && pod.ready
      ).length;
    await until(
      async () => (this.#endpoints(name)?.length ?? -1) >= await ready(),
      `the service "${name}" is known`,
    );
    const listener = await engine.listen({
      address: "127.0.0.1",
      port: 0,
      service: { namespace: NS, name },
      portName: "",
    });
    this.#listeners.set(listener, name);
    this.#refresh();
    return listener;
  }

  /** The workloads whose pods are ready behind a listener. */
  podsOf(listener: TunnelListener): string[] {
    const ready = this.#endpoints(this.#listeners.get(listener)!)?.filter((one) => one.ready) ?? [];
    return [...new Set(ready.map(({ podName }) => podName.replace(/-.*/, "")))];
  }

  async connect(listener: TunnelListener): Promise<Client> {
    const client = await Client.connect(listener.boundPort);
    this.clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.clients) client.close();
    await this.watched.close();
    await this.engine.close();
    await this.cluster.close();
    // A write that waits for the far end cannot be called off (decisions/0124): now it fails.
    await until(() => openSockets() <= this.socketsBefore, "every socket is closed");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #endpoints(name: string) {
    return this.#discovery.services.get(serviceKey({ namespace: NS, name }))?.endpoints;
  }

  #refresh(): void {
    for (const [listener, name] of this.#listeners) listener.update(this.#endpoints(name) ?? []);
  }
}
