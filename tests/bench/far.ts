/** A far-away cluster: what a new connection costs in round trips. */
import type { Cluster } from "../cluster/mod.ts";
import type { Kubectl } from "../cluster/kubectl.ts";
import { type Credentials, PORTS } from "./measures.ts";
import { CONTEXT, runLoad } from "./rounds.ts";
import { Czctl, kubectl, type Tool } from "./tools.ts";

/** Each way, in ms. */
export const DELAY_MS = 50;
const COUNT = 12;
/** Round trips of a new connection and its first answer, after the first one. */
export const FAR_GOAL = 1.2;

export interface FarRow {
  readonly tool: Tool["name"];
  readonly credentials: Credentials;
  /** The first connection, for which the link is made, and the median of those after it. */
  readonly first: number;
  readonly later: number;
}

export async function farAway(
  cluster: Cluster,
  program: Kubectl,
  credentials: Credentials,
): Promise<FarRow[]> {
  const rows: FarRow[] = [];
  const context = CONTEXT[credentials];
  await cluster.control.delay({ ms: DELAY_MS });
  try {
    for (
      const open of [
        () => kubectl(cluster, program, context, Object.values(PORTS)),
        () => Czctl.open(cluster, context),
      ]
    ) {
      const tool = await open();
      try {
        const { times } = await runLoad({
          place: tool.place(PORTS.echo),
          load: { load: "sequence", count: COUNT },
        });
        const trips = times!.map((ms) => ms / (2 * DELAY_MS));
        const later = trips.slice(1).sort((a, b) => a - b);
        rows.push({
          tool: tool.name,
          credentials,
          first: trips[0]!,
          later: later[Math.floor(later.length / 2)]!,
        });
      } finally {
        await tool.close();
      }
    }
  } finally {
    await cluster.control.delay({ ms: 0 });
  }
  return rows;
}
