import { Command } from "@commander-js/extra-typings";
import type { Command as AnyCommand } from "commander";
import type { CommandHost } from "./command_host.ts";
import { completionsCommand } from "./completions/command.ts";
import { doctorCommand } from "./doctor/command.ts";
import { environmentCommand } from "./environment/command.ts";
import { inspectCommand } from "./inspect/command.ts";
import { logsCommand } from "./logs/command.ts";
import { runCommand } from "./run/command.ts";
import { sessionCommand } from "./session/command.ts";
import { startCommand } from "./start/command.ts";
import { statusCommand } from "./status/command.ts";
import { stopCommand } from "./stop/command.ts";
import { teleportCommand } from "./teleport/command.ts";
import { versionCommand } from "./version/command.ts";

const AFTER = `
Examples:
  $ czctl start                                # once: asks for root once
  $ czctl teleport deployment web -n shop      # the cluster's services by name
  $ czctl session close                        # leaves nothing behind

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 cluster unreachable or access
denied, 4 not elevated (czctl start needed), 130 interrupted.`;

/** All commands, in the order of the help text. They only declare: actions are loaded when run. */
export function buildProgram(host: CommandHost): AnyCommand {
  const program = new Command("czctl")
    .description("Work on one service of a Kubernetes cluster as though you were inside.")
    .usage("COMMAND [options]")
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText("after", AFTER) as unknown as AnyCommand;
  const commands = [
    startCommand(host),
    stopCommand(host),
    teleportCommand(host),
    sessionCommand(host),
    environmentCommand(host),
    runCommand(host),
    statusCommand(host),
    doctorCommand(host),
    logsCommand(host),
    inspectCommand(host),
    versionCommand(host),
    completionsCommand(host),
  ];
  for (const command of commands) program.addCommand(command as unknown as AnyCommand);
  quiet(program, host);
  return program;
}

/** Commander must neither write nor exit by itself: one place does both. */
function quiet(command: AnyCommand, host: CommandHost): void {
  const { terminal } = host.context.print;
  command.helpCommand(false).exitOverride().configureOutput({
    writeOut: (text) => host.context.print.raw(text),
    writeErr: (text) => host.context.print.errorLines(text),
    // The message is shown by report.ts, with a hint.
    outputError: () => {},
    getOutHelpWidth: () => Math.min(terminal.stdout.columns(), 100),
    getErrHelpWidth: () => Math.min(terminal.stderr.columns(), 100),
    getOutHasColors: () => terminal.stdout.color,
    getErrHasColors: () => terminal.stderr.color,
  });
  for (const child of command.commands) quiet(child, host);
}
