import type { StepResult } from "./checks.ts";

const encoder = new TextEncoder();

/** Prints one line to standard output. */
export function say(text = ""): void {
  const bytes = encoder.encode(`${text}\n`);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

/** One line per step; all it printed as well when it failed. */
export function sayStep(step: StepResult): void {
  const mark = step.failed === 0 ? "ok    " : "FAILED";
  const counts = [`${step.passed} passed`, `${step.failed} failed`];
  if (step.skipped.length > 0) counts.push(`${step.skipped.length} skipped`);
  say(`${mark} ${step.name.padEnd(15)} ${counts.join(", ")}  (${step.seconds.toFixed(1)} s)`);
  if (step.failed > 0) say(indent(step.output));
}

/** What was skipped, by name, then the totals as the very last line. Returns the exit code. */
export function saySummary(
  steps: readonly StepResult[],
  again: readonly string[] = [],
): number {
  const skipped = steps.flatMap((step) => step.skipped.map((name) => `${step.name}: ${name}`));
  if (skipped.length > 0) {
    say();
    say(
      Deno.uid() === 0
        ? "Skipped (they need a program that is not installed here):"
        : "Skipped (they need root, or a program that is not installed here):",
    );
    for (const name of skipped) say(`  ${name}`);
  }
  const unsteady = again.filter((name) => steps.some((s) => s.name === name && s.failed === 0));
  if (unsteady.length > 0) {
    say();
    say(`Unsteady (failed once, passed when run again by themselves): ${unsteady.join(", ")}`);
  }
  const failedSteps = steps.filter((step) => step.failed > 0).map((step) => step.name);
  if (failedSteps.length > 0) {
    say();
    say(`Failed: ${failedSteps.join(", ")}`);
  }
  const sum = (of: (step: StepResult) => number) => steps.reduce((all, s) => all + of(s), 0);
  const failed = sum((step) => step.failed);
  say();
  say(
    `${sum((step) => step.passed)} passed, ${failed} failed` +
      (skipped.length > 0 ? `, ${skipped.length} skipped` : ""),
  );
  return failed === 0 ? 0 : 1;
}

function indent(text: string): string {
  return text.trimEnd().split("\n").map((line) => `    ${line}`).join("\n");
}
