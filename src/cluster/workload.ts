import type { WorkloadKind } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import type { KubeObject } from "../model/objects.ts";
import { shellWord } from "../model/shell_word.ts";
import type { ApiClient, RawObject } from "./api_client.ts";
import { ApiError } from "./api_errors.ts";
import { didYouMean } from "./near_match.ts";
import { kindTitle, resourceOfKind } from "./resources.ts";

export interface WorkloadQuery {
  readonly kind: WorkloadKind;
  readonly name: string;
  /** Not used for kind `namespace`. */
  readonly namespace: string;
}

export interface FoundWorkload {
  /** Absent where reading it is forbidden but opening a session does not need it. */
  readonly object?: KubeObject;
  /** What could not be checked, in words. */
  readonly note?: string;
}

/**
 * Makes sure that a workload is there. Throws CzctlError `not_found` with near
 * matches, saying whether it is the namespace that does not exist. Where a
 * look is forbidden it goes on without: a namespace that may not be read is
 * taken for granted, a workload is (with a note), because tunnels need only
 * services and endpoints.
 */
export async function lookupWorkload(
  api: ApiClient,
  query: WorkloadQuery,
  signal?: AbortSignal,
): Promise<FoundWorkload> {
  const { kind, name, namespace } = query;
  if (kind === "namespace") return await lookupNamespace(api, name, signal);
  const resource = resourceOfKind(kind);
  const limits = signal ? { signal } : {};
  try {
    return { object: await api.get(resource, namespace, name, limits) };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 403) {
      // A list may be allowed where a get is not.
      const names = await namesOrUndefined(api, kind, namespace, signal);
      if (names?.includes(name)) return {};
      if (names) throw notFound(api, query, names);
      return { note: `May not read ${resource} in namespace "${namespace}": taken as it is` };
    }
    if (error.status !== 404) throw error;
  }
  await lookupNamespace(api, namespace, signal);
  throw notFound(api, query, await namesOrUndefined(api, kind, namespace, signal) ?? []);
}

async function lookupNamespace(
  api: ApiClient,
  name: string,
  signal?: AbortSignal,
): Promise<FoundWorkload> {
  try {
    return { object: await api.get("namespaces", undefined, name, signal ? { signal } : {}) };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 403) return {};
    if (error.status !== 404) throw error;
  }
  const names = await namesOrUndefined(api, "namespace", "", signal) ?? [];
  const [first, ...more] = name.split(",").filter((part) => part !== "");
  throw new CzctlError("not_found", `Namespace "${name}" not found${didYouMean(name, names)}`, {
    // kubefwd takes a list.
    hint: first !== undefined && more.length > 0
      ? `Several are named like this: ${
        [`-n ${shellWord(first)}`, ...more.map((part) => `-a ${shellWord(part)}`)].join(" ")
      }`
      : `See: ${api.label.kubectl} get namespaces`,
  });
}

function notFound(api: ApiClient, query: WorkloadQuery, names: readonly string[]): CzctlError {
  const { kind, name, namespace } = query;
  return new CzctlError(
    "not_found",
    `${kindTitle(kind)} "${name}" not found in namespace "${namespace}"${didYouMean(name, names)}`,
    { hint: `See: ${api.label.kubectl} -n ${shellWord(namespace)} get ${resourceOfKind(kind)}` },
  );
}

/** Names of a kind, sorted; for near matches and completion. Throws as `ApiClient.list` does. */
export async function listNames(
  api: ApiClient,
  kind: WorkloadKind,
  namespace: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const listed = await api.list(
    resourceOfKind(kind),
    kind === "namespace" ? undefined : namespace,
    {},
    (object: RawObject) => object.metadata.name as string,
    signal ? { signal } : {},
  );
  return listed.items.sort();
}

async function namesOrUndefined(
  api: ApiClient,
  kind: WorkloadKind,
  namespace: string,
  signal?: AbortSignal,
): Promise<string[] | undefined> {
  try {
    return await listNames(api, kind, namespace, signal);
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}
