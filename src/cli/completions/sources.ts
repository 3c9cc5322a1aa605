import type { WorkloadKind } from "../../model/control.ts";
import { silentLogger } from "../../model/log.ts";
import { systemClock } from "../../platform/clock.ts";
import type { CliContext } from "../context.ts";
import { controlClient, ifRunning, workloadName } from "../control.ts";
import { defined } from "../options.ts";
import type { Candidate, Typed } from "./complete.ts";

/** A shell waits for this with the prompt frozen, in ms. */
const CLUSTER_MS = 3_000;

/** Where candidates come from that are not in the program itself. */
export interface Sources {
  namespaces(): Promise<Candidate[]>;
  contexts(): Promise<Candidate[]>;
  names(kind: WorkloadKind): Promise<Candidate[]>;
  sessions(): Promise<Candidate[]>;
}

/** The cluster that the line so far means, and the sessions of this machine. */
export function clusterSources(typed: Typed, context: CliContext): Sources {
  const { env, cwd } = context;
  const home = env.HOME ?? "/";
  const kubeconfig = typed.values.get("--kubeconfig");
  const names = async (kind: WorkloadKind) => {
    const { openCluster } = await import("../../cluster/cluster.ts");
    const cluster = await openCluster({
      ...defined({ kubeconfig, context: typed.values.get("--context") }),
      env,
      cwd,
      home,
      log: silentLogger,
      clock: systemClock,
    });
    try {
      const namespace = typed.values.get("--namespace") ?? cluster.namespace;
      const found = await cluster.listNames(kind, namespace, AbortSignal.timeout(CLUSTER_MS));
      return found.map((value) => ({ value }));
    } finally {
      await cluster.close();
    }
  };
  return {
    names,
    namespaces: () => names("namespace"),
    async contexts() {
      const { loadKubeconfig } = await import("../../cluster/kubeconfig.ts");
      const config = await loadKubeconfig({
        ...(kubeconfig === undefined ? {} : { explicit: kubeconfig }),
        env,
        cwd,
        home,
      });
      return [...config.contexts].map(([value, { cluster }]) => ({
        value,
        ...defined({ description: cluster }),
      }));
    },
    async sessions() {
      const sessions = await ifRunning(() => controlClient(context).sessions());
      return (sessions ?? []).map((session) => ({
        value: session.id,
        description: workloadName(session),
      }));
    },
  };
}
