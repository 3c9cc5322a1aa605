import { join } from "node:path";
import { Buffer } from "node:buffer";
import type { ApiTarget, ApiTargetSource } from "../../src/model/api_target.ts";
import { silentLogger } from "../../src/model/log.ts";
import type { ServiceEndpoint } from "../../src/model/service.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { TunnelEngine, type TunnelEngineOptions } from "../../src/tunnel/engine.ts";
import type { TunnelListener } from "../../src/tunnel/listener.ts";
import { type Cluster, type ClusterOptions, startCluster } from "../cluster/mod.ts";
import { Client } from "./support.ts";

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

/** A cluster and an engine with listeners whose endpoints follow the pods. */
export class Ground {
  readonly cluster: Cluster;
  readonly engine: TunnelEngine;
  readonly #listeners = new Map<TunnelListener, { app: string; port: number }>();
  readonly #known = new Set<string>();
  readonly #stop = new AbortController();
  readonly #following: Promise<void>;
  readonly clients: Client[] = [];

  private constructor(cluster: Cluster, engine: TunnelEngine) {
    this.cluster = cluster;
    this.engine = engine;
    this.#following = this.#follow();
  }

  static async start(
    options: ClusterOptions & {
      readonly context?: string;
      readonly engine?: Partial<TunnelEngineOptions>;
    },
  ): Promise<Ground> {
    const cluster = await startCluster(options);
    return new Ground(
      cluster,
      Ground.engineFor(cluster, options.context ?? "token", options.engine),
    );
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
    const listener = await engine.listen({
      address: "127.0.0.1",
      port: 0,
      service: { namespace: NS, name: app },
      portName: "",
    });
    this.#listeners.set(listener, { app, port });
    await this.refresh();
    return listener;
  }

  async connect(listener: TunnelListener): Promise<Client> {
    const client = await Client.connect(listener.boundPort);
    this.clients.push(client);
    return client;
  }

  /** Brings every listener up to date with the cluster, as the watch does. */
  async refresh(): Promise<void> {
    const pods = await this.cluster.control.pods();
    const uids = new Set(pods.map((pod) => pod.uid));
    for (const uid of this.#known) {
      if (!uids.has(uid)) {
        this.engine.retirePod(uid);
        this.#known.delete(uid);
      }
    }
    for (const uid of uids) this.#known.add(uid);
    for (const [listener, { app, port }] of this.#listeners) {
      listener.update(
        pods.filter((pod) => pod.namespace === NS && pod.name.startsWith(`${app}-`))
          .map((pod): ServiceEndpoint => ({
            podNamespace: pod.namespace,
            podName: pod.name,
            podUid: pod.uid,
            ready: pod.ready && !pod.terminating,
            serving: pod.ready,
            terminating: pod.terminating,
            ports: { "": port },
          })),
      );
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#following;
    for (const client of this.clients) client.close();
    await this.engine.close();
    await this.cluster.close();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await systemClock.sleep(40, signal);
        await this.refresh();
      } catch {
        // Stopped, or the API process is just being restarted.
      }
    }
  }
}
