import { Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import { contextOption, kubeconfigOption, outputOption } from "../options.ts";

export function doctorCommand(host: CommandHost) {
  return new Command("doctor")
    .description("find what is wrong on this machine and how to mend it")
    .option("--fix", "mend what can be mended safely, leftovers of a crash above all")
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .addOption(outputOption())
    .addHelpText(
      "after",
      "\nExamples:\n  $ czctl doctor\n  $ czctl doctor --fix\n  $ czctl doctor --context staging",
    )
    .action((options) =>
      host.run(options, async () => {
        const { doctor } = await import("./action.ts");
        return doctor(options, host.context);
      })
    );
}
