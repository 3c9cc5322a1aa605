import assert from "node:assert/strict";
import { startCluster } from "./mod.ts";

Deno.test("startCluster serves the guide fixture, and close leaves nothing behind", async () => {
  const cluster = await startCluster();
  try {
    const pods = await cluster.control.pods();
    assert.equal(pods.length, 7);
    assert.ok(pods.every((pod) => pod.ready && pod.phase === "Running"));
    const web = pods.find((pod) => pod.name.startsWith("web-"))!;
    const response = await fetch(`http://${web.address}:8080/`);
    assert.match(await response.text(), /^Hello from web-/);
    assert.equal(response.headers.get("x-pod"), web.name);
  } finally {
    await cluster.close();
  }
  await assert.rejects(Deno.stat(cluster.folder), Deno.errors.NotFound);
  assert.throws(() => Deno.kill(cluster.pid, "SIGCONT"), Deno.errors.NotFound);
});
