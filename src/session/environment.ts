import type { EnvFormat, WorkloadKind, WorkloadRef } from "../model/control.ts";
import { type Logger, silentLogger } from "../model/log.ts";
import { systemClock } from "../platform/clock.ts";
import { openCluster } from "../cluster/cluster.ts";
import { computeEnvironment } from "../envfile/compute.ts";
import { EnvFile } from "../envfile/file.ts";
import { lookUpWorkload } from "./subject.ts";
import { type RenderedEnvironment, renderEnvironment } from "../envfile/render.ts";

export interface WorkloadEnvironmentOptions {
  readonly kind: WorkloadKind;
  readonly name: string;
  readonly namespace?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly container?: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** The local address of a service of the cluster at `server` (its URL), where a session has it. */
  readonly serviceAddress?:
    | ((server: string, namespace: string, service: string) => string | undefined)
    | undefined;
  readonly log?: Logger;
  /** False where an exec plugin cannot ask the user: standard input is not a terminal. */
  readonly interactive: boolean;
  readonly signal: AbortSignal;
}

/**
 * A workload's environment, without a session. Throws CzctlError for whatever
 * is wrong with the kubeconfig, the cluster, the rights or the names.
 */
export async function workloadEnvironment(
  options: WorkloadEnvironmentOptions,
): Promise<
  { variables: ReadonlyMap<string, string>; notes: readonly string[]; workload: WorkloadRef }
> {
  const log = options.log ?? silentLogger;
  const cluster = await openCluster({
    ...(options.kubeconfig === undefined ? {} : { kubeconfig: options.kubeconfig }),
    ...(options.context === undefined ? {} : { context: options.context }),
    env: { ...options.env },
    cwd: options.cwd,
    home: options.env["HOME"] ?? "/",
    log,
    clock: systemClock,
    interactive: options.interactive,
  });
  try {
    await cluster.probe({ signal: options.signal });
    const namespace = options.namespace ?? cluster.namespace;
    const workload = { kind: options.kind, name: options.name, namespace };
    await lookUpWorkload(cluster, workload, options.namespace, options.signal);
    const { serviceAddress } = options;
    const found = await computeEnvironment({
      objects: cluster.objects,
      workload,
      ...(options.container === undefined ? {} : { container: options.container }),
      ...(serviceAddress === undefined ? {} : {
        serviceAddress: (service: string) => serviceAddress(cluster.server, namespace, service),
      }),
      log,
      signal: options.signal,
    });
    return { variables: found.variables, notes: found.notes, workload };
  } catch (error) {
    // Ctrl-C ends a plugin as well, and that is not why.
    options.signal.throwIfAborted();
    throw error;
  } finally {
    await cluster.close();
  }
}

/** The variables in a format; see the env file room. Throws CzctlError `failed` for a value it cannot hold. */
export function renderVariables(
  variables: ReadonlyMap<string, string>,
  format: EnvFormat,
  options: { exportVariables?: boolean } = {},
): RenderedEnvironment {
  return renderEnvironment(variables, format, options);
}

/** Writes a file that then belongs to the user. Throws CzctlError `failed`; nothing half written is left. */
export async function writeEnvironmentFile(
  path: string,
  bytes: Uint8Array,
  options: { force: boolean },
): Promise<void> {
  const file = await EnvFile.claim(path, {
    cwd: "/",
    force: options.force,
    // Nothing is kept of a file that was written once, so who wrote it is not known.
    taken: "the file exists already",
    // Asked for again, with nothing changed since.
    contents: bytes,
  });
  await file.write(bytes);
}
