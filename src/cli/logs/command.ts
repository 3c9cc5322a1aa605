import { Command, Option } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import { wholeNumber } from "../options.ts";

export function logsCommand(host: CommandHost) {
  return new Command("logs")
    .description("the log of the background process")
    .option("-f, --follow", "go on with what is added")
    .addOption(
      new Option("-l, --lines <n>", "how many of the last lines").argParser(wholeNumber)
        .default(200),
    )
    .addHelpText("after", "\nExamples:\n  $ czctl logs\n  $ czctl logs -f -l 20")
    .action((options) =>
      host.run({}, async () => {
        const { logs } = await import("./action.ts");
        return logs(options, host.context);
      })
    );
}
