import type { EnvFormat, WorkloadKind, WorkloadRef } from "../model/control.ts";

export interface WorkloadEnvironmentRequest {
  readonly kind: WorkloadKind;
  readonly name: string;
  /** Default: the context's. */
  readonly namespace?: string;
  /** The value of `--kubeconfig`, as typed. */
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly container?: string;
  /** Where and with what environment the command was typed. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Local address of a service, where a session has it; else its variables keep the cluster's. */
  readonly serviceAddress?: (namespace: string, service: string) => string | undefined;
  readonly signal: AbortSignal;
}

export interface WorkloadEnvironment {
  readonly variables: ReadonlyMap<string, string>;
  readonly notes: readonly string[];
  readonly workload: WorkloadRef;
}

/** Placeholder: the environment of a workload's container, read once. Throws CzctlError. */
export function workloadEnvironment(
  _request: WorkloadEnvironmentRequest,
): Promise<WorkloadEnvironment> {
  throw new Error("Reading an environment is not built yet");
}

export interface RenderedVariables {
  readonly bytes: Uint8Array;
  readonly variables: number;
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[];
}

/** Placeholder: variables in one of the formats. Throws CzctlError for a value it cannot hold. */
export function renderVariables(
  _variables: ReadonlyMap<string, string>,
  _format: EnvFormat,
  _options: { readonly exportVariables?: boolean },
): RenderedVariables {
  throw new Error("Rendering an environment is not built yet");
}

/** Placeholder: writes a file (0600, in one step); refuses one that czctl did not write, unless forced. */
export function writeEnvironmentFile(
  _path: string,
  _bytes: Uint8Array,
  _options: { readonly force: boolean },
): Promise<void> {
  throw new Error("Writing an environment is not built yet");
}
