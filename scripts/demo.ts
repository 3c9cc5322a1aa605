/**
 * `deno task demo`: compiles czctl, starts a small embedded cluster, and
 * teleports into it for real. As root it edits /etc/hosts and puts it back; as
 * an ordinary user it does the same inside namespaces of its own, where the
 * system allows that, and else shows what works without root.
 */
import { startCluster } from "../tests/cluster/mod.ts";
import { runScript } from "./build_error.ts";
import { compile } from "./compile.ts";
import { Narrator } from "./demo/narrator.ts";
import { enterOwnNamespaces, INSIDE } from "./demo/namespaces.ts";
import { Demo } from "./demo/show.ts";

await runScript(async () => {
  const say = new Narrator();
  say.title("czctl: your machine, as though it were inside the cluster");
  const inside = Deno.args.includes(INSIDE);
  if (!inside) {
    say.step("Compiling dist/czctl, the one binary");
    const { size } = await Deno.stat(await compile({}));
    say.fact(`dist/czctl, ${Math.round(size / 1e6)} MB`);
    if (Deno.uid() !== 0) {
      say.step("You are not root, and /etc/hosts belongs to root");
      const code = await enterOwnNamespaces(import.meta.filename!);
      if (code !== undefined) return code;
      say.fact("This system gives ordinary users no namespace of their own, so /etc/hosts stays");
      say.fact("untouched here. What needs no root comes now; run the demo as root for all of it.");
    }
  }
  const home = await Deno.makeTempDir({ prefix: "czctl-demo-" });
  say.step(
    "Starting a small cluster on this machine: an API server, and pods that are real servers",
  );
  const cluster = await startCluster({ fixtures: "guide" });
  const demo = new Demo(say, cluster, home);
  try {
    await demo.show(Deno.uid() === 0);
    say.title(
      "That was it. Against a cluster of yours: czctl start, czctl teleport namespace NAME",
    );
    return 0;
  } finally {
    await demo.cleanUp();
    await cluster.close();
    await Deno.remove(home, { recursive: true }).catch(() => {});
  }
});
