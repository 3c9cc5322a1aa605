/** Every fault of the control API has a test that sees it from outside. */
import assert from "node:assert/strict";
import { KubeConfig, Watch } from "@kubernetes/client-node";
import { api, credentials, eventually, podOf, portForwardPath } from "./harness.ts";
import { type Cluster, configMap, type Obj, scale, startCluster } from "./mod.ts";
import { SpdyClient } from "./spdy_client.ts";

const NS = "sample-project";
const core = `/api/v1/namespaces/${NS}`;

async function echoLink(cluster: Cluster): Promise<SpdyClient> {
  const path = portForwardPath(await podOf(cluster, "echo"));
  return await SpdyClient.open(await credentials(cluster, "admin"), path);
}

async function echoes(client: SpdyClient, text: string, timeoutMs = 3_000): Promise<void> {
  const { data } = client.connect(8081);
  client.data(data, text);
  await client.until((frame) => frame.stream === data && frame.body.toString() === text, timeoutMs);
}

Deno.test("drop resets port-forwards, of one pod or all, or every connection", async () => {
  await using cluster = await startCluster();
  const echo = await echoLink(cluster);
  const web = await SpdyClient.open(
    await credentials(cluster, "token"),
    portForwardPath(await podOf(cluster, "web")),
  );
  await echoes(echo, "fine");
  await cluster.control.drop({ what: "links", pod: `${NS}/${await podOf(cluster, "echo")}` });
  await eventually("the echo link is gone", () => echo.closed);
  assert.equal(web.closed, false);
  await cluster.control.drop({ what: "all" });
  await eventually("the web link is gone", () => web.closed);
  const { links, connectionsOpen } = await eventually("no connections", async () => {
    const counters = await cluster.control.counters();
    return counters.connectionsOpen === 0 && counters;
  });
  assert.deepEqual([links.length, connectionsOpen], [0, 0]);
});

Deno.test("freeze makes links half-open: nothing comes, nothing ends, then it goes on", async () => {
  await using cluster = await startCluster();
  const client = await echoLink(cluster);
  await echoes(client, "before");
  await cluster.control.freeze({ frozen: true });
  client.ping(1);
  await assert.rejects(echoes(client, "lost", 400));
  assert.equal(client.frames.some((frame) => frame.kind === "PING"), false);
  assert.equal(client.closed, false);
  await cluster.control.freeze({ frozen: false });
  await client.until((frame) => frame.kind === "PING");
  await echoes(client, "after");
  await client.close();
});

Deno.test("hang stops the whole API server without closing anything", async () => {
  await using cluster = await startCluster();
  const client = await echoLink(cluster);
  await cluster.control.hang({ hung: true });
  const answer = api(cluster, "token", "/version");
  const first = await Promise.race([
    answer.then(() => "answered"),
    new Promise((resolve) => setTimeout(() => resolve("silent"), 400)),
  ]);
  assert.equal(first, "silent");
  assert.equal(client.closed, false);
  await cluster.control.hang({ hung: false });
  assert.equal((await answer).status, 200);
  await echoes(client, "again");
  await client.close();
});

Deno.test("delay slows everything down, each way", async () => {
  await using cluster = await startCluster();
  await cluster.control.delay({ ms: 50 });
  const client = await echoLink(cluster);
  const start = performance.now();
  client.ping(1);
  await client.until((frame) => frame.kind === "PING");
  const took = performance.now() - start;
  assert.ok(took >= 98 && took < 400, `${took} ms`);
  await echoes(client, "slow but right");
  await client.close();
});

Deno.test("ways: a proxy in between takes the upgrade headers away", async () => {
  await using cluster = await startCluster();
  await cluster.control.ways({ spdy: false, websocket: true });
  const path = portForwardPath(await podOf(cluster, "echo"));
  await assert.rejects(
    SpdyClient.open(await credentials(cluster, "admin"), path),
    /400 .*Upgrade request required/,
  );
  await cluster.control.ways({ spdy: true, websocket: true });
  await (await SpdyClient.open(await credentials(cluster, "admin"), path)).close();
});

Deno.test("pod faults: refuse, reset and stall, and back", async () => {
  await using cluster = await startCluster();
  const pod = `${NS}/${await podOf(cluster, "echo")}`;
  const client = await echoLink(cluster);
  await cluster.control.podFault({ pod, fault: "refuse" });
  const refused = client.connect(8081);
  await client.until((frame) => frame.kind === "RST_STREAM" && frame.stream === refused.error);
  assert.match(client.text(refused.error), /connection refused/);
  await cluster.control.podFault({ pod, fault: "none" });
  await eventually("the pod listens", async () => {
    try {
      await echoes(client, "back", 200);
      return true;
    } catch {
      return false;
    }
  });
  await cluster.control.podFault({ pod, fault: "reset" });
  const reset = client.connect(8081);
  client.data(reset.data, "x");
  await client.until((frame) => frame.kind === "RST_STREAM" && frame.stream === reset.error);
  assert.match(client.text(reset.error), /connection reset by peer/);
  await cluster.control.podFault({ pod, fault: "stall" });
  await assert.rejects(echoes(client, "stalled", 400));
  assert.ok((await cluster.control.podStats({ pod })).accepted >= 3);
  await client.close();
});

Deno.test("restart: all connections die, a new port is in the kubeconfig", async () => {
  await using cluster = await startCluster();
  const client = await echoLink(cluster);
  const same = await cluster.control.restart({ downMs: 50 });
  assert.equal(same.url, cluster.url);
  await eventually("the link is gone", () => client.closed);
  await (await echoLink(cluster)).close();
  const moved = await cluster.control.restart({ newPort: true });
  assert.notEqual(moved.url, cluster.url);
  assert.equal((await credentials(cluster, "token")).url, moved.url);
  assert.equal((await api(cluster, "token", "/version")).status, 200);
});

Deno.test("tokens can be revoked and the exec plugin's rotated", async () => {
  await using cluster = await startCluster();
  await cluster.control.revokeTokens({ user: "token-user" });
  assert.equal((await api(cluster, "token", `${core}/pods`)).status, 401);

  const plugin = async () => {
    const config = JSON.parse(await Deno.readTextFile(cluster.kubeconfig));
    const { command } = config.users.find((one: Obj) => one.name === "exec-user").user.exec;
    const { stdout } = await new Deno.Command(command).output();
    return JSON.parse(new TextDecoder().decode(stdout)).status;
  };
  const ask = async (token: string) => {
    const client = Deno.createHttpClient({ caCerts: [cluster.caPem] });
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`${cluster.url}${core}/pods`, { client, headers });
    await response.body?.cancel();
    client.close();
    return response.status;
  };
  const old = await plugin();
  assert.equal(await ask(old.token), 200);
  await cluster.control.rotateExec({ lifetimeMs: 5_000, revoke: true });
  assert.equal(await ask(old.token), 401);
  const fresh = await plugin();
  assert.equal(await ask(fresh.token), 200);
  assert.ok(Date.parse(fresh.expirationTimestamp) - Date.now() <= 5_000);
  assert.equal(await cluster.control.execCalls({}), 2);
});

/** A watch of ConfigMaps through the real client library. */
async function clientWatch(cluster: Cluster, query: Record<string, string | boolean> = {}) {
  const config = new KubeConfig();
  config.loadFromFile(cluster.kubeconfig);
  config.setCurrentContext("admin");
  const events: { type: string; object: Obj }[] = [];
  let end: unknown;
  await new Watch(config).watch(
    `${core}/configmaps`,
    query,
    (type, object) => events.push({ type, object }),
    (error) => end = error ?? "ended",
  );
  return { events, end: () => end };
}

Deno.test("client-node lists and watches; watches can be cut, silenced, expired", async (t) => {
  await using cluster = await startCluster();
  const touch = (name: string) =>
    cluster.control.apply({ objects: [configMap(NS, name, { at: "x" })] });

  await t.step("list, then watch from its version, with changes and bookmarks", async () => {
    const list = await (await api(cluster, "token", `${core}/configmaps`)).json();
    const watch = await clientWatch(cluster, {
      resourceVersion: list.metadata.resourceVersion,
      allowWatchBookmarks: true,
      timeoutSeconds: "3",
    });
    await touch("one");
    await cluster.control.remove({ resource: "configmaps", namespace: NS, name: "one" });
    await eventually("the orderly end", () => watch.end());
    assert.deepEqual(watch.events.map((event) => event.type), ["ADDED", "DELETED", "BOOKMARK"]);
  });

  await t.step("a cut watch ends in the middle, without the end of its body", async () => {
    // Not through the library: in Deno its stream error is nobody's to catch.
    const { url, headers } = await credentials(cluster, "token");
    const client = Deno.createHttpClient({ caCerts: [cluster.caPem], http2: false });
    const init = { client, headers: headers ?? {} };
    const response = await fetch(`${url}${core}/configmaps?watch=1`, init);
    const reader = response.body!.getReader();
    assert.equal((await reader.read()).done, false);
    assert.equal(await cluster.control.cutWatches({ resource: "configmaps" }), 1);
    await assert.rejects(async () => {
      while (!(await reader.read()).done);
    }, TypeError);
    client.close();
  });

  await t.step("a silent watch stays open and misses what happens", async () => {
    // Ended by the server: the library's abort leaves the connection open in Deno.
    const watch = await clientWatch(cluster, { timeoutSeconds: "1" });
    await eventually("initial events", () => watch.events.length >= 2);
    const before = watch.events.length;
    await cluster.control.silenceWatches({ silent: true });
    await touch("missed");
    await cluster.control.silenceWatches({ silent: false });
    await touch("heard");
    await eventually("the second", () => watch.events.length > before);
    const heard = watch.events.slice(before).map((event) => event.object.metadata.name);
    assert.deepEqual(heard, ["heard"]);
    await eventually("the end", () => watch.end());
  });

  await t.step("410 as an event of a running watch, and as the answer to a new one", async () => {
    const list = await (await api(cluster, "token", `${core}/configmaps`)).json();
    const watch = await clientWatch(cluster, {
      resourceVersion: list.metadata.resourceVersion,
    });
    await eventually(
      "it runs",
      async () => (await cluster.control.counters()).watches.length === 1,
    );
    await touch("unnoticed");
    await cluster.control.expireWatches({});
    await eventually("the error event", () => watch.events.some((event) => event.type === "ERROR"));
    const error = watch.events.find((event) => event.type === "ERROR")!.object;
    assert.deepEqual([error.kind, error.code, error.reason], ["Status", 410, "Expired"]);
    await eventually("the end", () => watch.end());

    await cluster.control.expireVersions({});
    const version = list.metadata.resourceVersion;
    const answer = await api(
      cluster,
      "token",
      `${core}/configmaps?watch=1&resourceVersion=${version}&timeoutSeconds=1`,
    );
    assert.equal(answer.status, 410);
    assert.equal((await answer.json()).reason, "Expired");
  });

  await t.step("paused controllers leave a deleted pod unreplaced", async () => {
    await cluster.control.pauseControllers({ paused: true });
    const name = await podOf(cluster, "sails");
    await cluster.control.remove({ resource: "pods", namespace: NS, name });
    const sails = async () =>
      (await cluster.control.pods()).filter((pod) => pod.name.startsWith("sails-"));
    await eventually("it is gone", async () => (await sails()).length === 0);
    await cluster.control.pauseControllers({ paused: false });
    await eventually("a new one", async () => (await sails()).some((pod) => pod.ready));
  });
});

Deno.test("counters tell requests, connections, links and bytes", async () => {
  await using cluster = await startCluster();
  await cluster.control.resetCounters();
  await api(cluster, "token", `${core}/pods`);
  const client = await echoLink(cluster);
  await echoes(client, "12345");
  const counters = await cluster.control.counters();
  assert.equal(counters.requests[`GET ${core}/pods`], 1);
  assert.equal(counters.connectionsTotal, 2);
  const [link] = counters.links;
  assert.deepEqual(
    [link?.way, link?.streams, link?.bytesUp, link?.bytesDown],
    ["spdy", 1, 5, 5],
  );
  await client.close();
});

Deno.test("a big cluster starts lazily and answers", async () => {
  await using cluster = await startCluster({
    fixtures: scale({ services: 100, pods: 1_000 }),
    lazyPods: true,
  });
  const list = await (await api(cluster, "token", "/api/v1/namespaces/scale/services")).json();
  assert.equal(list.items.length, 100);
  const pods = await cluster.control.pods();
  assert.equal(pods.length, 1_000);
  const client = await SpdyClient.open(
    await credentials(cluster, "admin"),
    portForwardPath(pods[777]!.name, "scale"),
  );
  await echoes(client, "lazy");
  await client.close();
});

Deno.test("two gateways share one port", async () => {
  await using cluster = await startCluster({ gateways: 2 });
  const clients = await Promise.all(Array.from({ length: 8 }, () => echoLink(cluster)));
  for (const client of clients) await echoes(client, "both");
  assert.equal((await cluster.control.counters()).links.length, 8);
  for (const client of clients) await client.close();
});
