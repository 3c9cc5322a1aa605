import { EXIT } from "../../model/errors.ts";
import { tail, tailOnceThere } from "../../platform/tail.ts";
import type { CliContext } from "../context.ts";

/** `czctl logs [-f]`; Ctrl-C is how following ends. */
export async function logs(
  options: { readonly follow?: true | undefined; readonly lines: number },
  context: CliContext,
): Promise<number> {
  const { print, signal } = context;
  const path = context.paths().log;
  const follow = options.follow === true;
  const found = await tail(path, { lines: options.lines, follow, signal });
  if (found === undefined && !follow) {
    print.say("No log yet: czfwd has not run");
    return EXIT.done;
  }
  if (found === undefined) print.note("No log yet: waiting until czfwd runs");
  for await (const line of found ?? tailOnceThere(path, { signal })) print.raw(line);
  return signal.aborted ? EXIT.interrupted : EXIT.done;
}
