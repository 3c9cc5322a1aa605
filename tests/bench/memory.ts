/** Memory of all processes of a tool (sum of PSS), fresh and with connections open. */
import { type Cluster, scale, startCluster } from "../cluster/mod.ts";
import type { Kubectl } from "../cluster/kubectl.ts";
import { type Credentials, PORTS } from "./measures.ts";
import { pssMegabytes } from "./processes.ts";
import { CONTEXT, eachTool, type ToolRow, whileOpen } from "./rounds.ts";
import { Czctl } from "./tools.ts";

export const HELD = [1, 100, 1000] as const;
export const IDLE_SERVICES = 200;

export interface MemoryRow extends ToolRow {
  /** Connections open, each answered once. */
  readonly connections: number;
  readonly megabytes: number;
}

/** Both tools, started anew, with 1, 100 and 1,000 connections open. */
export function heldMemory(
  cluster: Cluster,
  program: Kubectl,
  credentials: Credentials,
): Promise<MemoryRow[]> {
  return eachTool(cluster, program, credentials, async (tool) => {
    const figures = [];
    for (const connections of HELD) {
      const megabytes = await whileOpen(
        tool.place(PORTS.echo),
        { load: "hold", connections },
        () => Promise.resolve(pssMegabytes(tool.pids())),
      );
      figures.push({ connections, megabytes });
    }
    return figures;
  });
}

/** czctl with 200 services that nobody uses. */
export async function idleMemory(): Promise<number> {
  await using cluster = await startCluster({
    fixtures: scale({ services: IDLE_SERVICES, pods: IDLE_SERVICES, namespace: "bench" }),
    lazyPods: true,
  });
  const tool = await Czctl.open(cluster, CONTEXT.token);
  try {
    // What opening needed may be let go of first.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    return pssMegabytes(tool.pids());
  } finally {
    await tool.close();
  }
}
