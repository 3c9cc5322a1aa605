import type { PlanOptions } from "../../src/session/plan.ts";

/** A session in the namespace `shop` that asks for nothing special. */
export const OPTIONS: PlanOptions = {
  ownNamespace: "shop",
  exclude: [],
  only: [],
  bareNames: true,
  clusterDomain: "cluster.local",
  domain: undefined,
  take: [],
};
