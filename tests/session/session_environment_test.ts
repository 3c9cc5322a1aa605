import assert from "node:assert/strict";
import { join } from "node:path";
import type { TeleportRequest } from "../../src/model/control.ts";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { SessionEnvironment } from "../../src/session/session_environment.ts";
import { MemoryObjects, webDeployment, webPod } from "../envfile/memory_objects.ts";

Deno.test("SessionEnvironment computes anew when a local address changed, not when endpoints did", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "env.sh");
  const objects = new MemoryObjects();
  const deployment = webDeployment({});
  objects.put("deployments", deployment);
  objects.put("pods", webPod(deployment));
  for (const [name, clusterIP] of [["db", "10.96.0.9"], ["api", "10.96.0.8"]] as const) {
    objects.put("services", {
      metadata: { name, namespace: "shop" },
      spec: { clusterIP, ports: [{ port: 80 }] },
    });
  }
  const addresses = new Map([["db", "127.1.31.1"]]);
  const request = { envFile: path, cwd: folder, env: {} } as unknown as TeleportRequest;
  const signal = new AbortController().signal;
  const environment = await SessionEnvironment.claim({
    request,
    workload: { kind: "deployment", name: "web", namespace: "shop" },
    objects,
    addressOf: (service) => addresses.get(service),
    clock: systemClock,
    log: silentLogger,
    persist: () => Promise.resolve(),
  }, signal);
  assert.ok(environment);
  const holds = async (line: string) => {
    const end = performance.now() + 5000;
    while (!(await Deno.readTextFile(path)).split("\n").includes(line)) {
      assert.ok(performance.now() < end, await Deno.readTextFile(path));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  try {
    await environment.start(signal);
    await holds("export API_SERVICE_HOST='10.96.0.8'");
    // The watches' first looks end in computations of their own.
    let before = -1;
    while (before !== objects.requests.length) {
      before = objects.requests.length;
      await new Promise((resolve) => setTimeout(resolve, 700));
    }
    for (let i = 0; i < 5; i++) {
      environment.addressesChanged();
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    assert.equal(objects.requests.length, before, "nothing was read again");
    addresses.set("api", "127.1.31.2");
    environment.addressesChanged();
    await holds("export API_SERVICE_HOST='127.1.31.2'");
    addresses.delete("db");
    environment.addressesChanged();
    await holds("export DB_SERVICE_HOST='10.96.0.9'");
  } finally {
    await environment.close();
    await Deno.remove(folder, { recursive: true });
  }
});
