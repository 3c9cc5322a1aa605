/** The programs pods run, asked straight at their addresses. */
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { eventually } from "./harness.ts";
import { cronJob, daemonSet, job, type Obj, service, startCluster, statefulSet } from "./mod.ts";

const NS = "sample-project";

/** Sends text, half-closes, and reads to the end. */
async function talk(hostname: string, port: number, text: string): Promise<string> {
  const connection = await Deno.connect({ hostname, port });
  try {
    await connection.write(new TextEncoder().encode(text));
    await connection.closeWrite();
    return await new Response(connection.readable).text();
  } finally {
    try {
      connection.close();
    } catch {
      // Read to its end, which closed it.
    }
  }
}

Deno.test("pod programs do what their names say", async (t) => {
  const pod: Obj = {
    kind: "Pod",
    metadata: {
      name: "all",
      namespace: NS,
      annotations: { "test-cluster/process": "own" },
    },
    spec: {
      containers: [{
        name: "c",
        args: [
          ...["http=80", "echo=7001", "source=7002?n=100000", "sink=7003", "reset=7004?after=3"],
          ...["close=7005?text=bye", "redis=6379", "slow=7006?ms=30", "stall=7007"],
        ],
      }],
    },
  };
  await using cluster = await startCluster({ fixtures: [pod] });
  const [place] = await cluster.control.pods();
  const host = place!.address!;

  await t.step("http, moved up to where no root is needed", async () => {
    const get = async (path: string, init: RequestInit = {}) =>
      await fetch(`http://${host}:40080${path}`, init);
    const bytes = await get("/bytes?n=300000");
    assert.equal((await bytes.arrayBuffer()).byteLength, 300_000);
    const echo = await (await get("/echo", { method: "POST", body: "b", headers: { x: "y" } }))
      .json();
    assert.deepEqual([echo.pod, echo.method, echo.body, echo.headers.x], ["all", "POST", "b", "y"]);
    const upload = await get("/upload", { method: "PUT", body: new Uint8Array(70_000) });
    assert.deepEqual(await upload.json(), { received: 70_000 });
    const status = await get("/status?code=418");
    assert.equal(status.status, 418);
    await status.body?.cancel();
    assert.equal((await (await get("/chunks?n=3&ms=1")).text()).split("\n").length, 4);
  });

  await t.step("websocket echo, text and binary, small and big", async () => {
    const socket = new WebSocket(`ws://${host}:40080/`);
    const seen: string[] = [];
    socket.on("message", (data, binary) => seen.push(`${binary} ${(data as Uint8Array).length}`));
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send("hello");
    socket.send(new Uint8Array(100_000));
    await eventually("two answers", () => seen.length === 2);
    assert.deepEqual(seen, ["false 5", "true 100000"]);
    socket.close();
    await new Promise((resolve) => socket.once("close", resolve));
  });

  await t.step("plain TCP", async () => {
    assert.equal(await talk(host, 7001, "hello"), "hello");
    assert.equal((await talk(host, 7002, "")).length, 100_000);
    assert.equal(await talk(host, 7003, "12345"), "5\n");
    await assert.rejects(talk(host, 7004, "123"), /reset/i);
    assert.equal(await talk(host, 7005, ""), "bye");
    assert.equal(await talk(host, 7006, "slow"), "slow");
  });

  await t.step("redis", async () => {
    const commands = "SET a 1 EX 100\r\nINCR a\r\nTTL a\r\nGET a\r\nHELLO 3\r\nQUIT\r\n";
    assert.equal(
      await talk(host, 6379, commands),
      "+OK\r\n:2\r\n:100\r\n$1\r\n2\r\n-ERR unknown command 'HELLO', with args beginning with: \r\n" +
        "+OK\r\n",
    );
  });
});

Deno.test("a StatefulSet comes up in order, keeps its names, and goes down in order", async () => {
  await using cluster = await startCluster({ fixtures: [], timings: { startMs: 30 } });
  const names = async () =>
    (await cluster.control.pods()).map((pod) => `${pod.name}${pod.ready ? "" : "?"}`).join(" ");
  const seen = new Set<string>();
  const until = (what: string) =>
    eventually(what, async () => {
      const now = await names();
      seen.add(now);
      return now === what;
    });
  await cluster.control.apply({
    objects: [service(NS, "db", "db", [{ port: 80, targetPort: 8080 }], { clusterIP: "None" })],
  });
  await cluster.control.apply({
    objects: [statefulSet(NS, "db", "db", { programs: ["http=8080"], replicas: 0 })],
  });
  await cluster.control.scale({ resource: "statefulsets", namespace: NS, name: "db", replicas: 3 });
  await until("db-0 db-1 db-2");
  for (const state of seen) {
    // Never a second one that is not ready, never a gap.
    assert.ok(
      ["", "db-0?", "db-0", "db-0 db-1?", "db-0 db-1"].some((one) => one === state) ||
        state.startsWith("db-0 db-1 db-2"),
      state,
    );
  }
  const [first] = await cluster.control.pods();
  await cluster.control.remove({ resource: "pods", namespace: NS, name: "db-0" });
  await eventually("a new db-0", async () => {
    const again = (await cluster.control.pods()).find((pod) => pod.name === "db-0");
    return again?.ready && again.uid !== first!.uid;
  });
  await cluster.control.scale({ resource: "statefulsets", namespace: NS, name: "db", replicas: 1 });
  await until("db-0");
});

Deno.test("a Job completes, a DaemonSet has its pod, a CronJob is there", async () => {
  await using cluster = await startCluster({
    fixtures: [
      job(NS, "migrate", { programs: ["exit=1?ms=20"] }),
      daemonSet(NS, "agent", { programs: ["http=9100"] }),
      cronJob(NS, "nightly", { programs: ["exit=1"] }),
    ],
  });
  const pods = await eventually("the job's pod succeeded", async () => {
    const pods = await cluster.control.pods();
    return pods.some((pod) => pod.phase === "Succeeded") && pods;
  });
  assert.deepEqual(
    pods.map((pod) => [pod.name.split("-")[0], pod.phase, pod.ready]),
    [["agent", "Running", true], ["migrate", "Succeeded", false]],
  );
});
