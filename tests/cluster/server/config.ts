import type { Obj } from "./json.ts";

/** What a user may do; `*` matches everything. Absent namespaces: all, and the cluster scope. */
export interface Rule {
  readonly verbs: readonly string[];
  readonly resources: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly namespaces?: readonly string[];
  readonly resourceNames?: readonly string[];
}

/** How the user proves who he is; each user is a context of the generated kubeconfig. */
export interface UserConfig {
  /** Context name. */
  readonly context: string;
  /** Name in RBAC and in 403 texts. */
  readonly user: string;
  readonly groups?: readonly string[];
  readonly via: "certificate" | "token" | "exec";
  readonly rules: readonly Rule[];
  /** Of the client certificate, in ms; negative: it has expired, and the server answers 401. */
  readonly certificateLifetimeMs?: number;
  /** The context's namespace; absent: none. */
  readonly namespace?: string;
}

/** Milliseconds each step of a pod's life takes. */
export interface Timings {
  readonly scheduleMs: number;
  readonly createMs: number;
  readonly startMs: number;
  /** From running to ready; 0: both in one event, as recorded. */
  readonly readyMs: number;
  /**
   * From a pod's deletion until its programs get SIGTERM. 0 is the hardest for clients: on a real
   * node the kubelet hears of it by a watch and has the runtime kill the containers, tens of ms
   * later (pkg/kubelet/pod_workers.go, kuberuntime_container.go `killContainer`).
   */
  readonly stopMs: number;
  /** Longest grace period, whatever the pod asks for. */
  readonly maxGraceMs: number;
  /** How long controllers wait for more changes before they act. */
  readonly reconcileMs: number;
  /** Between bookmarks of a watch that allows them. */
  readonly bookmarkMs: number;
}

export const DEFAULT_TIMINGS: Timings = {
  scheduleMs: 5,
  createMs: 10,
  startMs: 20,
  readyMs: 0,
  stopMs: 0,
  maxGraceMs: 1_000,
  reconcileMs: 2,
  bookmarkMs: 60_000,
};

/**
 * Well-behaved pods: a preStop hook keeps them serving for a while after their endpoints say that
 * they leave, and they finish what has begun. Real hooks wait for seconds; 100 ms is less than
 * changes are gathered for, so that a pod avoided late is noticed. Without the hook a connection
 * that has reached the listening socket but not yet the program is reset with it, whoever the
 * client is (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow).
 * The pods have to ask for the grace period: `graceSeconds`.
 */
export const GRACEFUL = { stopMs: 100, maxGraceMs: 5_000 } satisfies Partial<Timings>;

/** Wire constants of the kubelet and containerd, shorter only where a test says so. */
export interface ForwardTimings {
  /** containerd's wait for the other direction (internal/cri/server/sandbox_portforward_linux.go). */
  readonly lingerMs: number;
  /** `DefaultStreamCreationTimeout` of the kubelet's streaming server. */
  readonly streamCreationMs: number;
}

export const DEFAULT_FORWARD: ForwardTimings = { lingerMs: 1_000, streamCreationMs: 30_000 };

export interface ServerConfig {
  /** Folder for the kubeconfig, keys and sockets; made and removed by the caller. */
  readonly folder: string;
  readonly objects: readonly Obj[];
  readonly users: readonly UserConfig[];
  readonly timings: Timings;
  readonly forward: ForwardTimings;
  /** Port of the API server, 0 for any. */
  readonly port: number;
  /** Processes that terminate TLS and carry port-forwards. */
  readonly gateways: number;
  /** Start the listeners of a pod only when somebody connects to it. */
  readonly lazyPods: boolean;
  /** Delay of everything on the wire, each way, in ms. */
  readonly delayMs: number;
  /** `/version`, e.g. "1.36". */
  readonly version: string;
}

/** The one line the server prints on stdout when everything is up. */
export interface ReadyLine {
  readonly url: string;
  readonly port: number;
  readonly kubeconfig: string;
  readonly controlUrl: string;
  readonly caPem: string;
  readonly contexts: readonly string[];
  readonly pid: number;
}

const READ = ["get", "list", "watch"];
export const EVERYTHING: Rule = { verbs: ["*"], resources: ["*"] };

/** Rights czctl cannot do without, all of them SPDY (create, no get, on pods/portforward). */
export const LEAST_RIGHTS: readonly Rule[] = [
  { verbs: READ, resources: ["services", "pods"] },
  { verbs: READ, resources: ["endpointslices"], apiGroups: ["discovery.k8s.io"] },
  { verbs: ["create"], resources: ["pods/portforward"] },
];

export const DEFAULT_USERS: readonly UserConfig[] = [
  {
    context: "admin",
    user: "kubernetes-admin",
    groups: ["system:masters"],
    via: "certificate",
    rules: [],
  },
  { context: "token", user: "token-user", via: "token", rules: [EVERYTHING] },
  { context: "exec", user: "exec-user", via: "exec", rules: [EVERYTHING] },
  { context: "least", user: "least-user", via: "token", rules: LEAST_RIGHTS },
  { context: "none", user: "none-user", via: "token", rules: [] },
];
