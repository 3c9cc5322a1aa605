import type { ApiTargetSource } from "../model/api_target.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/log.ts";
import type { TapSource } from "../model/tap.ts";
import { LinkDialer } from "./dial_link.ts";
import type { TunnelError } from "./errors.ts";
import { LinkPool } from "./link_pool.ts";
import {
  type ListenerHost,
  type ListenOptions,
  PodListener,
  type TunnelListener,
} from "./listener.ts";
import type { TransportKind } from "./transport.ts";

export interface TunnelEngineOptions {
  readonly targets: ApiTargetSource;
  readonly log: Logger;
  readonly clock: Clock;
  readonly tap?: TapSource;
  /** How long a connection is held while no pod can be had, in ms (default 10,000). */
  readonly holdMs?: number;
  /** Links kept open to this cluster (default 100); beyond it idle ones are closed. */
  readonly maxLinks?: number;
  /** How long an unused link is kept, in ms (default 5 minutes; API servers keep them for 4 hours). */
  readonly idleMs?: number;
  /** Deadline for opening a link, in ms (default 10,000). */
  readonly dialMs?: number;
  /** How long a program that reads nothing may hold up others, in ms (default 2,000). */
  readonly stallMs?: number;
  /** Size of a busy link's read buffer, in bytes (default 256 KiB). */
  readonly readSize?: number;
  /** Bytes of one connection written to its program at once, at most (default 128 KiB). */
  readonly holdSize?: number;
  /** Ways to try, in order (default: all three). */
  readonly transports?: readonly TransportKind[];
  /** How a kubectl command in a hint begins (default: `kubectl` alone). */
  readonly kubectl?: string;
  /** Called when the API server's reachability changes, or its reason. */
  readonly onHealth?: (health: TunnelHealth) => void;
}

export interface TunnelHealth {
  readonly reachable: boolean;
  /** Milliseconds since the epoch: when this began. */
  readonly since: number;
  /** The last failed dial, when not reachable. */
  readonly error?: TunnelError;
}

export interface TunnelStats {
  readonly links: number;
  readonly streams: number;
  readonly listeners: number;
  readonly connections: number;
  readonly bytesDown: number;
  readonly bytesUp: number;
  /** The way links are opened, once it is known. */
  readonly transport?: TransportKind;
}

/** How long a refusal may last where rights were there before, in ms: an API server that starts knows its roles late. */
const ROLES_MS = 8000;
/** How long links to pods that no Service has any more may stay, in ms. */
const DROP_UNUSED_MS = 100;

/** All tunnels into one cluster. Nothing is dialled before a program connects. */
export class TunnelEngine {
  readonly #host: ListenerHost;
  readonly #dialer: LinkDialer;
  readonly #listeners = new Set<PodListener>();
  /** Pods that are no longer ready, by Service. */
  readonly #leaving = new Map<string, Set<string>>();
  #health: TunnelHealth | undefined;
  /** A link could be dialled, and since when (monotonic, ms) none may be. */
  #granted = false;
  #deniedAt: number | undefined;
  readonly #options: TunnelEngineOptions;
  /** Bytes of listeners that are closed by now. */
  #pastDown = 0;
  #pastUp = 0;
  #cancelDrop: (() => void) | undefined;
  #closed = false;

  constructor(options: TunnelEngineOptions) {
    this.#options = options;
    const { clock, log, targets, kubectl = "kubectl" } = options;
    this.#dialer = new LinkDialer({
      targets,
      clock,
      log,
      kubectl,
      dialMs: options.dialMs ?? 10_000,
      readSize: options.readSize ?? 256 * 1024,
      holdSize: options.holdSize ?? 128 * 1024,
      stallMs: options.stallMs ?? 2000,
      ...(options.transports === undefined ? {} : { transports: options.transports }),
    });
    const pool = new LinkPool({
      dial: (pod, port, onClosed, signal) => this.#dialer.dial(pod, port, onClosed, signal),
      clock,
      log,
      maxLinks: options.maxLinks ?? 100,
      idleMs: options.idleMs ?? 5 * 60_000,
      single: () => this.#dialer.learnt === "channels",
      onDial: (error) => this.#noteDial(error),
    });
    this.#host = {
      clock,
      log,
      kubectl,
      holdMs: options.holdMs ?? 10_000,
      pool,
      tap: options.tap,
      leaving: (service) => this.#leaving.get(service),
      denialMayPass: () => this.#denialMayPass(),
      updated: () => this.#dropUnusedSoon(),
      closed: (listener) => this.#forget(listener),
    };
  }

  /** Listens for one port of a Service. Throws PortBlocked. */
  // deno-lint-ignore require-await
  async listen(options: ListenOptions): Promise<TunnelListener> {
    const listener = new PodListener(options, this.#host);
    this.#listeners.add(listener);
    return listener;
  }

  /** The watch says this pod is gone: its links take no new streams. */
  retirePod(podUid: string): void {
    this.#host.pool.retire(podUid, () => this.#hasEnded(podUid));
    for (const service of this.#leaving.keys()) this.podLeaves(service, podUid, false);
  }

  /** The watch names this pod, perhaps again: a Service's selector may lead back to pods it has left. */
  revivePod(podUid: string): void {
    this.#host.pool.revive(podUid);
  }

  /**
   * The watch says that this pod is no longer ready for a Service (`namespace/name`), or is again.
   * New connections of that Service pass it over from now on, before `update` says so.
   */
  podLeaves(service: string, podUid: string, leaving: boolean): void {
    const uids = this.#leaving.get(service);
    if (leaving) {
      if (uids === undefined) this.#leaving.set(service, new Set([podUid]));
      else uids.add(podUid);
    } else if (uids?.delete(podUid) && uids.size === 0) {
      this.#leaving.delete(service);
    }
  }

  /** Undefined before the first dial. */
  get reachability(): TunnelHealth | undefined {
    return this.#health;
  }

  stats(): TunnelStats {
    const links = this.#host.pool.links;
    let connections = 0;
    let bytesDown = this.#pastDown;
    let bytesUp = this.#pastUp;
    for (const { stats } of this.#listeners) {
      connections += stats.connections;
      bytesDown += stats.bytesDown;
      bytesUp += stats.bytesUp;
    }
    return {
      links: links.length,
      streams: links.reduce((sum, link) => sum + link.streams, 0),
      listeners: this.#listeners.size,
      connections,
      bytesDown,
      bytesUp,
      ...(this.#dialer.learnt === undefined ? {} : { transport: this.#dialer.learnt }),
    };
  }

  /** Closes every listener, connection and link. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelDrop?.();
    await Promise.all([...this.#listeners].map((listener) => listener.close()));
    this.#host.pool.close();
  }

  #forget(listener: PodListener): void {
    if (!this.#listeners.delete(listener)) return;
    this.#pastDown += listener.stats.bytesDown;
    this.#pastUp += listener.stats.bytesUp;
    this.#dropUnusedSoon();
  }

  /**
   * One that was terminating when it was last named, and is gone from the
   * cluster now: that is when the kubelet has stopped its containers. Others may
   * have left a Service's selector only.
   */
  #hasEnded(podUid: string): boolean {
    for (const listener of this.#listeners) {
      for (const endpoint of listener.endpoints) {
        if (endpoint.podUid === podUid && endpoint.terminating) return true;
      }
    }
    return false;
  }

  /** Once for all the listeners that a change of the cluster touches. */
  #dropUnusedSoon(): void {
    if (this.#closed || this.#cancelDrop !== undefined) return;
    this.#cancelDrop = this.#options.clock.after(DROP_UNUSED_MS, () => {
      this.#cancelDrop = undefined;
      this.#dropUnused();
    });
  }

  /** Links to pods that no Service has any more end with their last streams. */
  #dropUnused(): void {
    const { pool } = this.#host;
    const linked = pool.pods;
    if (linked.length === 0) return;
    const used = new Set<string>();
    for (const listener of this.#listeners) {
      for (const endpoint of listener.endpoints) used.add(endpoint.podUid);
    }
    for (const uid of linked) if (!used.has(uid)) pool.drop(uid, "no service uses its pod");
  }

  #denialMayPass(): boolean {
    if (!this.#granted || this.#deniedAt === undefined) return false;
    return this.#options.clock.monotonic() - this.#deniedAt < ROLES_MS;
  }

  #noteDial(error: TunnelError | undefined): void {
    const { clock, onHealth } = this.#options;
    if (error === undefined) {
      this.#granted = true;
      this.#deniedAt = undefined;
    } else if (error.fault === "denied") {
      this.#deniedAt ??= clock.monotonic();
    }
    const reachable = error === undefined || error.answered;
    const before = this.#health;
    if (
      before?.reachable === reachable && (reachable || before.error?.message === error?.message)
    ) {
      return;
    }
    this.#health = {
      reachable,
      since: before?.reachable === reachable ? before.since : clock.now(),
      ...(reachable || error === undefined ? {} : { error }),
    };
    onHealth?.(this.#health);
  }
}
