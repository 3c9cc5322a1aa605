import type { Clock } from "../model/clock.ts";
import type { ConnectionFailure } from "../model/control.ts";
import { messageOf } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import { type ServiceEndpoint, serviceKey } from "../model/service.ts";
import type { TapSource } from "../model/tap.ts";
import { type Acceptor, bindFailure, listenTcp } from "../platform/net.ts";
import { Balancer } from "./balancer.ts";
import { Connection, type ConnectionHost } from "./connection.ts";
import { PortBlocked, type TunnelError } from "./errors.ts";
import { Failures } from "./failures.ts";
import type { LinkPool } from "./link_pool.ts";
import { Refusals } from "./refusals.ts";
import type { PodRef } from "./transport.ts";

export interface ListenOptions {
  /** Where programs connect to. */
  readonly address: string;
  /** The Service's port. */
  readonly port: number;
  readonly service: { readonly namespace: string; readonly name: string };
  /** Name of the Service's port, `""` for the single unnamed one. */
  readonly portName: string;
  /** Name of the container port it leads to, where it is not a number. */
  readonly targetName?: string;
  readonly appProtocol?: string;
  /** `sessionAffinity: ClientIP`, in seconds. */
  readonly affinitySeconds?: number;
  /** Bind this port of the same address instead (0: any free one): something else relays `port` to it. */
  readonly bindPort?: number;
}

/** What an edit of the Service may change under open connections. */
export type ListenerEdit = Pick<
  ListenOptions,
  "portName" | "targetName" | "appProtocol" | "affinitySeconds"
>;

export interface ListenerStats {
  /** Connections open now. */
  readonly connections: number;
  /** Connections accepted so far. */
  readonly accepted: number;
  /** Bytes from the pods to local programs, and the other way. */
  readonly bytesDown: number;
  readonly bytesUp: number;
  /** Connections that came to nothing. */
  readonly failed: number;
  /** The last of them, while no later connection has been answered. */
  readonly lastFailure?: ConnectionFailure;
}

export interface TunnelListener {
  readonly boundPort: number;
  readonly stats: ListenerStats;
  /** The Service's endpoints as they are now, and its port where that was edited. */
  update(endpoints: readonly ServiceEndpoint[], edit?: ListenerEdit): void;
  /** Accepts no more and gives the port back; connections go on until they end, at the latest with the engine. */
  release(): Promise<void>;
  /** The same, and connections are ended. */
  close(): Promise<void>;
}

/** What a listener needs of its engine. */
export interface ListenerHost {
  readonly clock: Clock;
  readonly log: Logger;
  readonly kubectl: string;
  readonly holdMs: number;
  readonly pool: LinkPool;
  readonly tap: TapSource | undefined;
  /** Pods that leave a Service (`namespace/name`), told before the endpoints are. */
  leaving(service: string): ReadonlySet<string> | undefined;
  /** True when missing rights may be there in a moment: they were a moment ago. */
  denialMayPass(): boolean;
  /** The endpoints have changed. */
  updated(listener: PodListener): void;
  closed(listener: PodListener): void;
}

/** Wait after a failed accept (too many open files), in ms. */
const ACCEPT_RETRY_MS = 100;

/** One port of one Service on one local address. */
export class PodListener implements TunnelListener, ConnectionHost {
  readonly clock: Clock;
  readonly log: Logger;
  readonly holdMs: number;
  readonly #options: ListenOptions;
  #edit: ListenerEdit;
  readonly #host: ListenerHost;
  readonly #acceptor: Acceptor;
  readonly #balancer: Balancer;
  readonly #connections = new Set<Connection>();
  #waiting = new Set<() => void>();
  readonly #failures: Failures;
  readonly #refusals: Refusals;
  /** Pods are ready, but what the Service's port leads to is a port of none of them. */
  #portIsMissing = false;
  #accepted = 0;
  #bytesDown = 0;
  #bytesUp = 0;
  #closed = false;
  /** Ends once the socket is really closed: until then the runtime keeps the address taken. */
  readonly #accepting: Promise<void>;
  #drained: (() => void) | undefined;

  /** Throws PortBlocked when the address or port cannot be had. */
  constructor(options: ListenOptions, host: ListenerHost) {
    this.#options = options;
    this.#edit = options;
    this.#host = host;
    this.clock = host.clock;
    this.log = host.log.with({
      service: `${options.service.namespace}/${options.service.name}`,
      port: options.port,
    });
    this.holdMs = host.holdMs;
    this.#failures = new Failures(host.clock, options.service.namespace, host.kubectl);
    const service = serviceKey(options.service);
    this.#balancer = new Balancer({
      leaving: () => host.leaving(service),
      now: () => host.clock.monotonic(),
    });
    this.#balancer.follow(options);
    this.#refusals = new Refusals(host.clock);
    this.#acceptor = bind(options);
    this.#accepting = this.#acceptLoop();
  }

  get boundPort(): number {
    return this.#acceptor.port;
  }

  get stats(): ListenerStats {
    return {
      connections: this.#connections.size,
      accepted: this.#accepted,
      bytesDown: this.#bytesDown,
      bytesUp: this.#bytesUp,
      failed: this.#failures.count,
      ...(this.#failures.last === undefined ? {} : { lastFailure: this.#failures.last }),
    };
  }

  get endpoints(): readonly ServiceEndpoint[] {
    return this.#balancer.endpoints;
  }

  update(endpoints: readonly ServiceEndpoint[], edit: ListenerEdit = this.#edit): void {
    this.#edit = edit;
    this.#balancer.follow(edit);
    this.#balancer.update(endpoints);
    this.#portIsMissing = this.endpoints.length === 0 && endpoints.some(({ ready }) => ready);
    this.#host.updated(this);
    this.#wake();
  }

  async release(): Promise<void> {
    this.#stopAccepting();
    if (this.#connections.size === 0) this.#host.closed(this);
    else this.#drained ??= () => this.#host.closed(this);
    await this.#accepting;
  }

  #stopAccepting(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acceptor.close();
    this.#wake();
  }

  async close(): Promise<void> {
    this.#stopAccepting();
    for (const connection of [...this.#connections]) connection.abort("the tunnel was closed");
    this.#host.closed(this);
    await this.#accepting;
  }

  async #acceptLoop(): Promise<void> {
    while (!this.#closed) {
      try {
        const conn = await this.#acceptor.accept();
        if (conn === undefined) return;
        this.#accepted++;
        const connection = new Connection(conn, this);
        this.#connections.add(connection);
        connection.start();
      } catch (error) {
        if (this.#closed) return;
        this.log.warn("Cannot accept a connection", { reason: messageOf(error) });
        await this.clock.sleep(ACCEPT_RETRY_MS);
      }
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const wake of waiting) wake();
  }

  // ---- for connections

  pick(client: string, tried: ReadonlySet<string>): ServiceEndpoint | undefined {
    return this.#balancer.pick(client, tried);
  }

  hasUntried(tried: ReadonlySet<string>): boolean {
    return this.#balancer.untried(tried).length > 0;
  }

  readyLink(endpoint: ServiceEndpoint) {
    return this.#host.pool.ready(podOf(endpoint));
  }

  link(endpoint: ServiceEndpoint, port: number) {
    return this.#host.pool.link(podOf(endpoint), port);
  }

  podPort(endpoint: ServiceEndpoint): number {
    return endpoint.ports[this.#edit.portName]!;
  }

  shun(uid: string): void {
    this.#balancer.shun(uid);
  }

  isReplaced(uid: string): boolean {
    return this.#balancer.leaves(uid) && this.#balancer.hasReady;
  }

  denialMayPass(): boolean {
    return this.#host.denialMayPass();
  }

  refused(uid: string): boolean {
    if (!this.#balancer.leaves(uid)) return this.#refusals.mayPass();
    this.#balancer.isOver(uid);
    return true;
  }

  opened(client: string, uid: string): void {
    this.#balancer.opened(client, uid);
  }

  closed(client: string, uid: string): void {
    this.#balancer.closed(client, uid);
  }

  changed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        cancel();
        resolve();
      };
      const cancel = this.clock.after(ms, () => {
        this.#waiting.delete(wake);
        resolve();
      });
      this.#waiting.add(wake);
    });
  }

  tap(endpoint: ServiceEndpoint) {
    const { tap } = this.#host;
    if (tap === undefined || !tap.watching) return undefined;
    const { service, port } = this.#options;
    const { appProtocol } = this.#edit;
    return tap.open({
      namespace: service.namespace,
      service: service.name,
      port,
      pod: endpoint.podName,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    });
  }

  addUp(bytes: number): void {
    this.#bytesUp += bytes;
  }

  addDown(bytes: number): void {
    this.#bytesDown += bytes;
  }

  failed(error: TunnelError | undefined, endpoint: ServiceEndpoint | undefined): void {
    if (error !== undefined) {
      return this.#failures.add(error, endpoint && { endpoint, port: this.podPort(endpoint) });
    }
    this.#failures.addNoPod(this.#portIsMissing ? this.#edit : undefined);
  }

  answered(): void {
    this.#failures.answered();
    this.#refusals.answered();
  }

  done(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#closed && this.#connections.size === 0) this.#drained?.();
  }
}

function podOf(endpoint: ServiceEndpoint): PodRef {
  return { namespace: endpoint.podNamespace, name: endpoint.podName, uid: endpoint.podUid };
}

function bind(options: ListenOptions): Acceptor {
  const port = options.bindPort ?? options.port;
  try {
    return listenTcp(options.address, port);
  } catch (error) {
    const kind = bindFailure(error);
    const where = `"${options.address}:${port}"`;
    const [reason, hint] = {
      in_use: ["another program listens there", `See which: ss -ltnp "sport = :${port}"`],
      permission: ["ports below 1024 need more rights", "Run: czctl start"],
      address: ["this machine does not have the address", "Run: czctl doctor"],
      other: [messageOf(error), undefined],
    }[kind];
    throw new PortBlocked(kind, `Cannot listen on ${where}: ${reason}`, {
      cause: error,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}
