import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/log.ts";
import { TunnelError } from "./errors.ts";
import type { Link, PodRef } from "./transport.ts";

/** Opens one link; throws TunnelError. */
export type DialLink = (
  pod: PodRef,
  port: number,
  onClosed: (link: Link) => void,
  signal: AbortSignal,
) => Promise<Link>;

export interface LinkPoolOptions {
  readonly dial: DialLink;
  readonly clock: Clock;
  readonly log: Logger;
  /** Links kept open, at most; beyond it idle ones are closed, the one not used for longest first. */
  readonly maxLinks: number;
  /** How long a link without streams is kept, in ms. */
  readonly idleMs: number;
  /** True where a link carries one connection only, so that dials cannot be shared. */
  readonly single: () => boolean;
  /** Every dial's outcome. */
  readonly onDial: (error: TunnelError | undefined) => void;
}

/** Links to one pod, at most: each stalled program may cost one. */
const MAX_LINKS_PER_POD = 16;
/** A link not heard for longer than this is asked before it is trusted, in ms (a machine that slept). */
const TRUST_MS = 12_000;
/** How long that may take, in ms. */
const PROBE_MS = 2000;
const TICK_MS = 1000;
/** A tick later than this, in ms: the process was stopped, or got no processor. */
const LATE_MS = 1000;
/** A second link to a pod, dialled while the first was held up, is kept this long without streams, in ms. */
const SPARE_IDLE_MS = 5000;
/** Beside a large upload a second link is dialled for new connections no more often than this, in ms. */
const BESIDE_MS = 5000;
/** Wall clock running ahead of the monotonic one by more than this, in ms: the machine has slept. */
const SLEPT_MS = 5000;
/** Removed pods remembered. */
const MAX_GONE = 1000;

interface PodLinks {
  readonly links: Set<Link>;
  dialing: Promise<Link> | undefined;
  /** When a link was last dialled beside a large upload. */
  besideAt: number;
}

/** The links of one cluster, by pod. Dialled on first use. */
export class LinkPool {
  readonly #options: LinkPoolOptions;
  readonly #pods = new Map<string, PodLinks>();
  readonly #gone = new Set<string>();
  readonly #closing = new AbortController();
  #cancelTick: (() => void) | undefined;
  #sleepMark = 0;
  #tickDue = 0;
  /** Links opened before this time have not been heard since the machine slept. */
  #wokeAt = Number.NEGATIVE_INFINITY;

  constructor(options: LinkPoolOptions) {
    this.#options = options;
  }

  get size(): number {
    let size = 0;
    for (const pod of this.#pods.values()) size += pod.links.size;
    return size;
  }

  get links(): Link[] {
    return [...this.#pods.values()].flatMap((pod) => [...pod.links]);
  }

  /** A link that is open and good for one more stream, without waiting; undefined when there is none. */
  ready(pod: PodRef): Link | undefined {
    const entry = this.#pods.get(pod.uid);
    if (entry === undefined) return undefined;
    let best: Link | undefined;
    for (const link of entry.links) {
      // A channels link belongs to the connection, and the port, it was dialled for.
      if (link.kind === "channels" || !link.takesStreams) continue;
      if (best === undefined || isBetter(link, best)) best = link;
    }
    if (best === undefined || !this.#trusted(best)) return undefined;
    if (best.bulky) this.#dialBeside(entry, pod);
    return best;
  }

  /**
   * A large upload may come to a halt, and its link with it. Nobody waits for a
   * second one: it is there for the connections that come later.
   */
  #dialBeside(entry: PodLinks, pod: PodRef): void {
    const now = this.#options.clock.monotonic();
    if (entry.dialing !== undefined || entry.links.size > 1 || this.#options.single()) return;
    if (now - entry.besideAt < BESIDE_MS || this.#gone.has(pod.uid)) return;
    entry.besideAt = now;
    // The port is of no account where a link carries many connections.
    this.#dial(pod, 0).dialing.catch(() => {});
  }

  /** The same, dialled when needed. Throws TunnelError; then nothing was delivered. */
  async link(pod: PodRef, port: number): Promise<Link> {
    for (;;) {
      if (this.#closing.signal.aborted) {
        throw new TunnelError("link_lost", "The tunnels are being closed", {
          nothingDelivered: true,
        });
      }
      if (this.#gone.has(pod.uid)) {
        throw new TunnelError("pod_gone", `Pod "${pod.namespace}/${pod.name}" is gone`, {
          nothingDelivered: true,
        });
      }
      const ready = this.ready(pod);
      if (ready !== undefined) return ready;
      const doubtful = this.#doubtful(pod);
      if (doubtful !== undefined) {
        // Its connections may outlive that: a network takes a while to come back.
        if (!await doubtful.probe(PROBE_MS)) doubtful.drain("it has not answered");
        continue;
      }
      const crowded = this.#crowded(pod);
      if (crowded !== undefined) return crowded;
      const { dialing, own } = this.#dial(pod, port);
      const link = await dialing;
      if (link.takesStreams && (own || link.kind !== "channels")) return link;
      const unasked = link.state === "closed" && !this.#closing.signal.aborted &&
        !this.#gone.has(pod.uid);
      // Another one at once would be broken off just as well, a thousand times a second.
      if (link.mute || own && unasked) throw brokenOff(pod);
    }
  }

  /**
   * No new streams to this pod; its links close when their last streams end.
   * `hasEnded`, asked only where there are links: its programs have ended, so
   * that nothing more can come from them.
   */
  retire(uid: string, hasEnded: () => boolean): void {
    this.#gone.add(uid);
    if (this.#gone.size > MAX_GONE) this.#gone.delete(this.#gone.values().next().value!);
    const links = [...this.#pods.get(uid)?.links ?? []];
    if (links.length === 0) return;
    if (hasEnded()) { for (const link of links) link.podDied(); }
    else this.drop(uid, "its pod is gone");
  }

  /** The watch names this pod (again): it may be dialled. */
  revive(uid: string): void {
    this.#gone.delete(uid);
  }

  /** Like `retire`, for a pod nobody needs at the moment. */
  drop(uid: string, reason: string): void {
    for (const link of [...this.#pods.get(uid)?.links ?? []]) link.drain(reason);
  }

  /** Uids of the pods with links. */
  get pods(): string[] {
    return [...this.#pods.keys()];
  }

  close(): void {
    this.#closing.abort();
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    for (const link of this.links) link.close();
  }

  #trusted(link: Link): boolean {
    return this.#options.clock.monotonic() - link.heardAt <= TRUST_MS &&
      link.heardAt >= this.#wokeAt;
  }

  #doubtful(pod: PodRef): Link | undefined {
    for (const link of this.#pods.get(pod.uid)?.links ?? []) {
      if (link.kind !== "channels" && link.takesStreams && !this.#trusted(link)) return link;
    }
    return undefined;
  }

  /** Too many links to this pod already: the least busy one has to do. */
  #crowded(pod: PodRef): Link | undefined {
    const links = [...this.#pods.get(pod.uid)?.links ?? []].filter((link) =>
      link.state === "open" && link.kind !== "channels"
    );
    if (links.length < MAX_LINKS_PER_POD) return undefined;
    return links.reduce((best, link) => link.streams < best.streams ? link : best);
  }

  /** `own`: dialled for this caller, not joined. */
  #dial(pod: PodRef, port: number): { dialing: Promise<Link>; own: boolean } {
    let entry = this.#pods.get(pod.uid);
    if (entry === undefined) {
      entry = { links: new Set(), dialing: undefined, besideAt: Number.NEGATIVE_INFINITY };
      this.#pods.set(pod.uid, entry);
    }
    if (entry.dialing !== undefined && !this.#options.single()) {
      return { dialing: entry.dialing, own: false };
    }
    const dialing = this.#dialNow(entry, pod, port).finally(() => {
      if (entry.dialing === dialing) entry.dialing = undefined;
      this.#forgetEmpty(pod.uid);
    });
    entry.dialing = dialing;
    return { dialing, own: true };
  }

  async #dialNow(entry: PodLinks, pod: PodRef, port: number): Promise<Link> {
    const { dial, onDial, log } = this.#options;
    try {
      const link = await dial(pod, port, (closed) => {
        entry.links.delete(closed);
        this.#forgetEmpty(pod.uid);
      }, this.#closing.signal);
      onDial(undefined);
      if (this.#closing.signal.aborted) link.close();
      if (link.state !== "closed") {
        entry.links.add(link);
        if (this.#pods.get(pod.uid) !== entry) this.#pods.set(pod.uid, entry);
      }
      if (this.#gone.has(pod.uid)) link.drain("its pod is gone");
      log.debug("Link opened", { pod: pod.name, namespace: pod.namespace, kind: link.kind });
      this.#makeRoom();
      this.#startTicks();
      return link;
    } catch (error) {
      if (error instanceof TunnelError) onDial(error);
      throw error;
    }
  }

  #forgetEmpty(uid: string): void {
    const entry = this.#pods.get(uid);
    if (entry !== undefined && entry.links.size === 0 && entry.dialing === undefined) {
      this.#pods.delete(uid);
    }
  }

  #makeRoom(): void {
    const links = this.links;
    const idle = links.filter((link) => link.streams === 0)
      .sort((a, b) => a.usedAt - b.usedAt);
    // The newest one was dialled for somebody who is about to use it.
    idle.pop();
    for (let over = links.length - this.#options.maxLinks; over > 0 && idle.length > 0; over--) {
      idle.shift()!.close();
    }
  }

  #startTicks(): void {
    if (this.#cancelTick !== undefined || this.#closing.signal.aborted) return;
    const { clock } = this.#options;
    this.#sleepMark = clock.now() - clock.monotonic();
    this.#tickDue = clock.monotonic() + TICK_MS;
    this.#cancelTick = clock.after(TICK_MS, () => this.#tick());
  }

  /** True while another link to the same pod can take its place. */
  #isSpare(link: Link): boolean {
    for (const other of this.#pods.get(link.pod.uid)?.links ?? []) {
      if (other !== link && other.takesStreams && !other.bulky) return true;
    }
    return false;
  }

  #tick(): void {
    this.#cancelTick = undefined;
    const { clock, idleMs } = this.#options;
    const now = clock.monotonic();
    const mark = clock.now() - now;
    if (mark - this.#sleepMark > SLEPT_MS) this.#wokeAt = now;
    this.#sleepMark = mark;
    const late = now - this.#tickDue > LATE_MS;
    for (const link of this.links) {
      if (late) link.stoodStill(now);
      const keep = this.#isSpare(link) ? Math.min(SPARE_IDLE_MS, idleMs) : idleMs;
      if (link.streams === 0 && now - link.usedAt >= keep) link.close();
      else link.tick(now);
    }
    if (this.size > 0) this.#startTicks();
  }
}

/** As a proxy does that upgrades whatever it is asked. */
function brokenOff({ namespace, name }: PodRef): TunnelError {
  return new TunnelError(
    "unreachable",
    `Cannot forward to pod "${namespace}/${name}": the connection is broken off as soon as it is open`,
    {
      nothingDelivered: true,
      answered: true,
      hint: "A proxy in front of the API server may not pass upgraded connections",
    },
  );
}

/** Without a large upload, or else with fewer streams. */
function isBetter(link: Link, than: Link): boolean {
  return link.bulky === than.bulky ? link.streams < than.streams : than.bulky;
}
