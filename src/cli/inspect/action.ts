import { CzctlError } from "../../model/errors.ts";
import { isMacOs } from "../../platform/caller.ts";
import { startQuietly } from "../../platform/children.ts";
import type { CliContext } from "../context.ts";
import { controlClient } from "../control.ts";
import { NotRunning } from "../control_client.ts";

/** `czctl inspect`. The URL is always printed: the browser may be on another machine. */
export async function inspect(
  options: { readonly open: boolean },
  context: CliContext,
): Promise<void> {
  const { print } = context;
  const url = await inspectorUrl(context);
  if (print.format === "json") return print.json({ url });
  print.line(url);
  if (!options.open) return;
  const opener = openerFor(context.env);
  if (opener === undefined) return;
  if (!(await startQuietly(opener, [url]))) {
    print.note("Cannot open a browser here: open the URL above yourself");
  }
}

async function inspectorUrl(context: CliContext): Promise<string> {
  try {
    return await controlClient(context).inspect(context.signal);
  } catch (error) {
    if (!(error instanceof NotRunning)) throw error;
    throw new CzctlError("failed", "Cannot open the inspector: czfwd is not running", {
      hint: "Open a session first: czctl teleport KIND NAME, or czctl start",
    });
  }
}

/** The program that opens URLs on this desktop; undefined without a desktop. */
function openerFor(env: Readonly<Record<string, string>>): string | undefined {
  if (isMacOs()) return "open";
  return env.DISPLAY || env.WAYLAND_DISPLAY ? "xdg-open" : undefined;
}
