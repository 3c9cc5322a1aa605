import { Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import { outputOption } from "../options.ts";

export function stopCommand(host: CommandHost) {
  return new Command("stop")
    .description("close all sessions and end the background process")
    .option("--uninstall", "remove the elevated copy of the tunneller, too (asks for root)")
    .option(
      "--prefix <folder>",
      "the folder below which it was installed (default: that of the last start)",
    )
    .option("-q, --quiet", "print errors only")
    .addOption(outputOption())
    .addHelpText("after", "\nExamples:\n  $ czctl stop\n  $ czctl stop --uninstall")
    .action((options) =>
      host.run(options, async () => {
        const { stop } = await import("./action.ts");
        return stop(options, host.context);
      })
    );
}
