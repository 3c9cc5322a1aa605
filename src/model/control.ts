import type { ErrorJson } from "./errors.ts";

/**
 * The control API of `czfwd svc`: HTTP and JSON over the 0600 unix socket
 * `~/.codezero/run/czfwd.sock`.
 *
 *   GET    /v1/status                 StatusInfo
 *   GET    /v1/sessions               { sessions: SessionInfo[] }
 *   POST   /v1/sessions               TeleportRequest -> stream of ControlEvent, one JSON object a line
 *   DELETE /v1/sessions/ID[?force=1]  -> stream of ControlEvent
 *   DELETE /v1/sessions[?force=1]     all of them -> stream of ControlEvent
 *   DELETE /v1/holders/HOLDER         undo what this one's request did -> stream of ControlEvent
 *   POST   /v1/stop                   close everything and end -> stream of ControlEvent
 *   POST   /v1/stay                   StatusInfo; from now on it stays without a session
 *   POST   /v1/inspect                { url: string } with a one-time code
 *
 * A failed request answers 4xx/5xx with { error: ErrorJson }; a stream that
 * fails half way ends with an `error` event. A client that goes away while a
 * session is opening cancels it, and what was done is undone. A session that is
 * open is held by those who asked for it, and closes with the last that is
 * released. The stream of one who asked for a program goes on after `session`
 * until then, and its end at the client's side is a release, too.
 */
export type ControlEvent =
  /** Something under way; replaces the line before it on a terminal. */
  | { readonly type: "progress"; readonly text: string }
  /** A finished step: `label` in the left column, `detail` in the right. */
  | { readonly type: "step"; readonly label: string; readonly detail: string }
  /** Something the user should know; nothing failed. */
  | { readonly type: "note"; readonly text: string }
  | { readonly type: "session"; readonly session: SessionInfo; readonly already: boolean }
  | { readonly type: "closed"; readonly session: SessionInfo }
  /** `ending`: no session is left, and svc ends now. */
  | { readonly type: "done"; readonly ending?: true }
  | { readonly type: "error"; readonly error: ErrorJson };

export type WorkloadKind =
  | "namespace"
  | "deployment"
  | "statefulset"
  | "daemonset"
  | "replicaset"
  | "job"
  | "cronjob"
  | "pod"
  | "service";

export interface WorkloadRef {
  readonly kind: WorkloadKind;
  readonly name: string;
  readonly namespace: string;
}

export type EnvFormat = "sh" | "env" | "json" | "yaml";

export interface TeleportRequest {
  readonly kind: WorkloadKind;
  /** For kind `namespace` the namespace itself. */
  readonly name: string;
  readonly namespace?: string;
  readonly additional?: readonly string[];
  readonly allNamespaces?: boolean;
  /** The value of `--kubeconfig`, as typed. */
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly envFile?: string;
  readonly format?: EnvFormat;
  /** `--export=false` of the sh format. */
  readonly exportVariables?: boolean;
  readonly container?: string;
  /** Overwrite an env file czctl did not write. */
  readonly force?: boolean;
  /** Shell command after each refresh of the env file. */
  readonly onChange?: string;
  /** Globs over service names. */
  readonly exclude?: readonly string[];
  readonly only?: readonly string[];
  readonly labelSelector?: string;
  /** False: no bare names. */
  readonly shortNames?: boolean;
  readonly clusterDomain?: string;
  /** `--domain SUFFIX`: appended to the namespace label so that two clusters can live side by side. */
  readonly domain?: string;
  /** Names to take although something else answers to them. */
  readonly take?: readonly string[];
  /** How long a connection is held while no pod is ready, in ms. */
  readonly holdMs?: number;
  /** Where and with what environment the command was typed: for relative paths and exec plugins. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** A name for who asks, never used before. */
  readonly holder?: string;
  /** The holder is a program: gone when the client is. */
  readonly forProgram?: boolean;
  /**
   * What an exec plugin gave in `czctl`, which has a terminal to ask the user
   * in (`Cluster.logIn`). Never logged, never written down.
   */
  readonly credential?: {
    readonly token?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly expiresAt?: number;
  };
}

export interface SessionInfo {
  readonly id: string;
  readonly workload: WorkloadRef;
  readonly context: string;
  /** URL of the API server. */
  readonly server: string;
  readonly namespaces: readonly string[];
  /** RFC 3339. */
  readonly createdAt: string;
  readonly state: "opening" | "ready" | "closing";
  readonly cluster: ReachabilityInfo;
  /** Those of its namespaces that are being deleted or no longer exist, where that can be known. */
  readonly lost?: readonly LostNamespace[];
  readonly services: readonly ServiceInfo[];
  readonly envFile?: EnvFileInfo;
  /** As in KUBECONFIG, absolute; absent when it is the default one. */
  readonly kubeconfig?: string;
  /** How a kubectl command about its cluster begins. */
  readonly kubectl?: string;
  readonly notes: readonly string[];
}

export type NamespaceState = "there" | "ending" | "gone";

export interface LostNamespace {
  readonly namespace: string;
  readonly state: "ending" | "gone";
}

/** In words, for people. */
export function lostText({ namespace, state }: LostNamespace): string {
  return `Namespace "${namespace}" ${state === "gone" ? "no longer exists" : "is being deleted"}`;
}

export interface ReachabilityInfo {
  readonly reachable: boolean;
  /** RFC 3339; when it was last known to be reachable. */
  readonly since?: string;
  readonly reason?: string;
  /** What the user has to do; absent where it heals by itself. */
  readonly hint?: string;
}

export interface EnvFileInfo {
  readonly path: string;
  readonly variables: number;
  readonly state: "watching" | "stopped";
  readonly reason?: string;
}

export interface ServiceInfo {
  readonly namespace: string;
  readonly name: string;
  /** Set for an addressed pod of a headless Service. */
  readonly pod?: string;
  /** `namespace/service[/pod]`: an ExternalName for that, with its address and no ports of its own. */
  readonly aliasOf?: string;
  readonly address?: string;
  readonly names: readonly string[];
  readonly ports: readonly PortInfo[];
  /** Ports that are not forwarded and endpoints that are passed over, in words. */
  readonly skipped: readonly string[];
  readonly readyPods: number;
  /** Why there is no tunnel. */
  readonly reason?: string;
}

export interface PortInfo {
  readonly port: number;
  readonly name: string;
  /** `relayed`: below 1024, bound by the helper. `blocked`: cannot be bound now, retried. */
  readonly state: "listening" | "relayed" | "blocked";
  readonly reason?: string;
  readonly connections: number;
  /** Bytes from the pods to local programs, and the other way. */
  readonly bytesDown: number;
  readonly bytesUp: number;
  /** Connections that came to nothing: refused, reset, lost, or without a pod. */
  readonly failed: number;
  /** The last of them, while no later connection has been answered. */
  readonly lastFailure?: ConnectionFailure;
}

/** Why a connection came to nothing. */
export interface ConnectionFailure {
  /** RFC 3339. */
  readonly at: string;
  readonly reason: string;
  readonly hint?: string;
}

export interface StatusInfo {
  readonly version: string;
  readonly pid: number;
  /** Where svc runs: equal for two processes that see the same network and hosts file. */
  readonly machine?: string;
  readonly startedAt: string;
  /** True after `czctl start`: it then stays when the last session closes. */
  readonly resident: boolean;
  readonly helper: {
    readonly state: "running" | "idle" | "restarting" | "failed";
    readonly pid?: number;
    readonly reason?: string;
    /** What to do about it, where that is known. */
    readonly hint?: string;
  };
  readonly inspector: { readonly url?: string; readonly reason?: string };
  /** Sessions that are being opened, or undone after that failed or was cancelled. */
  readonly opening?: number;
  readonly sessions: readonly SessionInfo[];
}
