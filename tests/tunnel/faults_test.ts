/** Faults beside busy connections, with both kinds of credentials: only those who are hit notice. */
import assert from "node:assert/strict";
import { deployment } from "../cluster/mod.ts";
import { Ground, NS } from "./test_cluster.ts";
import { drain, echoes, until } from "./support.ts";

const PROGRAMS = [
  "echo=8081",
  "source=8082",
  "sink=8083",
  "reset=8084",
  "http=8080",
  "source=8085?n=50000000",
];

for (const context of ["token", "admin"]) {
  Deno.test(`TunnelEngine against faults, credentials of "${context}"`, async (t) => {
    await using ground = await Ground.start({
      fixtures: [deployment(NS, "one", { programs: PROGRAMS })],
      context,
    });
    const { control } = ground.cluster;
    const echo = await ground.listen("one", 8081);
    const source = await ground.listen("one", 8082);
    const refused = await ground.listen("one", 9999);
    const resetting = await ground.listen("one", 8084);

    await t.step("one refused, one reset, one aborted: 97 others do not notice", async () => {
      const clients = await Promise.all(Array.from({ length: 97 }, () => ground.connect(echo)));
      await Promise.all(clients.map((client, i) => echoes(client, `a${i}`)));
      let busy = true;
      const talking = clients.map(async (client, i) => {
        for (let turn = 0; busy || turn < 3; turn++) await echoes(client, `b${i}.${turn}`);
      });
      assert.equal(await (await ground.connect(refused)).rest(), "");
      const hit = await ground.connect(resetting);
      await hit.write("x");
      await hit.over();
      const aborted = await ground.connect(source);
      await drain(aborted, 3_000_000);
      aborted.close();
      busy = false;
      await Promise.all(talking);
      for (const client of clients) client.close();
      const { links } = await control.counters();
      assert.ok(links.length <= 2, `${links.length} links`);
    });

    await t.step(
      "what an aborted download still brings is left behind with its link",
      async () => {
        const lines = await control.counters();
        const linksBefore = lines.links.length;
        const beside = await ground.connect(echo);
        await echoes(beside, "before");
        const aborted = await ground.connect(source);
        await drain(aborted, 3_000_000);
        aborted.close();
        // Far less than the second for which the pod's side goes on.
        await until(async () => {
          const next = await ground.connect(echo);
          await echoes(next, "next");
          const { links } = await control.counters();
          next.close();
          return links.length > linksBefore;
        }, "new connections go over another link");
        await echoes(beside, "still there");
        beside.close();
        await until(
          () => ground.engine.stats().links <= 1,
          "the link ends with the last one on it",
        );
      },
    );

    await t.step(
      "nothing of an aborted download is read once nobody else needs its link",
      async () => {
        await until(() => ground.engine.stats().streams === 0, "nothing is open");
        const aborted = await ground.connect(source);
        await drain(aborted, 3_000_000);
        const { links: open } = await control.counters();
        const at = performance.now();
        aborted.close();
        const sum = (links: readonly { bytesDown: number }[]) =>
          links.reduce((bytes, link) => bytes + link.bytesDown, 0);
        await until(async () => {
          const { links } = await control.counters();
          return links.length < open.length || sum(links) < sum(open);
        }, "the link is closed");
        assert.ok(performance.now() - at < 900, "before the pod's side has given up by itself");
        await echoes(await ground.connect(echo), "a new link");
      },
    );

    await t.step("a reset in the pod ends the connection at once", async () => {
      const client = await ground.connect(resetting);
      await client.write("x");
      const begin = performance.now();
      await client.over(3000);
      // The kubelet waits one second itself before it tells.
      assert.ok(performance.now() - begin < 2500);
    });

    await t.step("a program that never reads leaves the others their throughput", async () => {
      const sized = await ground.listen("one", 8085);
      const alone = await drain(await ground.connect(sized), 40_000_000);
      const stuck = await ground.connect(source);
      await drain(stuck, 1_000_000);
      const before = Deno.memoryUsage().rss;
      // Long enough for every buffer on the way to fill up.
      await until(
        () => source.stats.bytesDown > 3_000_000,
        "the stuck one has filled something",
      );
      const beside = await drain(await ground.connect(sized), 40_000_000);
      const again = await drain(await ground.connect(sized), 40_000_000);
      // A wide margin: the machine is shared.
      assert.ok(
        Math.min(beside, again) < alone * 3 + 200,
        `${alone} ms alone, ${beside}, ${again}`,
      );
      assert.ok(Deno.memoryUsage().rss - before < 100e6);
      const other = await ground.connect(echo);
      await echoes(other, "quick");
      stuck.close();
      await until(() => source.stats.connections === 0, "the stuck one is gone");
    });

    await t.step("every link reset: the next connection works", async () => {
      const client = await ground.connect(echo);
      await echoes(client, "before");
      await control.drop({ what: "all", how: "reset" });
      await client.over();
      await echoes(await ground.connect(echo), "after");
    });

    await t.step("the API server restarts on another address", async () => {
      await control.restart({ newPort: true, downMs: 300 });
      await echoes(await ground.connect(echo), "moved");
      assert.equal(ground.engine.reachability?.reachable, true);
    });
  });
}
