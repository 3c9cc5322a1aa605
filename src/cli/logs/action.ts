import { EXIT } from "../../model/errors.ts";
import { tail } from "../../platform/tail.ts";
import type { CliContext } from "../context.ts";

/** `czctl logs [-f]`; Ctrl-C is how following ends. */
export async function logs(
  options: { readonly follow?: true | undefined; readonly lines: number },
  context: CliContext,
): Promise<number> {
  const { print, signal } = context;
  const found = await tail(context.paths().log, {
    lines: options.lines,
    follow: options.follow === true,
    signal,
  });
  if (found === undefined) {
    print.say("No log yet: czfwd has not run");
    return EXIT.done;
  }
  for await (const line of found) print.raw(line);
  return signal.aborted ? EXIT.interrupted : EXIT.done;
}
