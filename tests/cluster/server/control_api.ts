import type { Rule } from "./config.ts";
import type { Obj } from "./json.ts";
import type { PodFault, PodStats } from "./pod_protocol.ts";
import type { GatewayStats } from "./target.ts";

export interface PodPlace {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly phase: string;
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly podIP?: string;
  /** Where its programs really listen (ports below 1024: plus 40000). */
  readonly address?: string;
}

export interface Counters extends GatewayStats {
  /** Requests by `VERB /path`. */
  readonly requests: Readonly<Record<string, number>>;
  readonly watches: readonly { readonly resource: string; readonly namespace: string }[];
  /** Changes of objects, by resource: what a watch of everything would have been sent. */
  readonly changes: Readonly<Record<string, number>>;
}

/**
 * Faults and edits. Every method is one POST of its parameters (JSON) to
 * CONTROL_URL/METHOD, so any process can use it; `null` is answered for nothing.
 * A pod is named `namespace/name`.
 */
export interface Control {
  pods(): Promise<PodPlace[]>;
  /** Creates objects, or merges them into those that exist. Resolves when listeners are up. */
  apply(params: { objects: readonly Obj[] }): Promise<null>;
  remove(
    params: { resource: string; namespace?: string; name: string; graceSeconds?: number },
  ): Promise<null>;
  /** As `kubectl rollout restart`. */
  rollout(params: { namespace: string; deployment: string }): Promise<null>;
  scale(
    params: { resource?: string; namespace: string; name: string; replicas: number },
  ): Promise<null>;
  /** Controllers stand still (no pod is replaced, no slice changes) until resumed. */
  pauseControllers(params: { paused: boolean }): Promise<null>;

  podFault(params: { pod: string; fault: PodFault }): Promise<null>;
  podReady(params: { pod: string; ready: boolean }): Promise<null>;
  podStats(params: { pod: string }): Promise<PodStats>;

  /** Ends connections: every one to the API server, or the port-forwards (of one pod). */
  drop(
    params: { what: "all" | "links"; pod?: string; how?: "reset" | "close" },
  ): Promise<null>;
  /** Half-open port-forwards: nothing is answered, nothing closed. */
  freeze(params: { frozen: boolean; pod?: string }): Promise<null>;
  /** The whole API server stops answering, TLS handshakes included, without closing anything. */
  hang(params: { hung: boolean }): Promise<null>;
  /** Each way in ms, for connections made from now on. */
  delay(params: { ms: number }): Promise<null>;
  /**
   * From now on downloads are passed on one TLS record after the other, as an API server does that
   * keeps up with the kubelet (Go's io.Copy between two TLS connections); or no longer.
   */
  records(params: { single: boolean }): Promise<null>;
  /** Which upgrades get through, as if an L7 proxy took the others' headers away. */
  ways(params: { spdy: boolean; websocket: boolean }): Promise<null>;
  /** All connections die; after `downMs` it is back, on the same port or (`newPort`) another. */
  restart(params: { newPort?: boolean; downMs?: number }): Promise<{ url: string }>;

  cutWatches(params: { resource?: string }): Promise<number>;
  /** Watches stay open and say nothing; on `silent: false` what happened is lost unless `keep`. */
  silenceWatches(params: { silent: boolean; keep?: boolean }): Promise<null>;
  /** Running watches get the ERROR event with code 410 and end. */
  expireWatches(params: { resource?: string }): Promise<number>;
  /** Older resourceVersions and continue tokens answer 410 from now on. */
  expireVersions(params: { resource?: string }): Promise<null>;

  setRules(params: { user: string; rules: readonly Rule[] }): Promise<null>;
  /** The user's tokens answer 401 from now on. */
  revokeTokens(params: { user: string }): Promise<null>;
  /** The exec plugin gives a new token from now on; the old one stays valid until revoked. */
  rotateExec(params: { user?: string; lifetimeMs?: number; revoke?: boolean }): Promise<null>;
  /** How often the exec plugin was run. */
  execCalls(params: { user?: string }): Promise<number>;

  counters(): Promise<Counters>;
  resetCounters(): Promise<null>;
}
