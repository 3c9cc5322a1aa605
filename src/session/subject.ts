import { resolve } from "node:path";
import type { TeleportRequest, WorkloadRef } from "../model/control.ts";
import type { Clock } from "../model/clock.ts";
import { CzctlError } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import { type Cluster, openCluster } from "../cluster/cluster.ts";
import { checkDomains } from "./domains.ts";
import type { PlanOptions } from "./plan.ts";

/** What tells two sessions apart: the same workload of the same cluster is the same session. */
export interface SessionIdentity {
  readonly clusterId: string;
  readonly workload: WorkloadRef;
  readonly domain: string;
}

/** What a request turned out to be about. Whoever has it closes the cluster. */
export interface SessionSubject {
  readonly identity: SessionIdentity;
  readonly cluster: Cluster;
  /** The workload's own first, then those named with `-a`. */
  readonly namespaces: readonly string[] | "all";
  readonly notes: readonly string[];
}

/**
 * Finds the cluster and the workload; nothing is changed. Throws CzctlError
 * for whatever is wrong with the kubeconfig, the cluster, the rights or the names.
 */
export async function lookUp(
  request: TeleportRequest,
  deps: { readonly home: string; readonly log: Logger; readonly clock: Clock },
  signal: AbortSignal,
): Promise<SessionSubject> {
  checkDomains(request);
  const cluster = await openCluster({
    ...(request.kubeconfig === undefined ? {} : { kubeconfig: request.kubeconfig }),
    ...(request.context === undefined ? {} : { context: request.context }),
    env: { ...request.env },
    cwd: request.cwd,
    home: request.env["HOME"] ?? deps.home,
    log: deps.log,
    clock: deps.clock,
    ...(request.credential === undefined ? {} : { credential: request.credential }),
  });
  try {
    await cluster.probe({ signal });
    const namespace = request.kind === "namespace"
      ? request.name
      : request.namespace ?? cluster.namespace;
    const workload = { kind: request.kind, name: request.name, namespace };
    const { note } = await lookUpWorkload(cluster, workload, request.namespace, signal);
    const additional = request.additional ?? [];
    for (const extra of additional) {
      await cluster.lookupWorkload({ kind: "namespace", name: extra, namespace: extra }, signal);
    }
    return {
      identity: { clusterId: cluster.id, workload, domain: request.domain ?? "" },
      cluster,
      namespaces: request.allNamespaces ? "all" : [...new Set([namespace, ...additional])],
      notes: note === undefined ? [] : [note],
    };
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

/**
 * Whether the workload is there. Where no namespace was named, a forgotten
 * `-n` is the likeliest reason that it is not. Throws CzctlError.
 */
export async function lookUpWorkload(
  cluster: Cluster,
  workload: WorkloadRef,
  named: string | undefined,
  signal: AbortSignal,
): Promise<{ note?: string }> {
  try {
    return await cluster.lookupWorkload(workload, signal);
  } catch (error) {
    const unnamed = workload.kind !== "namespace" && named === undefined;
    if (!(error instanceof CzctlError) || error.code !== "not_found" || !unnamed) throw error;
    throw new CzctlError(error.code, error.message, {
      hint: `That is the context's namespace; for another one add -n NAMESPACE. ${error.hint ?? ""}`
        .trim(),
      cause: error,
    });
  }
}

/** The workload's own namespace first, then those named with `-a`. */
export function namedNamespaces({ namespaces, identity }: SessionSubject): readonly string[] {
  return namespaces === "all" ? [identity.workload.namespace] : namespaces;
}

/** What the request asks of the plan. */
export function planOptions(request: TeleportRequest, identity: SessionIdentity): PlanOptions {
  return {
    ownNamespace: identity.workload.namespace,
    exclude: request.exclude ?? [],
    only: request.only ?? [],
    bareNames: request.shortNames ?? true,
    clusterDomain: request.clusterDomain ?? "cluster.local",
    domain: request.domain,
    take: request.take ?? [],
  };
}

/** Which kubeconfig the session was opened with, so that another folder or terminal finds it. */
export function kubeconfigOf(
  { kubeconfig, env, cwd }: TeleportRequest,
): { kubeconfig?: string } {
  const typed = kubeconfig === undefined ? env["KUBECONFIG"]?.split(":") ?? [] : [kubeconfig];
  const files = typed.filter((file) => file !== "").map((file) => resolve(cwd, file));
  return files.length === 0 ? {} : { kubeconfig: files.join(":") };
}
