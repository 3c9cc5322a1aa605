import { Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import {
  containerOption,
  contextOption,
  exportOption,
  formatOption,
  kubeconfigOption,
  namespaceOption,
  outputOption,
} from "../options.ts";

const AFTER = `
Without FILE, or with -, it goes to standard output. KIND/NAME and the older
order "czctl KIND NAME environment [FILE]" work as well.

Examples:
  $ czctl environment deployment web -n shop env.sh
  $ czctl env deploy/web -n shop -m json
  $ source <(czctl env deploy/web -n shop)`;

function declareEnvironment() {
  return new Command("environment").aliases(["env", "configuration"])
    .description("print or write a workload's environment, without tunnels")
    .usage("KIND NAME [FILE] [options]")
    .argument("[kind]", "kind of the workload, or KIND/NAME")
    .argument("[name]", "name of the workload")
    .argument("[file]", "file to write")
    .addOption(namespaceOption())
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .addOption(formatOption())
    .addOption(exportOption())
    .addOption(containerOption())
    .option("--force", "overwrite a file that exists")
    .option("-q, --quiet", "print no notes")
    .addOption(outputOption())
    .addHelpText("after", AFTER);
}

export type EnvironmentOptions = ReturnType<ReturnType<typeof declareEnvironment>["opts"]>;

export function environmentCommand(host: CommandHost) {
  return declareEnvironment()
    .action((kind, name, file, options) =>
      host.run(options, async () => {
        const { environment } = await import("./action.ts");
        const operands = [kind, name, file].filter((operand) => operand !== undefined);
        return environment(operands, options, host.context);
      })
    );
}
