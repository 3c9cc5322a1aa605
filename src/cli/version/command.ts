import { Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import { outputOption } from "../options.ts";

export function versionCommand(host: CommandHost) {
  return new Command("version")
    .description("print version, commit, Deno version and target")
    .addOption(outputOption())
    .addHelpText("after", "\nExamples:\n  $ czctl version\n  $ czctl version -o json")
    .action((options) =>
      host.run(options, async () => {
        const { showVersion } = await import("./action.ts");
        return showVersion(host.context);
      })
    );
}
