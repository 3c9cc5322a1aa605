import type { Clock } from "../model/clock.ts";
import { CzctlError } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import { type ClusterService, serviceKey } from "../model/service.ts";
import type { ApiClient } from "./api_client.ts";
import type { ApiError } from "./api_errors.ts";
import { Coalescer } from "./coalesce.ts";
import { pickSlice, type Slice } from "./endpoint_slice.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { pickPod, type PodSpec } from "./pod_endpoints.ts";
import { ServiceIndex } from "./service_index.ts";
import { pickService } from "./service_spec.ts";
import { WatchLoop } from "./watch_loop.ts";

export interface DiscoverScope {
  readonly namespaces: readonly string[] | "all";
  /** kubectl's `-l`, over the Services' labels. */
  readonly labelSelector?: string;
}

export interface DiscoveryListener {
  /** The whole picture, first once it is complete and then after every change (coalesced). Keys: `serviceKey`. */
  onChange(services: ReadonlyMap<string, ClusterService>): void;
  /** Called when it changes. `hint`: what the user has to do; absent where it heals by itself. */
  onHealth?(
    health: { readonly reachable: boolean; readonly reason?: string; readonly hint?: string },
  ): void;
  /** No EndpointSlice (or no Pod, where those are watched) names this pod any more. */
  onPodGone?(uid: string): void;
  /** One names a pod that none named before: a new one, or one that is back after a selector's edit. */
  onPodNamed?(uid: string): void;
  /**
   * An EndpointSlice says that a pod is no longer ready for a Service (`serviceKey`), or is now.
   * Told at once: its program may be ended before the gathered change is through.
   */
  onPodLeaving?(service: string, uid: string, leaving: boolean): void;
  /** Something a user should know: a fallback in use. */
  onNote?(text: string): void;
}

export interface Discovery {
  /**
   * The first full picture was delivered. Rejects with CzctlError `denied`
   * when a right is missing that nothing can stand in for. While the cluster
   * is unreachable it stays pending: bound it by a deadline of your own.
   */
  readonly ready: Promise<void>;
  readonly services: ReadonlyMap<string, ClusterService>;
  /** What holds at present and a user should know, in words; `onNote` tells what stays. */
  readonly notes: readonly string[];
  close(): Promise<void>;
}

export interface DiscoveryParts {
  readonly api: ApiClient;
  readonly heartbeat: Heartbeat;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Bursts are gathered until they pause this long, and at most this long, in ms. */
const QUIET_MS = 50;
const BURST_MS = 250;
/** Gathering is cut short no more often than this, in ms: a thousand pods may go at once. */
const HURRY_MS = 50;
/** A forbidden namespace is tried again after the first, then twice as long up to the last, in ms. */
const RETRY_MS = [5_000, 600_000] as const;

/** Takes over a scope that may not be read; `resource` is what is missing. */
type OnForbidden = (error: CzctlError, resource: "services" | "endpointslices") => void;

type AnyLoop = Pick<WatchLoop<unknown>, "kick" | "close" | "clear" | "synced" | "note">;

/** Watches the Services of some namespaces and what is behind them. */
export function discover(
  parts: DiscoveryParts,
  scope: DiscoverScope,
  listener: DiscoveryListener,
): Discovery {
  return new ServiceDiscovery(parts, scope, listener);
}

class ServiceDiscovery implements Discovery {
  readonly #parts: DiscoveryParts;
  readonly #scope: DiscoverScope;
  readonly #listener: DiscoveryListener;
  readonly #index = new ServiceIndex();
  readonly #coalescer: Coalescer;
  readonly #ready = Promise.withResolvers<void>();
  /** By scope (`""` is the whole cluster). */
  readonly #loops = new Map<string, Set<AnyLoop>>();
  readonly #problems = new Map<object, CzctlError>();
  readonly #unlisten: () => void;
  #unreachable: CzctlError | undefined;
  #health = "";
  #isReady = false;
  #hurriedAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  #refused = false;
  /** How to cancel the next try, by namespace that could not be looked into. */
  readonly #retries = new Map<string, () => void>();
  #snapshot: ReadonlyMap<string, ClusterService> = new Map();
  readonly #notes = new Set<string>();
  /** Most namespaces may be without the right, so that one note for all of them is enough. */
  #leavesOut = false;

  constructor(parts: DiscoveryParts, scope: DiscoverScope, listener: DiscoveryListener) {
    this.#parts = parts;
    this.#scope = scope;
    this.#listener = listener;
    this.#coalescer = new Coalescer(parts.clock, QUIET_MS, BURST_MS, () => this.#flush());
    this.#ready.promise.catch(() => {});
    this.#unlisten = parts.heartbeat.listen({
      onReachable: (problem) => {
        this.#unreachable = problem;
        this.#tellHealth();
      },
      onReconnect: () => {
        for (const loops of this.#loops.values()) for (const loop of loops) loop.kick();
      },
    });
    if (scope.namespaces === "all") this.#watchCluster();
    else for (const namespace of new Set(scope.namespaces)) this.#watchScope(namespace);
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get services(): ReadonlyMap<string, ClusterService> {
    return this.#snapshot;
  }

  get notes(): readonly string[] {
    return [...this.#loops.values()].flatMap((loops) => [...loops])
      .flatMap(({ note }) => note === undefined ? [] : [note]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unlisten();
    this.#coalescer.close();
    for (const cancel of this.#retries.values()) cancel();
    const loops = [...this.#loops.values()].flatMap((set) => [...set]);
    this.#loops.clear();
    await Promise.all(loops.map((loop) => loop.close()));
    this.#ready.reject(new CzctlError("interrupted", "Discovery was closed"));
  }

  /** One watch over all namespaces; where that is forbidden, one for each namespace there is. */
  #watchCluster(): void {
    this.#watchScope(undefined, (denied, resource) => {
      this.#note(
        `May not watch ${resource} of the whole cluster: watching each namespace by itself`,
      );
      this.#leavesOut = resource === "endpointslices";
      this.#watchNamespaces(denied);
    });
  }

  #watchNamespaces(denied: CzctlError): void {
    // No namespace can have this name.
    const loops = this.#group("/namespaces");
    const loop: WatchLoop<string> = this.#loop({
      resource: "namespaces",
      namespace: undefined,
      pick: (object) => object.metadata.name as string,
      onEvent: (_key: string, before: string | undefined, now: string | undefined) => {
        if (now !== undefined && before === undefined) this.#tryNamespace(now, RETRY_MS[0]);
        else if (before !== undefined && now === undefined) {
          this.#retries.get(before)?.();
          this.#retries.delete(before);
          this.#dropScope(before);
        }
      },
      onDenied: () => {
        if (loop.synced) return false;
        this.#refuse(
          new CzctlError("denied", denied.message, {
            hint: "Name the namespaces with -n and -a instead of --all-namespaces",
            cause: denied,
          }),
        );
        return true;
      },
    });
    loops.add(loop);
  }

  /**
   * A namespace one may not look into is simply not shown. It is tried again
   * later: a new one is there before its RoleBindings are.
   */
  #tryNamespace(namespace: string, waitMs: number): void {
    this.#watchScope(namespace, () => {
      if (this.#closed) return;
      this.#retries.set(
        namespace,
        this.#parts.clock.after(waitMs, () => {
          this.#retries.delete(namespace);
          this.#tryNamespace(namespace, Math.min(waitMs * 2, RETRY_MS[1]));
        }),
      );
    });
  }

  #watchScope(namespace: string | undefined, onForbidden?: OnForbidden): void {
    const scope = namespace ?? "";
    if (this.#closed || this.#loops.has(scope)) return;
    const loops = this.#group(scope);
    const { labelSelector } = this.#scope;
    // Whether pods stand in is decided once services are known to be readable:
    // in a namespace where nothing is, there is nothing to fall back to.
    let standIn: (() => void) | undefined;
    const services = this.#loop({
      resource: "services",
      namespace,
      query: labelSelector ? { labelSelector } : {},
      pick: pickService,
      onEvent: (_key, before, now) => {
        this.#index.setService(before, now);
        this.#changed();
      },
      onSynced: () => {
        standIn?.();
        standIn = undefined;
      },
      onDenied: (error) => {
        // Once it has worked, a right withdrawn is an outage, not a verdict.
        if (services.synced) return false;
        loops.delete(services);
        if (onForbidden) {
          // What stands in first: without any watch left the picture would
          // count as complete.
          onForbidden(error, "services");
          this.#dropScope(scope);
        } else {
          this.#refuse(error);
        }
        return true;
      },
    });
    const slices = this.#loop({
      resource: "endpointslices",
      namespace,
      pick: pickSlice,
      onSynced: () => this.#index.setSlicesReadable(namespace, true),
      onEvent: (key, before, now) => {
        this.#index.setSlice(key, before, now);
        const told = this.#tellLeaving(before, now);
        this.#changed();
        if (told) this.#hurry();
      },
      onDenied: (error) => {
        if (slices.synced) return false;
        loops.delete(slices);
        const watchPods = () => this.#watchPods(loops, namespace, error, onForbidden);
        if (services.synced) watchPods();
        else standIn = watchPods;
        return true;
      },
    });
    loops.add(services).add(slices);
  }

  #watchPods(
    loops: Set<AnyLoop>,
    namespace: string | undefined,
    reason: ApiError,
    onForbidden?: OnForbidden,
  ): void {
    if (this.#closed) return;
    this.#index.setSlicesReadable(namespace, false);
    const pods = this.#loop({
      resource: "pods",
      namespace,
      pick: pickPod,
      onEvent: (_key, before, now) => {
        this.#index.setPod(before, now);
        this.#changed();
        if (before !== undefined && takesNew(before) !== takesNew(now)) this.#hurry();
      },
      onSynced: () => this.#note(standInNote(reason, namespace)),
      onDenied: (error) => {
        if (pods.synced) return false;
        const neither = new CzctlError(
          "denied",
          `${reason.message}; and pods neither: ${error.message}`,
          { ...(reason.hint === undefined ? {} : { hint: reason.hint }), cause: reason },
        );
        if (onForbidden) {
          if (namespace !== undefined && !this.#leavesOut) {
            this.#note(
              `May read neither endpointslices nor pods in namespace "${namespace}": left out`,
            );
          }
          onForbidden(neither, "endpointslices");
          this.#dropScope(namespace ?? "");
          return true;
        }
        if (this.#isReady) return false;
        this.#refuse(neither);
        return true;
      },
    });
    loops.add(pods);
  }

  /** No picture will ever be complete. */
  #refuse(error: CzctlError): void {
    this.#refused = true;
    this.#ready.reject(error);
  }

  #group(scope: string): Set<AnyLoop> {
    let loops = this.#loops.get(scope);
    if (!loops) this.#loops.set(scope, loops = new Set());
    return loops;
  }

  /** Ends the watches of a scope and forgets what they brought. */
  #dropScope(scope: string): void {
    const loops = this.#loops.get(scope);
    if (!loops) return;
    this.#loops.delete(scope);
    for (const loop of loops) loop.close().then(() => loop.clear());
    this.#changed();
  }

  #loop<T>(
    options:
      & Pick<
        ConstructorParameters<typeof WatchLoop<T>>[0],
        "resource" | "namespace" | "pick" | "onEvent" | "onDenied"
      >
      & { query?: { labelSelector?: string }; onSynced?: () => void },
  ): WatchLoop<T> {
    const { api, clock, log } = this.#parts;
    const loop: WatchLoop<T> = new WatchLoop<T>({
      api,
      clock,
      log,
      query: {},
      ...options,
      onSynced: () => {
        options.onSynced?.();
        this.#changed();
      },
      onProblem: (problem) => {
        // A wrong selector, say: another try gives the same answer.
        if (problem?.code === "failed" && !this.#isReady) this.#ready.reject(problem);
        if (problem) this.#problems.set(loop, problem);
        else this.#problems.delete(loop);
        this.#tellHealth();
      },
      onDenied: (error) => {
        const ends = options.onDenied?.(error) ?? false;
        if (ends) this.#problems.delete(loop);
        return ends;
      },
    });
    return loop.start();
  }

  #changed(): void {
    if (this.#closed || this.#refused) return;
    if (!this.#isReady && this.#complete()) this.#coalescer.flush();
    else this.#coalescer.poke();
  }

  /**
   * True when a pod is no longer ready, or is now. One that a slice has not
   * named before may come from another slice, or from a Service that was made
   * anew: ready there, it no longer leaves.
   */
  #tellLeaving(before: Slice | undefined, now: Slice | undefined): boolean {
    if (!this.#isReady || !now) return false;
    const was = new Map(before?.endpoints.map((endpoint) => [endpoint.pod?.uid, endpoint.ready]));
    const service = serviceKey({ namespace: now.namespace, name: now.service });
    let told = false;
    for (const { pod, ready } of now.endpoints) {
      if (pod === undefined || (was.get(pod.uid) ?? false) === ready) continue;
      told = true;
      this.#listener.onPodLeaving?.(service, pod.uid, !ready);
    }
    return told;
  }

  /** The pod that takes over, or that held connections wait for, may be among what is gathered. */
  #hurry(): void {
    if (!this.#isReady) return;
    const now = this.#parts.clock.monotonic();
    if (now - this.#hurriedAt < HURRY_MS) return;
    this.#hurriedAt = now;
    this.#coalescer.flush();
  }

  #complete(): boolean {
    return [...this.#loops.values()].every((loops) => [...loops].every((loop) => loop.synced));
  }

  #flush(): void {
    if (this.#closed || (!this.#isReady && !this.#complete())) return;
    const { changed, podsGone, podsNamed } = this.#index.flush();
    for (const uid of podsGone) this.#listener.onPodGone?.(uid);
    for (const uid of podsNamed) this.#listener.onPodNamed?.(uid);
    if (changed || !this.#isReady) {
      this.#snapshot = new Map(this.#index.services);
      this.#listener.onChange(this.#snapshot);
    }
    if (!this.#isReady) {
      this.#isReady = true;
      this.#tellHealth();
      this.#ready.resolve();
    }
  }

  #tellHealth(): void {
    if (this.#closed) return;
    const problem = this.#unreachable ?? [...this.#problems.values()][0];
    const text = problem ? problem.message : "ok";
    if (text === this.#health) return;
    this.#health = text;
    if (problem === undefined) return this.#listener.onHealth?.({ reachable: true });
    const { message, code, hint } = problem;
    this.#listener.onHealth?.({
      reachable: false,
      reason: message,
      ...(code === "denied" && hint !== undefined ? { hint } : {}),
    });
  }

  #note(text: string): void {
    if (this.#notes.has(text)) return;
    this.#notes.add(text);
    this.#listener.onNote?.(text);
  }
}

function standInNote(reason: ApiError, namespace: string | undefined): string {
  const what = reason.status === 403
    ? "May not read endpointslices"
    : "The cluster has no endpointslices";
  return `${what}${namespace ? ` in namespace "${namespace}"` : ""}: using pods instead`;
}

/** True while a pod gets new connections. */
function takesNew(pod: PodSpec | undefined): boolean {
  return pod !== undefined && pod.ready && !pod.terminating;
}
