import { type Command, CommanderError } from "commander";
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
    const program = buildProgram(host);
    await program.parseAsync(normalised(args, program), { from: "user" });
    return host.exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help that was asked for.
    if (error.exitCode === 0) return EXIT.done;
    // `czctl session` alone: its help has been shown, as an error.
    if (error.code === "commander.help") return EXIT.usage;
    throw asCzctlError(error, args, buildProgram(host));
  }
}

function normalised(args: readonly string[], program: Command): string[] {
  if (args[0] === "help") {
    // For a command there is not, commander would show the help of all, as though that had been asked for.
    let parent = program;
    for (const word of args.slice(1)) {
      if (parent.commands.length === 0 || word.startsWith("-")) break;
      const child = commandOf(parent, word);
      if (child === undefined) return args.slice(1);
      parent = child;
    }
    return [...args.slice(1), "--help"];
  }
  const before = args.slice(0, -1);
  // `czctl session help`, where "help" can be nothing else.
  if (args.at(-1) === "help" && isCommands(program, before)) return [...before, "--help"];
  return args.length === 0 ? ["--help"] : [...args];
}

function isCommands(program: Command, words: readonly string[]): boolean {
  let parent: Command | undefined = program;
  for (const word of words) parent = parent && commandOf(parent, word);
  return parent !== undefined;
}

function commandOf(parent: Command, name: string): Command | undefined {
  return parent.commands.find((one) => one.name() === name || one.aliases().includes(name));
}

function asCzctlError(
  error: CommanderError,
  args: readonly string[],
  program: Command,
): CzctlError {
  const [what, ...rest] = error.message.replace(/^error: /, "").split("\n");
  const suggestion = rest.join(" ").replace(/^\((.*)\)$/, "$1").replace("Did", "did");
  const message = sentence(what!) + (suggestion === "" ? "" : `; ${suggestion}`);
  const command = args.find((arg) => !arg.startsWith("-"));
  if (error.code === "commander.unknownCommand" && kindOf(command?.split("/")[0] ?? "")) {
    // kubefwd's `svc -n shop` is a whole namespace.
    const nameless = !command!.includes("/") && (args[1] ?? "-").startsWith("-");
    return new CzctlError("usage", `No command is given for "${args.join(" ")}"`, {
      hint: nameless
        ? `Like this: czctl teleport ${command} NAME -n NAMESPACE; for all services of a ` +
          "namespace: czctl teleport namespace NAME"
        : `Like this: czctl teleport ${args.join(" ")}`,
    });
  }
  // `czctl web teleport`: the kind was forgotten.
  if (error.code === "commander.unknownCommand" && command !== undefined) {
    const trailing = args[args.indexOf(command) + 1];
    if (trailing === "teleport" || trailing === "environment") {
      return new CzctlError("usage", message, {
        hint: `Like this: czctl ${trailing} deployment ${command} -n NAMESPACE`,
      });
    }
  }
  const help = command === undefined || commandOf(program, command) === undefined
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
