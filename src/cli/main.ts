import { CzctlError, EXIT } from "../model/errors.ts";
import { lookForNohup } from "../platform/caller.ts";
import { type CliContext, realContext } from "./context.ts";
import { readCommandLine } from "./grammar.ts";
import { report } from "./report.ts";

/** Runs one command line of `czctl`; resolves with the exit code. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const line = readCommandLine(argv);
  // Only what holds a program lives long enough for its terminal to be closed.
  if (line.program !== undefined) lookForNohup();
  return await runCommandLine(line.args, realContext(line.program));
}

/** The same with a context of the caller's. */
export async function runCommandLine(
  args: readonly string[],
  context: CliContext,
): Promise<number> {
  // Errors before the parser has seen it must be printed in the right form, too.
  if (asksForJson(args)) context.print.format = "json";
  context.print.aside = context.program !== undefined;
  try {
    return await dispatch(args, context);
  } catch (error) {
    return report(error, context.print);
  } finally {
    context.print.finish();
  }
}

/** Commands that scripts, root and the shell call come first: they need no parser, or cannot have one. */
async function dispatch(args: readonly string[], context: CliContext): Promise<number> {
  if (args.length === 1 && /^(version|--version|-V)$/.test(args[0]!)) {
    // The same action as through the parser, which would be most of its time.
    const { showVersion } = await import("./version/action.ts");
    showVersion(context);
    return EXIT.done;
  }
  if (args[0] === "__complete") {
    const { complete } = await import("./completions/complete.ts");
    return await complete(args.slice(1), context);
  }
  if (args[0] === "elevate") {
    const { elevateAsRoot } = await import("./elevation.ts");
    return await elevateAsRoot(args.slice(1), context.print);
  }
  if (context.program !== undefined && args[0] !== "teleport" && args[0] !== "run") {
    throw new CzctlError(
      "usage",
      `No program can be run by "${["czctl", ...args.slice(0, 1)].join(" ")}"`,
      {
        hint: "Only teleport and run take one behind --",
      },
    );
  }
  const { parseAndRun } = await import("./parse.ts");
  return await parseAndRun(args, context);
}

function asksForJson(args: readonly string[]): boolean {
  return args.some((arg, at) =>
    arg === "-ojson" || arg === "--output=json" ||
    ((arg === "-o" || arg === "--output") && args[at + 1] === "json")
  );
}
