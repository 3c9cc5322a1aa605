/** `deno task soak [-- --minutes N]`: minutes of churn against the compiled binary, looking for leaks. */
import { parseArgs } from "node:util";
import { compile } from "../../scripts/compile.ts";
import { soak } from "./churn.ts";

const { values } = parseArgs({
  args: Deno.args.filter((one, index) => !(index === 0 && one === "--")),
  options: {
    minutes: { type: "string", default: "5" },
    "no-compile": { type: "boolean", default: false },
  },
});

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

if (Deno.uid() !== 0) {
  say("The soak needs root, for a mount namespace of its own");
  Deno.exit(2);
}
if (!values["no-compile"]) await compile({ note: say });
const report = await soak(Number(values.minutes) * 60_000, say);
say(JSON.stringify(report, undefined, 2));
