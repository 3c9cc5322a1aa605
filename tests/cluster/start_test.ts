import assert from "node:assert/strict";
import { eventually } from "./harness.ts";
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

Deno.test("a cluster ends with whoever started it, even by kill -9", async () => {
  const main = new URL("./main.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", main],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let text = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!text.includes("Ctrl-C")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`main.ts ended: ${text}`);
    text += value;
  }
  const control = /CONTROL_URL=(\S+)/.exec(text)![1]!;
  const kubeconfig = /KUBECONFIG=(\S+)/.exec(text)![1]!;
  const url = JSON.parse(await Deno.readTextFile(kubeconfig)).clusters[0].cluster.server;
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  for (const address of [control, url]) {
    const { hostname, port } = new URL(address);
    await eventually(`nothing listens at ${address}`, async () => {
      try {
        (await Deno.connect({ hostname, port: Number(port) })).close();
        return false;
      } catch {
        return true;
      }
    });
  }
  await eventually("the folder is gone", async () => {
    try {
      await Deno.stat(kubeconfig);
      return false;
    } catch {
      return true;
    }
  });
});
