import type { ServiceEndpoint } from "../model/service.ts";

export interface BalancedPort {
  /** Name of the Service's port; endpoints without it are passed over. */
  readonly portName: string;
  /** `sessionAffinity: ClientIP`: how long a client keeps its pod after its last connection, in seconds. */
  readonly affinitySeconds?: number;
}

export interface BalancerOptions {
  /** Pods that are no longer ready, whatever the endpoints still say. */
  readonly leaving: () => ReadonlySet<string> | undefined;
  /** Monotonic time, in ms. */
  readonly now: () => number;
}

/** Clients remembered for affinity, at most; the one not seen for longest is forgotten. */
const MAX_CLIENTS = 1024;

/** How long a pod that could not be reached is passed over while there are others, in ms. */
const SHUN_MS = 10_000;

/** Which pod a connection goes to: ready ones, the least busy first. */
export class Balancer {
  readonly #options: BalancerOptions;
  #port: BalancedPort = { portName: "" };
  #endpoints: readonly ServiceEndpoint[] = [];
  /** Uids of the ready ones. */
  readonly #ready = new Set<string>();
  readonly #open = new Map<string, number>();
  readonly #clients = new Map<string, { uid: string; until: number }>();
  /** Until when a pod is passed over. */
  readonly #shunned = new Map<string, number>();
  /** Pods on their way out that have refused: they do not come back. */
  readonly #over = new Set<string>();
  #turn = 0;

  constructor(options: BalancerOptions) {
    this.#options = options;
  }

  get endpoints(): readonly ServiceEndpoint[] {
    return this.#endpoints;
  }

  /** The Service's port, before the `update` it is for. */
  follow(port: BalancedPort): void {
    this.#port = port;
    if (port.affinitySeconds === undefined) this.#clients.clear();
  }

  update(endpoints: readonly ServiceEndpoint[]): void {
    this.#endpoints = endpoints.filter((endpoint) =>
      endpoint.ports[this.#port.portName] !== undefined
    );
    this.#ready.clear();
    const unready = new Set<string>();
    for (const { podUid, ready } of this.#endpoints) (ready ? this.#ready : unready).add(podUid);
    for (const uid of this.#over) if (!unready.has(uid)) this.#over.delete(uid);
  }

  /** True for a pod that is no longer ready, or no longer there. */
  leaves(uid: string): boolean {
    return !this.#ready.has(uid) || this.#options.leaving()?.has(uid) === true;
  }

  /** A pod that leaves refuses connections: its program has ended. */
  isOver(uid: string): void {
    this.#over.add(uid);
  }

  /**
   * A pod for a connection from `client`, none of those in `tried`. Undefined
   * when there is none (left). Count it with `opened`.
   */
  pick(client: string, tried: ReadonlySet<string>): ServiceEndpoint | undefined {
    const untried = this.untried(tried);
    if (untried.length === 0) return undefined;
    const candidates = this.#reachable(untried);
    return this.#remembered(client, candidates) ?? this.#leastBusy(candidates);
  }

  /** What `pick` chooses from, the shunned included. */
  untried(tried: ReadonlySet<string>): readonly ServiceEndpoint[] {
    return this.#candidates().filter((endpoint) => !tried.has(endpoint.podUid));
  }

  opened(client: string, uid: string): void {
    this.#shunned.delete(uid);
    this.#open.set(uid, (this.#open.get(uid) ?? 0) + 1);
    this.#remember(client, uid);
  }

  closed(client: string, uid: string): void {
    const left = (this.#open.get(uid) ?? 1) - 1;
    if (left > 0) this.#open.set(uid, left);
    else this.#open.delete(uid);
    if (this.#clients.get(client)?.uid === uid) this.#remember(client, uid);
  }

  /**
   * A link to this pod could not be had: its node is down, say. Having no
   * connections, it would be the first choice again and again.
   */
  shun(uid: string): void {
    this.#shunned.set(uid, this.#options.now() + SHUN_MS);
  }

  /** Those that are not shunned, if there are any. */
  #reachable(candidates: readonly ServiceEndpoint[]): readonly ServiceEndpoint[] {
    if (this.#shunned.size === 0) return candidates;
    const now = this.#options.now();
    for (const [uid, until] of this.#shunned) if (until < now) this.#shunned.delete(uid);
    const left = candidates.filter(({ podUid }) => !this.#shunned.has(podUid));
    return left.length > 0 ? left : candidates;
  }

  get hasReady(): boolean {
    return this.#endpoints.some(({ podUid }) => !this.leaves(podUid));
  }

  /** Ready pods; terminating ones that still serve only when nothing else is ready. */
  #candidates(): readonly ServiceEndpoint[] {
    const leaving = this.#options.leaving();
    const stays = ({ podUid }: ServiceEndpoint) => leaving === undefined || !leaving.has(podUid);
    const ready = this.#endpoints.filter((endpoint) => endpoint.ready && stays(endpoint));
    if (ready.length > 0) return ready;
    return this.#endpoints.filter((endpoint) =>
      endpoint.serving && (endpoint.terminating || !stays(endpoint)) &&
      !this.#over.has(endpoint.podUid)
    );
  }

  #leastBusy(candidates: readonly ServiceEndpoint[]): ServiceEndpoint {
    // Equally busy ones take turns.
    const start = this.#turn++ % candidates.length;
    let best = candidates[start]!;
    let least = this.#open.get(best.podUid) ?? 0;
    for (let i = 1; i < candidates.length && least > 0; i++) {
      const other = candidates[(start + i) % candidates.length]!;
      const count = this.#open.get(other.podUid) ?? 0;
      if (count < least) {
        best = other;
        least = count;
      }
    }
    return best;
  }

  #remembered(client: string, candidates: readonly ServiceEndpoint[]): ServiceEndpoint | undefined {
    const sticky = this.#clients.get(client);
    if (sticky === undefined) return undefined;
    if (sticky.until < this.#options.now()) {
      this.#clients.delete(client);
      return undefined;
    }
    return candidates.find((endpoint) => endpoint.podUid === sticky.uid);
  }

  #remember(client: string, uid: string): void {
    const { affinitySeconds } = this.#port;
    if (affinitySeconds === undefined) return;
    this.#clients.delete(client);
    this.#clients.set(client, { uid, until: this.#options.now() + affinitySeconds * 1000 });
    if (this.#clients.size > MAX_CLIENTS) {
      const oldest = this.#clients.keys().next().value;
      if (oldest !== undefined) this.#clients.delete(oldest);
    }
  }
}
