import { deployment, service } from "../cluster/mod.ts";
import { Ground, NS } from "./test_cluster.ts";
import { echoes, until } from "./support.ts";

Deno.test("TunnelEngine: pods that a selector leaves and comes back to are used again", async () => {
  await using ground = await Ground.start({
    fixtures: ["blue", "green"].map((name) => deployment(NS, name, { programs: ["echo=8081"] })),
    engine: { holdMs: 2000 },
  });
  const echo = await ground.listen("blue", 8081);
  const answers = async (word: string) => {
    const client = await ground.connect(echo);
    await echoes(client, word);
    client.close();
  };
  const select = async (app: string) => {
    await ground.cluster.control.apply({
      objects: [service(NS, "blue-8081", app, [{ port: 8081, targetPort: 8081 }])],
    });
    await until(() => ground.podsOf(echo).join() === app, `the service leads to ${app}`);
  };
  await answers("blue");
  await select("green");
  await answers("green");
  await select("blue");
  await answers("blue again");
});
