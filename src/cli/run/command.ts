import { Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import {
  containerOption,
  contextOption,
  kubeconfigOption,
  namespaceOption,
  repeated,
} from "../options.ts";

const AFTER = `
The program gets the workload's environment on top of yours; signals and its
exit code are passed through. With a workload, a session is opened for it where
none is open, and closed with the last program that was run that way.

Examples:
  $ czctl run -- npm start                          # in the open session
  $ czctl run deployment web -n shop -- npm start   # in a session of its own`;

function declareRun() {
  return new Command("run")
    .description("run a program with the workload's environment")
    .usage("[KIND NAME] [options] -- PROGRAM [ARGUMENTS ...]")
    .argument("[kind]", "kind of the workload, or KIND/NAME (default: that of the open session)")
    .argument("[name]", "name of the workload")
    .option("--session <id>", "the session to run in, where several are open")
    .addOption(namespaceOption())
    .addOption(repeated("-a, --additional <ns>", "services of this namespace, too"))
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .addOption(containerOption())
    .option("-q, --quiet", "print errors only")
    .addHelpText("after", AFTER);
}

export type RunOptions = ReturnType<ReturnType<typeof declareRun>["opts"]>;

export function runCommand(host: CommandHost) {
  return declareRun()
    .action((kind, name, options) =>
      host.run(options, async () => {
        const { run } = await import("./action.ts");
        const operands = [kind, name].filter((operand) => operand !== undefined);
        return run(operands, options, host.context);
      })
    );
}
