/**
 * Who tunnels what. Two sessions of one user may want the same Service of the
 * same cluster (`teleport deployment web`, then `teleport deployment echo`):
 * the first holds the listeners, the second waits its turn, and takes over when
 * the first closes. The same name in another cluster is a collision.
 */
export class Claims {
  /** Session ids per claim, the holder first. */
  readonly #queues = new Map<string, string[]>();
  /** Cluster ids by `namespace/service` and name suffix. */
  readonly #clusters = new Map<string, Map<string, number>>();

  /** True when the session now holds the claim. Asking twice changes nothing. */
  take(claim: Claim, sessionId: string): boolean {
    const id = idOf(claim);
    const queue = this.#queues.get(id) ?? [];
    if (!queue.includes(sessionId)) {
      queue.push(sessionId);
      this.#queues.set(id, queue);
      const name = nameOf(claim);
      const clusters = this.#clusters.get(name) ?? new Map<string, number>();
      clusters.set(claim.cluster, (clusters.get(claim.cluster) ?? 0) + 1);
      this.#clusters.set(name, clusters);
    }
    return queue[0] === sessionId;
  }

  /** Gives it up; returns the session that now holds it, if it changed hands. */
  drop(claim: Claim, sessionId: string): string | undefined {
    const id = idOf(claim);
    const queue = this.#queues.get(id);
    const at = queue?.indexOf(sessionId) ?? -1;
    if (!queue || at < 0) return undefined;
    queue.splice(at, 1);
    if (queue.length === 0) this.#queues.delete(id);
    const name = nameOf(claim);
    const clusters = this.#clusters.get(name)!;
    const left = clusters.get(claim.cluster)! - 1;
    if (left > 0) clusters.set(claim.cluster, left);
    else clusters.delete(claim.cluster);
    if (clusters.size === 0) this.#clusters.delete(name);
    return at === 0 ? queue[0] : undefined;
  }

  /** True when the same names already lead into another cluster. */
  collides(claim: Claim): boolean {
    const clusters = this.#clusters.get(nameOf(claim));
    if (!clusters) return false;
    for (const cluster of clusters.keys()) if (cluster !== claim.cluster) return true;
    return false;
  }
}

export interface Claim {
  readonly cluster: string;
  /** `namespace/service[/pod]` */
  readonly key: string;
  /** `--domain`, or the empty string. */
  readonly domain: string;
}

function idOf(claim: Claim): string {
  // Under whatever names: it is one Service with one address.
  return `${claim.cluster} ${claim.key}`;
}

function nameOf(claim: Claim): string {
  return `${claim.domain} ${claim.key}`;
}
