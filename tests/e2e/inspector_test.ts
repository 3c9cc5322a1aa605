/** The inspector of the compiled binary, from `czctl inspect` to a replay. */
import assert from "node:assert/strict";
import { until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

e2e("inspect opens what passed through the tunnels, and nobody else may see it", async (scene) => {
  const { box, done } = scene;
  await done("teleport", "namespace", "sample-project");
  const address = (await done("inspect", "--no-open")).stdout.trim();
  const base = new URL(address).origin;
  const page = await box.run(["curl", "-sS", `${base}/`]);
  assert.match(page.stdout, /<title>czctl inspector<\/title>/);
  const tunnels = JSON.parse((await box.run(["curl", "-sS", `${base}/api/tunnels`])).stdout);
  assert.equal(tunnels.tunnels.length, 9);
  assert.match((await box.run(["curl", "-sS", `${base}/metrics`])).stdout, /^czctl_sessions 1$/m);

  const letIn = ["curl", "-sS", "-c", "jar", "-o", "/dev/null", "-w", "%{redirect_url}", address];
  const home = (await box.run(letIn)).stdout;
  const ask = async (path: string, ...more: string[]) =>
    JSON.parse((await box.run(["curl", "-sS", "-b", "jar", ...more, home + path])).stdout);
  assert.deepEqual((await ask("api/requests/http")).requests, []);

  const secret = ["-H", "Authorization: Bearer top-secret"];
  await box.run(["curl", "-sS", ...secret, "http://sample-project-web/some/path?token=abc"]);
  let [seen] = [] as { id: string; path: string; service: string; status: number; state: string }[];
  await until("the request is seen", async () => {
    [seen] = (await ask("api/requests/http")).requests;
    return seen?.state === "done";
  });
  assert.ok(seen);
  assert.equal(seen.path, "/some/path");
  assert.equal(seen.service, "sample-project-web");
  const detail = JSON.stringify(await ask(`api/requests/http/${seen.id}`));
  assert.doesNotMatch(detail, /top-secret|token=abc/);
  const json = ["-H", "content-type: application/json", "-d", JSON.stringify({ id: seen.id })];
  const replayed = await ask("api/requests/http", ...json);
  assert.equal(replayed.status, seen.status);
  assert.equal((await ask(`api/requests/http/${replayed.id}`)).replay_of, seen.id);

  const stranger = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}"];
  const status = async (...more: string[]) => (await box.run([...stranger, ...more])).stdout;
  assert.equal(await status(`${base}/api/requests/http`), "401");
  assert.equal(await status("-b", "jar", "-H", "Host: evil.example", `${home}api/status`), "403");
  assert.equal(
    await status("-b", "jar", "-H", "Origin: http://evil.example", `${home}api/status`),
    "403",
  );
  await done("teleport", "--clean");
});
