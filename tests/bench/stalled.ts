/** What a program that reads nothing costs the other connections of its service. */
import type { Cluster } from "../cluster/mod.ts";
import type { Kubectl } from "../cluster/kubectl.ts";
import { type Credentials, PORTS } from "./measures.ts";
import { eachTool, runLoad, settled, type ToolRow, whileOpen } from "./rounds.ts";
import { median } from "./table.ts";

export const DOWNLOADS = [1, 8] as const;
/** Share of the throughput that must be left. */
export const SHARE_GOAL = 0.9;
const ROUNDS = 5;
const WINDOW_MS = 800;
/** Until whatever is on the way to the program that reads nothing is full, in ms. */
const FILL_MS = 1500;

export interface StalledRow extends ToolRow {
  /** Downloads at once. */
  readonly connections: number;
  /** MB/s */
  readonly alone: number;
  readonly beside: number;
}

/** Both tools, started anew: downloads alone and beside a stalled program of the same service, in turn. */
export function stalledPrograms(
  cluster: Cluster,
  program: Kubectl,
  credentials: Credentials,
): Promise<StalledRow[]> {
  return eachTool(cluster, program, credentials, async (tool) => {
    const figures = [];
    const place = tool.place(PORTS.source);
    for (const connections of DOWNLOADS) {
      const speed = () =>
        runLoad({ place, load: { load: "download", connections }, ms: WINDOW_MS })
          .then(({ amount, seconds }) => amount / seconds / 1e6)
          // Not a byte: that is what is measured.
          .catch(() => 0);
      const alone: number[] = [];
      const beside: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        await settled(cluster);
        alone.push(await speed());
        await settled(cluster);
        beside.push(
          await whileOpen(place, { load: "stall" }, async () => {
            await new Promise((resolve) => setTimeout(resolve, FILL_MS));
            return await speed();
          }),
        );
        // Nothing passes kubectl any more: once says it.
        if (beside.at(-1) === 0) break;
      }
      figures.push({ connections, alone: median(alone), beside: median(beside) });
      if (beside.at(-1) === 0) break;
    }
    return figures;
  });
}
