/** Rolling restarts of three pods under load. */
import assert from "node:assert/strict";
import { deployment, GRACEFUL } from "../cluster/mod.ts";
import { Ground, NS } from "./test_cluster.ts";
import { until } from "./support.ts";

async function threePods(): Promise<Ground> {
  return await Ground.start({
    fixtures: [
      deployment(NS, "web", {
        programs: ["http=8080"],
        replicas: 3,
        graceSeconds: GRACEFUL.maxGraceMs / 1000,
      }),
    ],
    timings: GRACEFUL,
  });
}

/** Restarts the pods and waits until none of `old` is left. */
async function restart(ground: Ground, old: ReadonlySet<string>): Promise<void> {
  const { control } = ground.cluster;
  await control.rollout({ namespace: NS, deployment: "web" });
  await until(
    async () => !(await control.pods()).some((pod) => old.has(pod.name)),
    "old pods are gone",
    30_000,
  );
}

Deno.test("TunnelEngine: a rolling restart under load fails no new connection", async () => {
  await using ground = await threePods();
  const web = await ground.listen("web", 8080);
  const request = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
  const pods = new Set<string>();
  const failures: string[] = [];
  let sent = 0;
  const one = async () => {
    sent++;
    try {
      const client = await ground.connect(web);
      await client.write(request);
      const answer = await client.rest(12_000);
      client.close();
      assert.match(answer, /^HTTP\/1\.1 200/);
      pods.add(/x-pod: (.*)/i.exec(answer)?.[1] ?? "");
    } catch (error) {
      failures.push(String(error));
    }
  };
  const running: Promise<void>[] = [];
  let over = false;
  const load = async () => {
    while (!over) {
      running.push(one());
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const loading = load();
  const before = new Set<string>();
  try {
    await until(() => pods.size === 3, "all three pods have answered", 10_000);
    for (const pod of pods) before.add(pod);
    await restart(ground, before);
    await until(() => pods.size === 6, "three new pods have answered", 30_000);
    const then = sent;
    await until(() => sent > then + 50, "a second of load after the last change", 10_000);
  } finally {
    over = true;
    await loading;
    await Promise.all(running);
  }
  assert.deepEqual(failures, [], `of ${sent} requests`);
  assert.equal([...pods].filter((pod) => before.has(pod)).length, 3);
});

/**
 * On a real cluster up to two seconds lie between the end of a pod's program and the news of it: a
 * program that ends at once on SIGTERM refuses connections while its pod is still named ready.
 */
Deno.test("TunnelEngine: pods that end before the cluster says so fail no new connection", async () => {
  await using ground = await Ground.start({
    fixtures: [deployment(NS, "web", { programs: ["http=8080"], replicas: 2 })],
  });
  const { control } = ground.cluster;
  const web = await ground.listen("web", 8080);
  const one = async () => {
    const client = await ground.connect(web);
    await client.write("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
    const answer = await client.rest(15_000);
    client.close();
    return /^HTTP\/1\.1 200.*x-pod: (\S+)/s.exec(answer)?.[1] ?? `no answer: ${answer}`;
  };
  await one();
  await until(() => web.stats.connections === 0, "it is over");
  const old = (await control.pods()).map(({ name }) => name);
  for (const pod of old) await control.podFault({ pod: `${NS}/${pod}`, fault: "refuse" });
  const running = Promise.all(Array.from({ length: 20 }, one));
  running.catch(() => {});
  await until(() => web.stats.connections === 20, "all are open");
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(web.stats.connections, 20, "all are held");
  for (const name of old) await control.remove({ resource: "pods", namespace: NS, name });
  for (const pod of await running) assert.ok(pod.startsWith("web-") && !old.includes(pod), pod);
  assert.equal(web.stats.failed, 0);
});

Deno.test("TunnelEngine: a rolling restart fails no request on kept-alive connections", async () => {
  await using ground = await threePods();
  const web = await ground.listen("web", 8080);
  const old = new Set((await ground.cluster.control.pods()).map((pod) => pod.name));
  const pods = new Set<string>();
  const wrong: string[] = [];
  let over = false;
  let answered = 0;
  const worker = async () => {
    while (!over) {
      const client = await ground.connect(web);
      let pod = "";
      try {
        while (!over) {
          await client.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
          let length = 0;
          for (let line = await client.line(); line !== ""; line = await client.line()) {
            length = Number(/^content-length: (\d+)/i.exec(line)?.[1] ?? length);
            pod = /^x-pod: (.*)/i.exec(line)?.[1] ?? pod;
          }
          await client.bytes(length);
          pods.add(pod);
          answered++;
          await new Promise((resolve) => setTimeout(resolve, 60));
        }
      } catch (error) {
        // Nothing is in flight on a removed pod either: each is given time, and answers at once.
        wrong.push(`${pod || "first request"}: ${error}`);
      }
      client.close();
    }
  };
  const running = Array.from({ length: 6 }, worker);
  try {
    await until(() => pods.size === 3, "all three pods have answered", 10_000);
    await restart(ground, old);
    await until(() => [...pods].some((name) => !old.has(name)), "new pods have answered", 30_000);
    const then = answered;
    await until(() => answered > then + 50, "it goes on");
  } finally {
    over = true;
    await Promise.all(running);
  }
  assert.deepEqual(wrong, []);
});
