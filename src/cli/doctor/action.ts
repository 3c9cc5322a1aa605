import { EXIT } from "../../model/errors.ts";
import type { Finding } from "../../session/doctor.ts";
import type { CliContext } from "../context.ts";
import { defined } from "../options.ts";
import { columns, count, plain } from "../text.ts";

/** `czctl doctor [--fix]`; exit code 1 when a problem is left. */
export async function doctor(
  options: {
    readonly fix?: true | undefined;
    readonly kubeconfig?: string | undefined;
    readonly context?: string | undefined;
  },
  context: CliContext,
): Promise<number> {
  const { print, signal } = context;
  const { runDoctor } = await import("../../session/doctor.ts");
  print.progress("Looking around");
  const findings = await runDoctor({
    paths: context.paths(),
    fix: options.fix === true,
    cluster: defined({ kubeconfig: options.kubeconfig, context: options.context }),
    signal,
  });
  const problems = findings.filter((finding) => finding.state === "problem").length;
  if (print.format === "json") print.json({ findings });
  else for (const line of findingLines(findings)) print.line(line);
  return problems === 0 ? EXIT.done : EXIT.failed;
}

/** One line per finding, its mend of one or more lines below it, and a sum at the end. */
export function findingLines(findings: readonly Finding[]): string[] {
  const mark = { ok: "ok", warning: "!", problem: "!!", fixed: "fixed" };
  const table = columns(
    findings.map((finding) => [mark[finding.state], finding.subject, finding.text].map(plain)),
  );
  const lines = findings.flatMap((finding, at) => {
    const mend = finding.state === "ok" ? [] : (finding.mend?.split("\n") ?? []);
    return [
      table[at]!,
      ...mend.map((line, at) => `       ${at === 0 ? "mend:" : "     "} ${plain(line)}`),
    ];
  });
  const problems = findings.filter((finding) => finding.state === "problem").length;
  const warnings = findings.filter((finding) => finding.state === "warning").length;
  if (problems + warnings === 0) return [...lines, "Nothing is wrong"];
  return [...lines, `${count(problems, "problem")}, ${count(warnings, "warning")}`];
}
