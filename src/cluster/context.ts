import { CzctlError } from "../model/errors.ts";
import { readUserFile } from "../platform/user_files.ts";
import { kubectlFor } from "./kubectl.ts";
import type { ClusterEntry, Kubeconfig, KubeconfigPlace, UserEntry } from "./kubeconfig.ts";
import { didYouMean } from "./near_match.ts";

/** One context of a kubeconfig with what it refers to. */
export interface ResolvedContext {
  readonly context: string;
  readonly namespace: string;
  readonly cluster: ClusterEntry & { readonly server: string };
  readonly user: UserEntry;
  /** Name of the user entry, for messages. */
  readonly userName: string;
  readonly clusterName: string;
  /** How a kubectl command about it begins. */
  readonly kubectl: string;
}

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * Picks the context. Throws CzctlError `failed`: no kubeconfig, no or unknown
 * context, a context without cluster, a cluster without server.
 */
export async function resolveContext(
  config: Kubeconfig,
  wanted: string | undefined,
  place: KubeconfigPlace,
): Promise<ResolvedContext> {
  const name = wanted ?? config.currentContext;
  if (config.contexts.size === 0 && wanted === undefined && !config.currentContext) {
    const inside = await inCluster(place.env);
    if (inside) return inside;
    throw noKubeconfig(config, place);
  }
  const known = [...config.contexts.keys()];
  if (name === undefined) {
    throw new CzctlError("failed", "Cannot choose a context: the kubeconfig has no current one", {
      hint: known.length > 0
        ? `Name one with --context: ${listed(known)}`
        : `Add a context: ${
          kubectlFor(config, undefined, place)
        } config set-context NAME --cluster=... --user=...`,
    });
  }
  const context = config.contexts.get(name);
  if (!context) {
    const what = wanted === undefined ? `current context "${name}"` : `context "${name}"`;
    throw new CzctlError(
      "failed",
      `Cannot use the ${what}: the kubeconfig has none of that name${didYouMean(name, known)}`,
      { hint: known.length > 0 ? `Contexts: ${listed(known)}` : "The kubeconfig has no contexts" },
    );
  }
  const kubectl = kubectlFor(config, name, place);
  const mend = `See: ${kubectl} config view`;
  if (!context.cluster) {
    throw new CzctlError("failed", `Cannot use the context "${name}": it names no cluster`, {
      hint: mend,
    });
  }
  const cluster = config.clusters.get(context.cluster);
  if (!cluster) {
    throw new CzctlError(
      "failed",
      `Cannot use the context "${name}": its cluster "${context.cluster}" is not in the kubeconfig${
        didYouMean(context.cluster, config.clusters.keys())
      }`,
      { hint: mend },
    );
  }
  if (!cluster.server) {
    throw new CzctlError(
      "failed",
      `Cannot use the context "${name}": its cluster "${context.cluster}" has no server`,
      { hint: mend },
    );
  }
  const user = context.user ? config.users.get(context.user) : {};
  if (!user) {
    throw new CzctlError(
      "failed",
      `Cannot use the context "${name}": its user "${context.user}" is not in the kubeconfig${
        didYouMean(context.user!, config.users.keys())
      }`,
      { hint: mend },
    );
  }
  return {
    context: name,
    namespace: context.namespace || await podNamespace(place.env) || "default",
    cluster: { ...cluster, server: cluster.server },
    user,
    userName: context.user ?? "",
    clusterName: context.cluster,
    kubectl,
  };
}

function noKubeconfig(config: Kubeconfig, place: KubeconfigPlace): CzctlError {
  const [first] = config.files;
  if (first !== undefined) {
    return new CzctlError(
      "failed",
      `Cannot choose a context: the kubeconfig "${first}" holds none`,
      { hint: "Name another file with --kubeconfig FILE" },
    );
  }
  const looked = config.missing.map((file) => `"${file}"`).join(", ");
  const from = place.env.KUBECONFIG ? " (from KUBECONFIG)" : "";
  return new CzctlError("failed", `Cannot find a kubeconfig: ${looked}${from} does not exist`, {
    hint: "Name one with --kubeconfig FILE or KUBECONFIG",
  });
}

/** The service account of the pod czctl runs in, if it runs in one. */
async function inCluster(
  env: Readonly<Record<string, string>>,
): Promise<ResolvedContext | undefined> {
  const pod = await insidePod(env);
  if (!pod) return undefined;
  const { folder, host, port } = pod;
  return {
    context: "in-cluster",
    namespace: await podNamespace(env) ?? "default",
    cluster: {
      server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
      "certificate-authority": `${folder}/ca.crt`,
    },
    user: { tokenFile: `${folder}/token` },
    userName: "service account",
    clusterName: "in-cluster",
    // Inside a pod kubectl finds the same account.
    kubectl: "kubectl",
  };
}

/**
 * The namespace of the pod czctl runs in. As in client-go it is also that of
 * a kubeconfig's context which names none.
 */
async function podNamespace(env: Readonly<Record<string, string>>): Promise<string | undefined> {
  const pod = await insidePod(env);
  if (!pod) return undefined;
  if (env.POD_NAMESPACE) return env.POD_NAMESPACE;
  const namespace = await readUserFile(`${pod.folder}/namespace`);
  return "text" in namespace && namespace.text.trim() || undefined;
}

async function insidePod(env: Readonly<Record<string, string>>) {
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT;
  if (!host || !port) return undefined;
  // The folder can be moved so that this can be tried outside a pod.
  const folder = env.CZCTL_SERVICE_ACCOUNT_DIR ?? SERVICE_ACCOUNT;
  const token = await readUserFile(`${folder}/token`);
  return "problem" in token ? undefined : { folder, host, port };
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 10).join(", ");
  return names.length > 10 ? `${shown} and ${names.length - 10} more` : shown;
}
