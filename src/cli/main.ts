import { CommanderError } from "commander";
import { CzctlError, EXIT } from "../model/errors.ts";
import { CommandHost } from "./command_host.ts";
import { type CliContext, realContext } from "./context.ts";
import { readCommandLine } from "./grammar.ts";
import { kindOf } from "./kinds.ts";
import { buildProgram } from "./program.ts";
import { report } from "./report.ts";

/** Runs one command line of `czctl`; resolves with the exit code. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const line = readCommandLine(argv);
  const { context, close } = realContext(line.program);
  try {
    return await runCommandLine(line.args, context);
  } finally {
    close();
  }
}

/** The same with a context of the caller's. */
export async function runCommandLine(
  args: readonly string[],
  context: CliContext,
): Promise<number> {
  // Errors before the parser has seen it must be printed in the right form, too.
  if (asksForJson(args)) context.print.format = "json";
  try {
    if (args[0] === "__complete") {
      const { complete } = await import("./completions/complete.ts");
      return await complete(args.slice(1), context);
    }
    if (args[0] === "elevate") {
      const { elevateAsRoot } = await import("./elevation.ts");
      await elevateAsRoot(args.slice(1));
      return EXIT.done;
    }
    if (context.program !== undefined && args[0] !== "teleport" && args[0] !== "run") {
      throw new CzctlError("usage", `No program can be run by "czctl ${args[0] ?? ""}"`, {
        hint: "Only teleport and run take one behind --",
      });
    }
    const host = new CommandHost(context);
    await buildProgram(host).parseAsync(normalised(args), { from: "user" });
    return host.exitCode;
  } catch (error) {
    // Help that was asked for.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done;
    // `czctl session` alone: its help has been shown, as an error.
    if (error instanceof CommanderError && error.code === "commander.help") return EXIT.usage;
    return report(asCzctlError(error, args), context.print);
  } finally {
    context.print.finish();
  }
}

/** `--version` and `-V` are what people try first. */
function normalised(args: readonly string[]): string[] {
  if (args.length === 1 && (args[0] === "--version" || args[0] === "-V")) return ["version"];
  if (args[0] === "help") return [...args.slice(1), "--help"];
  return args.length === 0 ? ["--help"] : [...args];
}

function asksForJson(args: readonly string[]): boolean {
  return args.some((arg, at) =>
    arg === "-ojson" || arg === "--output=json" ||
    ((arg === "-o" || arg === "--output") && args[at + 1] === "json")
  );
}

function asCzctlError(error: unknown, args: readonly string[]): unknown {
  if (!(error instanceof CommanderError)) return error;
  const [what, ...rest] = error.message.replace(/^error: /, "").split("\n");
  const suggestion = rest.join(" ").replace(/^\((.*)\)$/, "$1").replace("Did", "did");
  const message = sentence(what!) + (suggestion === "" ? "" : `; ${suggestion}`);
  const command = args.find((arg) => !arg.startsWith("-"));
  if (error.code === "commander.unknownCommand" && kindOf(command?.split("/")[0] ?? "")) {
    return new CzctlError("usage", `No command is given for "${args.join(" ")}"`, {
      hint: `Like this: czctl teleport ${args.join(" ")}`,
    });
  }
  const help = error.code === "commander.unknownCommand" || command === undefined
    ? "czctl --help"
    : `czctl ${command} --help`;
  return new CzctlError("usage", message, { hint: `See ${help}` });
}

/** Commander's messages in our form: a capital first, no full stop last. */
function sentence(text: string): string {
  const trimmed = text.trim().replace(/\.$/, "").replaceAll("'", '"');
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
}
