import { Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import { outputOption } from "../options.ts";

export function statusCommand(host: CommandHost) {
  return new Command("status")
    .description("what runs: the background process, its helper, the inspector, sessions")
    .addOption(outputOption())
    .addHelpText("after", "\nExamples:\n  $ czctl status\n  $ czctl status -o json")
    .action((options) =>
      host.run(options, async () => {
        const { status } = await import("./action.ts");
        return status(host.context);
      })
    );
}
