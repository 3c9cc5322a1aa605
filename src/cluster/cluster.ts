import { createHash } from "node:crypto";
import type { ApiTargetSource } from "../model/api_target.ts";
import type { Clock } from "../model/clock.ts";
import type { NamespaceState, WorkloadKind } from "../model/control.ts";
import type { CzctlError } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import type { ObjectSource } from "../model/objects.ts";
import { HttpClient } from "../platform/http.ts";
import { systemCa } from "../platform/system_ca.ts";
import { type PortForwardAnswer, portForwardAnswer, rightsRefusal } from "./access.ts";
import { ApiClient } from "./api_client.ts";
import { ApiError } from "./api_errors.ts";
import { apiTargetSource, serverUrl } from "./api_target.ts";
import { resolveContext, type ResolvedContext } from "./context.ts";
import type { HandedCredential } from "./credential_types.ts";
import { credentialSource } from "./credentials.ts";
import {
  discover,
  type DiscoverScope,
  type Discovery,
  type DiscoveryListener,
} from "./discovery.ts";
import { followingTargets } from "./following_targets.ts";
import { Heartbeat } from "./heartbeat.ts";
import { type Kubeconfig, type KubeconfigPlace, loadKubeconfig } from "./kubeconfig.ts";
import { ClusterObjects } from "./object_source.ts";
import { namespaceState } from "./namespace_state.ts";
import { pem } from "./pem.ts";
import { type FoundWorkload, listNames, lookupWorkload, type WorkloadQuery } from "./workload.ts";

export interface OpenClusterOptions {
  /** The value of `--kubeconfig`, as typed. */
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Where and with what environment the command was typed. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly home: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** True in a program with a terminal: exec plugins may ask the user. */
  readonly interactive?: boolean;
  /** What `logIn` gave in such a program, handed to one without a terminal. */
  readonly credential?: HandedCredential;
}

/** How long the first answer of the API server may take, in ms. */
const PROBE_MS = 10_000;

/**
 * Reads the kubeconfig and prepares access to one cluster; nothing is dialled
 * and no plugin is run yet. Throws CzctlError `failed` for a kubeconfig that
 * cannot be used (see `loadKubeconfig`, `resolveContext`).
 */
export async function openCluster(options: OpenClusterOptions): Promise<Cluster> {
  const place = {
    env: options.env,
    cwd: options.cwd,
    home: options.home,
    ...(options.kubeconfig === undefined ? {} : { explicit: options.kubeconfig }),
  };
  const config = await loadKubeconfig(place);
  const resolved = await resolveContext(config, options.context, place);
  const { clock, log } = options;
  let access = await accessTo(resolved, options);
  const targets = await followingTargets({
    files: followedFiles(config, resolved),
    first: access.targets,
    reload: async () => {
      const anew = await resolveContext(await loadKubeconfig(place), resolved.context, place);
      const next = await accessTo(anew, options);
      access.credentials.close?.();
      access = next;
      return access.targets;
    },
    clock,
    log,
  });
  const login: Login = {
    targets,
    logIn: async () => access.credentials.asks ? await access.credentials.handOver?.() : undefined,
    close: () => access.credentials.close?.(),
  };
  return new Cluster(resolved, login, await clusterId(resolved), clock, log);
}

/**
 * URL of the API server of a kubeconfig's context, as `Cluster.server` has it.
 * Throws CzctlError `failed` like `openCluster`.
 */
export async function serverOfContext(
  place: KubeconfigPlace,
  context: string | undefined,
): Promise<string> {
  return serverText(await resolveContext(await loadKubeconfig(place), context, place));
}

function serverText(resolved: ResolvedContext): string {
  return serverUrl(resolved).href.replace(/\/$/, "");
}

/** A certificate authority may lie in a file of its own, which is renewed by itself. */
function followedFiles(config: Kubeconfig, { cluster }: ResolvedContext): readonly string[] {
  const ca = cluster["certificate-authority"];
  const data = cluster["certificate-authority-data"];
  return config.files.length > 0 && ca && !data ? [...config.files, ca] : config.files;
}

async function accessTo(resolved: ResolvedContext, options: OpenClusterOptions) {
  const { env, cwd, clock, log } = options;
  const credentials = credentialSource({
    context: resolved,
    env,
    cwd,
    clock,
    log,
    interactive: options.interactive ?? false,
    ...(options.credential ? { handed: options.credential } : {}),
  });
  return {
    credentials,
    targets: await apiTargetSource(resolved, credentials, env, () => systemCa(env)),
  };
}

/** A way to log in, which follows the kubeconfig. */
interface Login {
  readonly targets: ApiTargetSource;
  /** See `Cluster.logIn`. */
  logIn(): Promise<HandedCredential | undefined>;
  /** Ends a plugin that still runs. */
  close(): void;
}

/** One cluster seen through one context. */
export class Cluster {
  readonly context: string;
  /** The context's namespace; where it names none, the pod's czctl runs in, or `default`. */
  readonly namespace: string;
  /** URL of the API server. */
  readonly server: string;
  /** How a kubectl command about it begins. */
  readonly kubectl: string;
  /**
   * The same for every context that means the same server with the same
   * authority, whoever the user is; another for a cluster made anew.
   */
  readonly id: string;
  readonly targets: ApiTargetSource;
  readonly objects: ObjectSource;
  #login: Login;
  readonly #api: ApiClient;
  readonly #http = new HttpClient();
  readonly #heartbeat: Heartbeat;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #discoveries = new Set<Discovery>();

  constructor(
    resolved: ResolvedContext,
    login: Login,
    id: string,
    clock: Clock,
    log: Logger,
  ) {
    this.context = resolved.context;
    this.namespace = resolved.namespace;
    this.server = serverText(resolved);
    this.kubectl = resolved.kubectl;
    this.id = id;
    this.#login = login;
    this.targets = (asked) => this.#login.targets(asked);
    this.#clock = clock;
    this.#log = log.with({ context: resolved.context });
    this.#api = new ApiClient({
      label: {
        context: this.context,
        server: this.server,
        userName: resolved.userName,
        actsAs: resolved.user.as || resolved.userName,
        kubectl: this.kubectl,
      },
      http: this.#http,
      targets: this.targets,
      clock,
    });
    this.#heartbeat = new Heartbeat(this.#api, this.#http, clock, this.#log);
    this.objects = new ClusterObjects(this.#api, this.#heartbeat, clock, this.#log);
  }

  /**
   * One early question, so that whatever keeps czctl out is told at once and
   * clearly. With `namespace` it asks for the right discovery needs. Without,
   * a 403 is an answer, too: hardened clusters let nobody read the version.
   * Throws CzctlError `unreachable` or `denied`, each with the next step as hint.
   */
  async probe(options: { namespace?: string; signal?: AbortSignal } = {}): Promise<void> {
    const limits = {
      deadlineMs: PROBE_MS,
      dialDeadlineMs: PROBE_MS,
      ...(options.signal ? { signal: options.signal } : {}),
    };
    if (options.namespace === undefined) {
      try {
        await this.#api.raw("/version", limits);
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 403)) throw error;
      }
    } else {
      await this.#api.list(
        "services",
        options.namespace,
        { fieldSelector: "metadata.name=czctl-probe" },
        () => undefined,
        limits,
      );
    }
  }

  /**
   * For `czctl` before it hands a session to svc: runs an exec plugin that may
   * ask the user, here, where there is a terminal, and returns its answer for
   * svc's `credential`. Undefined where nothing would ask. Throws CzctlError
   * `denied`.
   */
  async logIn(): Promise<HandedCredential | undefined> {
    return await this.#login.logIn();
  }

  /**
   * Logs in as `other`, which is the same cluster seen through the same
   * context and has just been answered, from now on; `other` is to be closed.
   */
  logInAs(other: Cluster): void {
    [this.#login, other.#login] = [other.#login, this.#login];
  }

  /** Asks for everything anew that is watched, when the cluster answers; waits for that answer. */
  reconnect(): Promise<void> {
    return this.#heartbeat.reconnect();
  }

  /** See `lookupWorkload`: not found with near matches, and what a missing right means. */
  lookupWorkload(query: WorkloadQuery, signal?: AbortSignal): Promise<FoundWorkload> {
    return lookupWorkload(this.#api, query, signal);
  }

  /** See `namespaceState`. */
  namespaceState(name: string): Promise<NamespaceState | undefined> {
    return namespaceState(this.#api, name);
  }

  /** See `rightsRefusal`. */
  rightsRefusal(
    namespaces: readonly string[],
    signal?: AbortSignal,
  ): Promise<CzctlError | undefined> {
    return rightsRefusal(this.#api, namespaces, signal);
  }

  /** See `portForwardAnswer`. */
  portForwardAnswer(namespace: string, signal?: AbortSignal): Promise<PortForwardAnswer> {
    return portForwardAnswer(this.#api, namespace, signal);
  }

  /** Names of a kind, for completion. Throws CzctlError. */
  listNames(kind: WorkloadKind, namespace: string, signal?: AbortSignal): Promise<string[]> {
    return listNames(this.#api, kind, namespace, signal);
  }

  /** Watches Services and what is behind them until closed. */
  discover(scope: DiscoverScope, listener: DiscoveryListener): Discovery {
    const discovery = discover(
      { api: this.#api, heartbeat: this.#heartbeat, clock: this.#clock, log: this.#log },
      scope,
      listener,
    );
    this.#discoveries.add(discovery);
    return discovery;
  }

  /** Ends every watch and connection made here. */
  async close(): Promise<void> {
    await Promise.all([...this.#discoveries].map((discovery) => discovery.close()));
    this.#discoveries.clear();
    this.#login.close();
    this.#http.close();
  }
}

async function clusterId(resolved: ResolvedContext): Promise<string> {
  const ca = await pem(resolved.cluster, "certificate-authority", resolved.clusterName);
  const hash = createHash("sha256");
  hash.update(serverText(resolved).toLowerCase());
  hash.update("\0");
  hash.update((ca ?? "").replace(/\s+/g, ""));
  return hash.digest("hex").slice(0, 16);
}
