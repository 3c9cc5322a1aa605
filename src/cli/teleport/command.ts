import { Command, Option } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";
import {
  containerOption,
  contextOption,
  duration,
  exportOption,
  formatOption,
  kubeconfigOption,
  namespaceOption,
  nonEmpty,
  outputOption,
  repeated,
} from "../options.ts";

const AFTER = `
KIND is namespace, deployment, statefulset, daemonset, replicaset, job, cronjob,
pod or service, or one of kubectl's short names. KIND/NAME and the older order
"czctl KIND NAME teleport" work as well.

Examples:
  $ czctl teleport deployment web -n shop            # the services of "shop" by name
  $ czctl teleport deployment web -n shop -f env.sh  # and the workload's environment
  $ czctl teleport namespace shop -a tools           # two namespaces
  $ czctl teleport deploy/web -n shop -- npm start   # for as long as a program runs
  $ czctl teleport --clean                           # close it and clean up`;

/** The options, without what they do. */
export function declareTeleport() {
  return new Command("teleport")
    .description("make a workload's cluster reachable here, under its own names")
    .usage("KIND NAME [options] [-- PROGRAM ...]")
    .argument("[kind]", "kind of the workload, or KIND/NAME")
    .argument("[name]", "name of the workload")
    .addOption(namespaceOption())
    .addOption(repeated("-a, --additional <ns>", "services of this namespace, too"))
    .option("-A, --all-namespaces", "services of all namespaces")
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .option(
      "-f, --env-file <file>",
      "write the workload's environment here and keep it fresh",
      nonEmpty,
    )
    .addOption(formatOption())
    .addOption(exportOption())
    .addOption(containerOption())
    .option("--force", "overwrite an environment file that czctl did not write")
    .option("--on-change <cmd>", "run this in a shell after each refresh of the file", nonEmpty)
    .addOption(repeated("--exclude <svc>", "leave out services with this name or glob"))
    .addOption(repeated("--only <svc>", "only services with this name or glob"))
    .option("-l, --selector <selector>", "only services with these labels", nonEmpty)
    .option("--no-short-names", "no bare service names in the hosts file")
    .option("--cluster-domain <domain>", "domain of the cluster (default: cluster.local)", nonEmpty)
    .option(
      "--domain <suffix>",
      "end all names in this, to have two clusters side by side",
      nonEmpty,
    )
    .addOption(repeated("--take <name>", "use this name although it leads somewhere outside, too"))
    .addOption(
      new Option("--hold <time>", "how long a connection waits for a ready pod (default: 10s)")
        .argParser(duration),
    )
    .option("--clean", "close the matching session, or the only one, and clean up")
    .option("-q, --quiet", "print errors only")
    .addOption(outputOption())
    .addHelpText("after", AFTER);
}

export type TeleportOptions = ReturnType<ReturnType<typeof declareTeleport>["opts"]>;

export function teleportCommand(host: CommandHost) {
  return declareTeleport()
    .action((kind, name, options) =>
      host.run(options, async () => {
        const { teleport } = await import("./action.ts");
        const operands = [kind, name].filter((operand) => operand !== undefined);
        return teleport(operands, options, host.context);
      })
    );
}
