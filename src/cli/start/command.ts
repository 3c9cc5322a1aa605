import { Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import { outputOption } from "../options.ts";

const AFTER = `
Changing /etc/hosts needs root. "start" installs a copy of czctl that may do
that and nothing else, in a folder only root can write; it asks for root once.
With another --prefix than before, the copy at the former place is removed.
As root, and in containers run as root, nothing is installed.

Examples:
  $ czctl start
  $ czctl start --prefix /opt/czctl`;

export function startCommand(host: CommandHost) {
  return new Command("start")
    .description("elevate the tunneller once and start the background process")
    .option(
      "--prefix <folder>",
      "install the elevated copy below this folder instead of /usr/local",
    )
    .option("-q, --quiet", "print errors only")
    .addOption(outputOption())
    .addHelpText("after", AFTER)
    .action((options) =>
      host.run(options, async () => {
        const { start } = await import("./action.ts");
        return start(options, host.context);
      })
    );
}
