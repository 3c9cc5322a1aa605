import { Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import { outputOption } from "../options.ts";

export function inspectCommand(host: CommandHost) {
  return new Command("inspect")
    .description("open the inspector in a browser, signed in by a one-time code")
    .option("--no-open", "only print the URL")
    .addOption(outputOption())
    .addHelpText("after", "\nExamples:\n  $ czctl inspect\n  $ czctl inspect --no-open")
    .action((options) =>
      host.run(options, async () => {
        const { inspect } = await import("./action.ts");
        return inspect(options, host.context);
      })
    );
}
