import { buildInfo } from "../../platform/build_info.ts";
import type { CliContext } from "../context.ts";

/** Prints what this program was built from. */
export function showVersion({ print }: CliContext): void {
  const info = buildInfo();
  if (print.format === "json") return print.json(info);
  print.line(`czctl ${info.version} (${info.commit})`);
  print.line(`Deno ${info.deno}, ${info.target}`);
}
