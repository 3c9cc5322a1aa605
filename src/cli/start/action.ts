import { systemClock } from "../../platform/clock.ts";
import type { CliContext } from "../context.ts";
import { controlClient } from "../control.ts";

/** `czctl start`: elevates once, then starts svc so that it stays. */
export async function start(
  _options: { readonly prefix?: string | undefined },
  context: CliContext,
): Promise<void> {
  const { print, signal } = context;
  const { ensureSvc } = await import("../../session/launch.ts");
  await ensureSvc({ paths: context.paths(), resident: true, clock: systemClock });
  const status = await controlClient(context).connect(signal);
  if (print.format === "json") return print.json(status);
  print.step("czfwd", `running, pid ${status.pid}`);
}
