import { CzctlError } from "../model/errors.ts";
import type { WorkloadKind } from "../model/control.ts";
import { didYouMean } from "../cluster/near_match.ts";

/** Kinds with kubectl's plural and short names (`kubectl api-resources`). */
export const KINDS: Readonly<Record<WorkloadKind, readonly string[]>> = {
  namespace: ["namespaces", "ns"],
  deployment: ["deployments", "deploy"],
  statefulset: ["statefulsets", "sts"],
  daemonset: ["daemonsets", "ds"],
  replicaset: ["replicasets", "rs"],
  job: ["jobs"],
  cronjob: ["cronjobs", "cj"],
  pod: ["pods", "po"],
  service: ["services", "svc"],
};

const BY_NAME = new Map<string, WorkloadKind>(
  Object.entries(KINDS).flatMap(([kind, others]) =>
    [kind, ...others].map((name) => [name, kind as WorkloadKind] as const)
  ),
);

/** The kind a word means, in any case and with an API group as kubectl prints it (`deployment.apps`). */
export function kindOf(word: string): WorkloadKind | undefined {
  return BY_NAME.get(word.toLowerCase().replace(/\.(v\d\w*\.)?(apps|batch)$/, ""));
}

export interface WorkloadArguments {
  readonly kind: WorkloadKind;
  readonly name: string;
  /** Operands behind the workload. */
  readonly rest: readonly string[];
}

/**
 * Reads `KIND NAME` or `KIND/NAME` from the operands of a command.
 * Throws CzctlError `usage`.
 */
export function parseWorkload(operands: readonly string[], command: string): WorkloadArguments {
  const [first, second, ...others] = operands;
  if (first === undefined) {
    throw usage(
      `Cannot ${command === "environment" ? "read an environment" : command}: no workload is named`,
      command,
    );
  }
  const slash = first.indexOf("/");
  const word = slash === -1 ? first : first.slice(0, slash);
  const kind = kindOf(word);
  if (kind === undefined) {
    const message = `Unknown kind "${word}"${didYouMean(word, BY_NAME.keys())}`;
    if (slash !== -1 || second !== undefined || !NAME.test(word)) {
      throw new CzctlError("usage", message, {
        hint:
          `Like this: czctl ${command} deployment NAME -n NAMESPACE; for pods of another kind: czctl ${command} service NAME, or pod NAME`,
      });
    }
    // A name alone: most often a workload's, or for tunnels alone a namespace's.
    const whole = command === "environment" ? "" : `, or czctl ${command} namespace ${word}`;
    throw new CzctlError("usage", message, {
      hint: `Like this: czctl ${command} deployment ${word} -n NAMESPACE${whole}`,
    });
  }
  if (slash !== -1) {
    const name = checkName(first.slice(slash + 1), first, command, kind);
    return { kind, name, rest: second === undefined ? [] : [second, ...others] };
  }
  if (second === undefined) {
    const of = command === "environment" ? "read the environment of" : command;
    throw usage(`Cannot ${of} a ${kind}: no name is given`, command, "NAME", kind);
  }
  return { kind, name: checkName(second, second, command, kind), rest: others };
}

/** DNS subdomain (RFC 1123), which every workload's name is; the API server checks the rest. */
const NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

function checkName(name: string, typed: string, command: string, kind: WorkloadKind): string {
  if (NAME.test(name)) return name;
  throw usage(`Not a name of Kubernetes: "${typed}"`, command, "NAME", kind);
}

function usage(
  message: string,
  command: string,
  name = "NAME",
  kind: WorkloadKind = "deployment",
): CzctlError {
  const where = kind === "namespace" ? "" : " -n NAMESPACE";
  return new CzctlError("usage", message, {
    hint: `Like this: czctl ${command} ${kind} ${name}${where}; see czctl ${command} --help`,
  });
}
