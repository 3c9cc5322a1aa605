/** A far-away cluster: what a new connection costs in round trips. */
import type { Cluster } from "../cluster/mod.ts";
import type { Kubectl } from "../cluster/kubectl.ts";
import { type Credentials, PORTS } from "./measures.ts";
import { eachTool, runLoad, type ToolRow } from "./rounds.ts";
import { median } from "./table.ts";

/** Each way, in ms. */
export const DELAY_MS = 50;
const COUNT = 12;
/** Round trips of a new connection and its first answer, after the first one. */
export const FAR_GOAL = 1.2;

export interface FarRow extends ToolRow {
  /** The first connection, for which the link is made, and the median of those after it. */
  readonly first: number;
  readonly later: number;
}

export async function farAway(
  cluster: Cluster,
  program: Kubectl,
  credentials: Credentials,
): Promise<FarRow[]> {
  await cluster.control.delay({ ms: DELAY_MS });
  try {
    return await eachTool(cluster, program, credentials, async (tool) => {
      const { times } = await runLoad({
        place: tool.place(PORTS.echo),
        load: { load: "sequence", count: COUNT },
      });
      const trips = times!.map((ms) => ms / (2 * DELAY_MS));
      return [{ first: trips[0]!, later: median(trips.slice(1)) }];
    });
  } finally {
    await cluster.control.delay({ ms: 0 });
  }
}
