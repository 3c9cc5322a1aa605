/**
 * A thousand Services with 2,000 ports and 10,000 pods: what docs/performance.md
 * measures on an idle machine, as limits that hold on a busy one. CPU time and
 * counts are the same anywhere; time on the clock gets the machine's load on top.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { cpuSeconds, pssMegabytes } from "../bench/processes.ts";
import { deployment, scale, service } from "../cluster/mod.ts";
import { get, untilAnswer } from "./facts.ts";
import { type Sandbox, until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

const ns = "scale";

/** How much longer than on an idle machine with two cores things may take now. */
function load(): number {
  return Math.max(1, Deno.loadavg()[0]!);
}

/** Pids from outside: the helper is a child of svc. */
function processes(box: Sandbox): { all: number[]; svc: number } {
  const all = box.processes("czfwd");
  const children = new Set(
    all.flatMap((pid) =>
      Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim().split(/\s+/).map(Number)
    ),
  );
  return { all, svc: all.find((pid) => !children.has(pid))! };
}

function memoryOf(pid: number): number {
  const text = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(text)![1]) * 1024 / 1e6;
}

/** New files under the name of the sandbox's hosts file, and changes of it, since the call. */
function writes(box: Sandbox): { count(): number; close(): void } {
  const path = join(box.folder, "etc", "hosts");
  const seen = new Set<string>();
  const look = () => {
    try {
      const { ino, mtime, size } = Deno.statSync(path);
      seen.add(`${ino} ${mtime?.getTime()} ${size}`);
    } catch {
      // Between two names.
    }
  };
  look();
  const watcher = Deno.watchFs(join(box.folder, "etc"));
  void (async () => {
    for await (const event of watcher) if (event.paths.includes(path)) look();
  })();
  return {
    count() {
      look();
      return seen.size - 1;
    },
    close: () => watcher.close(),
  };
}

/** Resolves when the processes have used next to nothing for a second. */
async function calm(pids: readonly number[]): Promise<void> {
  let last = -1;
  let since = performance.now();
  await until("czfwd is at rest", () => {
    const now = cpuSeconds(pids);
    if (now - last > 0.02) {
      last = now;
      since = performance.now();
    }
    return performance.now() - since > 1_000;
  }, 60_000);
}

e2e("1,000 services: opened, rolled out and closed within the limits", async (scene) => {
  const { box, cluster, done } = scene;
  const { control } = cluster;
  const before = await control.counters();
  const hosts = writes(box);
  const started = performance.now();
  const opened = await done("teleport", "ns", ns, "--context", "token");
  const openSeconds = (performance.now() - started) / 1000;
  assert.match(opened.stdout, /1000 services of scale, 2000 ports/);
  assert.ok(openSeconds < 5 * load(), `opened in ${openSeconds} s`);
  const { all, svc } = processes(box);
  assert.ok(hosts.count() >= 1 && hosts.count() <= 4, `${hosts.count()} writes of the hosts file`);
  const after = await control.counters();
  const connections = after.connectionsTotal - before.connectionsTotal;
  assert.ok(connections <= 6, `${connections} connections to the API server`);
  assert.ok(
    !Object.keys(after.requests).some((request) => /\/pods\b/.test(request)),
    "no pod is asked for where EndpointSlices are there",
  );
  for (const name of ["app-0000", "app-0500", "app-0999"]) {
    assert.match(await get(box, `http://${name}.${ns}/`), new RegExp(`^Hello from ${name}-`));
  }
  await calm(all);
  assert.ok(memoryOf(svc) < 200, `svc uses ${memoryOf(svc)} MB`);

  // Every service gets a pod anew: their EndpointSlices change, no name does.
  const atRest = hosts.count();
  const cpu = cpuSeconds(all);
  await control.resetCounters();
  const victims = new Map(
    (await control.pods()).map((pod) => [pod.name.replace(/-[^-]+-[^-]+$/, ""), pod.name]),
  );
  for (const name of victims.values()) {
    await control.remove({ resource: "pods", namespace: ns, name, graceSeconds: 0 });
  }
  await until("everything is rolled out", async () => {
    const now = await control.pods();
    return now.length === 10_000 && now.every((pod) => pod.ready && !pod.terminating);
  }, 60_000);
  await calm(all);
  const { changes } = await control.counters();
  assert.ok(changes.pods! >= 5_000, `${changes.pods} pod events`);
  // A second of CPU for 5,000 pod events is the goal, which the bench measures; on a machine with
  // other work a second costs half as much again. Twice as much is a mistake of czctl's.
  const used = cpuSeconds(all) - cpu;
  assert.ok(used < changes.pods! / 2_500, `${used} s of CPU for ${changes.pods} pod events`);
  assert.equal(hosts.count(), atRest, "no write for a rollout");
  await untilAnswer(box, `http://app-0001.${ns}/`, /^Hello from app-0001-/);
  assert.ok(memoryOf(svc) < 200, `svc uses ${memoryOf(svc)} MB after it`);

  const closing = performance.now();
  await done("session", "close");
  const closeSeconds = (performance.now() - closing) / 1000;
  assert.ok(closeSeconds < 2 * load(), `closed in ${closeSeconds} s`);
  hosts.close();
}, { fixtures: scale({ services: 1000, pods: 10_000, namespace: ns }), lazyPods: true });

const port = [{ name: "http", port: 80, targetPort: 8080 }];
e2e("200 idle services need little memory", async (scene) => {
  const { box, done } = scene;
  await done("teleport", "ns", ns, "--context", "token");
  const { all } = processes(box);
  await calm(all);
  const megabytes = pssMegabytes(all);
  assert.ok(megabytes <= 180, `${megabytes} MB`);
  await done("session", "close");
}, {
  fixtures: [
    deployment(ns, "all", { programs: ["http=8080"], ports: { http: 8080 } }),
    ...Array.from({ length: 200 }, (_, n) => service(ns, `svc-${n}`, "all", port)),
  ],
});
