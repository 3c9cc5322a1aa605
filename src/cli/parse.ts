import { CommanderError } from "commander";
import { CzctlError, EXIT } from "../model/errors.ts";
import { CommandHost } from "./command_host.ts";
import type { CliContext } from "./context.ts";
import { kindOf } from "./kinds.ts";
import { buildProgram } from "./program.ts";

/**
 * Parses a command line and runs its action; resolves with the exit code.
 * Throws CzctlError, `usage` for what the parser refuses.
 */
export async function parseAndRun(args: readonly string[], context: CliContext): Promise<number> {
  const host = new CommandHost(context);
  try {
    await buildProgram(host).parseAsync(normalised(args), { from: "user" });
    return host.exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help that was asked for.
    if (error.exitCode === 0) return EXIT.done;
    // `czctl session` alone: its help has been shown, as an error.
    if (error.code === "commander.help") return EXIT.usage;
    throw asCzctlError(error, args);
  }
}

function normalised(args: readonly string[]): string[] {
  if (args[0] === "help") return [...args.slice(1), "--help"];
  return args.length === 0 ? ["--help"] : [...args];
}

function asCzctlError(error: CommanderError, args: readonly string[]): CzctlError {
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
    : `czctl ${[command, ...subcommand(command, args)].join(" ")} --help`;
  return new CzctlError("usage", message, { hint: `See ${help}` });
}

/** `list` in `session list --nonsense`: its own help lists its options. */
function subcommand(command: string, args: readonly string[]): string[] {
  const next = args[args.indexOf(command) + 1];
  return command === "session" && /^(list|ls|close)$/.test(next ?? "") ? [next!] : [];
}

/** Commander's messages in our form: a capital first, no full stop last. */
function sentence(text: string): string {
  const trimmed = text.trim().replace(/\.$/, "").replaceAll("'", '"');
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
}
