/** Runs a test cluster in the foreground: `./scripts/deno run -A tests/cluster/main.ts`. */
import { startCluster } from "./mod.ts";

const fixtures = Deno.args.includes("--empty") ? "empty" : "guide";
const cluster = await startCluster({ fixtures });
const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
say(`KUBECONFIG=${cluster.kubeconfig}`);
say(`CONTROL_URL=${cluster.controlUrl}`);
say(`# ${cluster.url}, contexts: ${cluster.contexts.join(", ")}. Ctrl-C ends it.`);
const stop = async () => {
  await cluster.close();
  Deno.exit(0);
};
Deno.addSignalListener("SIGINT", stop);
Deno.addSignalListener("SIGTERM", stop);
