/** `deno task ok`: what to run before each commit; like `test` without the slow suites. */
import { runScript } from "./build_error.ts";
import { compileStep, staticChecks, type StepResult, suite, suites } from "./checks.ts";
import { sayStep, saySummary } from "./report.ts";

/** Suites that need the compiled binary, root or minutes. */
const SLOW = new Set(["e2e", "scale", "bench", "soak"]);

await runScript(async () => {
  const quick = (await suites()).filter((name) => !SLOW.has(name));
  const steps = [
    ...staticChecks(),
    compileStep,
    ...quick.map((name) => () => suite(name, 5 * 60_000)),
  ];
  const results: StepResult[] = [];
  for (const step of steps) {
    const result = await step();
    results.push(result);
    sayStep(result);
  }
  return saySummary(results);
});
