import { Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import { outputOption } from "../options.ts";

export function sessionCommand(host: CommandHost) {
  const session = new Command("session")
    .description("list and close sessions")
    .addHelpText(
      "after",
      "\nExamples:\n  $ czctl session list\n  $ czctl session close\n  $ czctl session close --all",
    );
  session.command("list").alias("ls")
    .description("the open sessions")
    .option("--details", "every service with its address, ports and names")
    .addOption(outputOption())
    .addHelpText("after", "\nExample:\n  $ czctl session list --details")
    .action((options) =>
      host.run(options, async () => {
        const { listSessions } = await import("./list.ts");
        return listSessions(options, host.context);
      })
    );
  session.command("close")
    .description("close a session: its tunnels, names and environment file")
    .argument(
      "[id]",
      "id of the session, its beginning, or KIND/NAME; not needed when only one is open",
    )
    .option("--all", "close all sessions")
    .option("--force", "forget the session even if its clean-up fails")
    .option("-q, --quiet", "print errors only")
    .addOption(outputOption())
    .addHelpText(
      "after",
      "\nExamples:\n  $ czctl session close\n  $ czctl session close 3f2a\n  $ czctl session close deploy/web",
    )
    .action((id, options) =>
      host.run(options, async () => {
        const { close } = await import("./close.ts");
        return close(id, options, host.context);
      })
    );
  return session;
}
