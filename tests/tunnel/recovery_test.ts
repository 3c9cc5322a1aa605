/** What a tunnel was made with is no longer so: the network, the credentials, the way, the pod. */
import assert from "node:assert/strict";
import { DEFAULT_USERS, deployment, LEAST_RIGHTS } from "../cluster/mod.ts";
import { Ground, NS } from "./test_cluster.ts";
import { echoes, reasonsLogged } from "./support.ts";

const ONE = [deployment(NS, "one", { programs: ["echo=8081"] })];

Deno.test("TunnelEngine finds a half-open network within 15 s, and the next connection works", async () => {
  await using ground = await Ground.start({ fixtures: ONE });
  const echo = await ground.listen("one", 8081);
  const client = await ground.connect(echo);
  await echoes(client, "before");
  await ground.cluster.control.freeze({ frozen: true });
  const begin = performance.now();
  await client.over(15_000);
  assert.ok(performance.now() - begin < 15_000);
  await echoes(await ground.connect(echo), "after");
});

Deno.test("TunnelEngine renews credentials that were refused", async () => {
  await using ground = await Ground.start({
    fixtures: ONE,
    context: "exec",
  });
  const echo = await ground.listen("one", 8081);
  await echoes(await ground.connect(echo), "before");
  await ground.cluster.control.rotateExec({ revoke: true });
  await ground.cluster.control.drop({ what: "all", how: "reset" });
  await echoes(await ground.connect(echo), "after");
});

Deno.test("TunnelEngine learns which way works, and relearns it", async () => {
  await using ground = await Ground.start({ fixtures: ONE });
  const { control } = ground.cluster;
  const echo = await ground.listen("one", 8081);
  await control.ways({ spdy: false, websocket: true });
  await echoes(await ground.connect(echo), "websocket");
  assert.equal(ground.engine.stats().transport, "spdy_websocket");
  await control.ways({ spdy: true, websocket: false });
  await control.drop({ what: "all", how: "reset" });
  await echoes(await ground.connect(echo), "spdy");
  assert.equal(ground.engine.stats().transport, "spdy");
});

Deno.test("TunnelEngine uses SPDY alone where rights allow no more, and says what is missing", async () => {
  await using ground = await Ground.start({
    fixtures: ONE,
    context: "least",
  });
  const echo = await ground.listen("one", 8081);
  await echoes(await ground.connect(echo), "least");
  const { log, reasons } = reasonsLogged();
  const none = Ground.engineFor(ground.cluster, "none", { log });
  try {
    const closed = await ground.listen("one", 8081, none);
    assert.equal(await (await ground.connect(closed)).rest(), "");
    assert.equal(none.reachability?.reachable, true);
    assert.match(reasons.join(), /not allowed to create pods\/portforward in namespace "faults"/);
  } finally {
    await none.close();
  }
});

Deno.test("TunnelEngine uses WebSockets where the rights allow no more and the server asks for no more", async () => {
  const rules = [
    ...LEAST_RIGHTS.filter(({ resources }) => !resources.includes("pods/portforward")),
    { verbs: ["get"], resources: ["pods/portforward"] },
  ];
  const users = [...DEFAULT_USERS, {
    context: "reader",
    user: "reader",
    via: "token" as const,
    rules,
  }];
  for (const version of ["1.34", "1.36"]) {
    await using ground = await Ground.start({ fixtures: ONE, users, version, context: "reader" });
    const { log, reasons } = reasonsLogged();
    const engine = Ground.engineFor(ground.cluster, "reader", { log });
    try {
      const client = await ground.connect(await ground.listen("one", 8081, engine));
      if (version === "1.34") {
        await echoes(client, "reader");
        assert.equal(engine.stats().transport, "spdy_websocket");
      } else {
        assert.equal(await client.rest(), "");
        assert.match(reasons.join(), /not allowed to create pods\/portforward/);
        assert.match(
          reasons.join(),
          /auth can-i create pods\/one-\S+ --subresource=portforward -n faults/,
        );
      }
    } finally {
      await engine.close();
    }
  }
});

Deno.test("TunnelEngine does not trust a link to a pod that is gone", async () => {
  await using ground = await Ground.start({
    fixtures: ONE,
  });
  const echo = await ground.listen("one", 8081);
  await echoes(await ground.connect(echo), "before");
  const [pod] = await ground.cluster.control.pods();
  await ground.cluster.control.remove({
    resource: "pods",
    namespace: NS,
    name: pod!.name,
    graceSeconds: 0,
  });
  await echoes(await ground.connect(echo), "after");
});
