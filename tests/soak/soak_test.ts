import assert from "node:assert/strict";
import { soak } from "./churn.ts";

/** Long enough for one round of everything the cluster does. */
const SHORT_MS = 25_000;

Deno.test({
  name: "half a minute of churn fails nothing that must work and leaves nothing open",
  // Mount namespaces are root's.
  ignore: Deno.uid() !== 0,
  fn: async () => {
    const said: string[] = [];
    try {
      const report = await soak(SHORT_MS, (text) => said.push(text));
      assert.ok((report.steps.restart ?? 0) >= 1, "every step was reached");
      assert.ok(Object.keys(report.done).length >= 14, "every kind of connection was made");
    } catch (error) {
      throw new Error(`${said.join("\n")}\n${error instanceof Error ? error.stack : error}`);
    }
  },
});
