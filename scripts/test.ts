/**
 * `deno task test`: everything CI runs. `deno task test SUITE ...` runs only
 * these folders of tests/. The last line is `N passed, N failed`.
 *
 * A suite that fails is run once more by itself at the end: real sockets and
 * processes on a busy machine can miss a deadline. One that passes then is
 * named as unsteady, with what it printed the first time; it wants mending.
 */
import { runScript } from "./build_error.ts";
import { compileStep, staticChecks, type StepResult, suite, suites } from "./checks.ts";
import { sayStep, saySummary } from "./report.ts";

/** Suites that load the machine or look at all of it: one at a time, after the others. */
const ALONE = new Set(["e2e", "scale", "bench", "soak"]);
/** The longest begin first, so that none is left over alone at the end. */
const LONG = ["hosts", "tunnel", "cluster", "cluster_client", "property"];
/** How many of the other suites run at once: on two cores, because all of them wait a good deal. */
const AT_ONCE = 3;
const SUITE_LIMIT_MS = 20 * 60_000;

await runScript(async () => {
  const all = await suites();
  const unknown = Deno.args.filter((name) => !all.includes(name));
  if (unknown.length > 0) {
    Deno.stderr.writeSync(
      new TextEncoder().encode(`No such suite: ${unknown.join(", ")}; have: ${all.join(", ")}\n`),
    );
    return 2;
  }
  const wanted = Deno.args.length > 0 ? Deno.args : all;
  const results: StepResult[] = [];
  const again: string[] = [];
  const run = async (step: () => Promise<StepResult>) => {
    const result = await step();
    results.push(result);
    sayStep(result);
  };
  const runSuite = async (name: string) => {
    const result = await suite(name, SUITE_LIMIT_MS);
    sayStep(result);
    if (result.failed === 0) results.push(result);
    else again.push(name);
  };
  if (Deno.args.length === 0) {
    for (const step of staticChecks()) await run(step);
  }
  await run(compileStep);
  const others = wanted.filter((name) => !ALONE.has(name));
  const queue = [
    ...LONG.filter((name) => others.includes(name)),
    ...others.filter((name) => !LONG.includes(name)),
  ];
  const worker = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const next = name;
      await runSuite(next);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  for (const name of wanted.filter((name) => ALONE.has(name))) {
    await runSuite(name);
  }
  for (const name of again) await run(() => suite(name, SUITE_LIMIT_MS));
  return saySummary(results, again);
});
