/** Machines with something odd about them: plain words, and nothing spoiled. */
import assert from "node:assert/strict";
import { until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

const ns = "sample-project";

e2e("odd things in the state folder stop neither svc nor doctor", async (scene) => {
  const { box, czctl } = scene;
  await box.sh(`
    mkdir -p ~/.codezero/state/sessions/folder.json/full
    echo '{"version": 99}' > ~/.codezero/state/sessions/newer.json
    echo garbage > ~/.codezero/state/addresses.json`);
  const said = await czctl("doctor");
  assert.match(said.stdout, /sessions +2 sessions ended without cleaning up/);
  assert.equal(said.code, 1, said.stderr);
  await scene.done("teleport", "ns", ns);
  await scene.done("session", "close");
});

e2e("a svc that cannot come up says why, and does not stay", async (scene) => {
  const { box } = scene;
  await box.sh("mkdir -p ~/.codezero/state/addresses.json");
  const refused = await scene.czctl("teleport", "ns", ns);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^error: Cannot start czfwd: .*addresses\.json/m);
  await until("it has ended", async () => (await box.pidsOf("czfwd")).length === 0);
  await box.sh("rmdir ~/.codezero/state/addresses.json");
  await scene.done("teleport", "ns", ns);
  await scene.done("stop");
});
