/** Everything at once, and nothing stays behind. */
import assert from "node:assert/strict";
import { deployment } from "../cluster/mod.ts";
import { Ground, NS } from "./test_cluster.ts";
import { echoes, until, within } from "./support.ts";

const PROGRAMS = ["http=8080", "echo=8081", "source=8082", "reset=8084"];

Deno.test("TunnelEngine survives random churn and leaves nothing open", async () => {
  await using ground = await Ground.start({
    fixtures: [deployment(NS, "one", { programs: PROGRAMS, replicas: 2 })],
  });
  const listeners = await Promise.all(
    [8081, 8082, 8084, 9999, 8080].map((port) => ground.listen("one", port)),
  );
  const end = performance.now() + 6000;
  // Repeatable: a small generator of its own.
  let seed = 7;
  const random = (below: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % below;
  const worker = async () => {
    while (performance.now() < end) {
      const client = await ground.connect(listeners[random(listeners.length)]!);
      try {
        await client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        const buffer = new Uint8Array(1 + random(200_000));
        if (random(4) > 0) await within(3000, client.conn.read(buffer), "something");
        if (random(3) === 0) await client.end();
      } catch {
        // Refusals and resets are part of it.
      }
      client.close();
    }
  };
  const trouble = async () => {
    while (performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 700));
      if (random(2) === 0) await ground.cluster.control.drop({ what: "all", how: "reset" });
      else await ground.cluster.control.rollout({ namespace: NS, deployment: "one" });
    }
  };
  await Promise.all([...Array.from({ length: 12 }, worker), trouble()]);
  await until(
    () => ground.engine.stats().connections === 0 && ground.engine.stats().streams === 0,
    "every connection has ended",
    10_000,
  );
  assert.ok(ground.engine.stats().links <= 8);
  const client = await ground.connect(listeners[0]!);
  await echoes(client, "alive");
});
