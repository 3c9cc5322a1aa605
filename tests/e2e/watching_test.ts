/** A cluster that goes away, comes back, forgets and stays silent while a session is open. */
import assert from "node:assert/strict";
import { addressOf, get, sessions, status } from "./facts.ts";
import { until } from "./sandbox.ts";
import { e2e, type Scene } from "./scene.ts";
import { follows, ns, shop } from "./shop.ts";

async function reachable(scene: Scene): Promise<boolean> {
  return (await status(scene)).sessions[0]!.cluster.reachable;
}

e2e("watches outlive cuts, 410, restarts and lost events", async (scene) => {
  const { box, cluster, done } = scene;
  const { control } = cluster;
  await done("teleport", "ns", ns);
  await follows(scene, "plain");

  await control.cutWatches({});
  await follows(scene, "after-a-cut");
  await control.expireWatches({});
  await follows(scene, "after-an-expired-watch");
  await control.expireVersions({});
  await control.cutWatches({});
  await follows(scene, "after-an-expired-version");

  // Restarted, with changes while it was away: a Service gone and pods replaced.
  const restarted = control.restart({ downMs: 1500 });
  await control.remove({ resource: "services", namespace: ns, name: "plain" });
  await control.rollout({ namespace: ns, deployment: "web" });
  await restarted;
  await until(
    "what was missed is made up",
    async () => await addressOf(box, "plain.shop") === undefined,
    30_000,
  );
  await follows(scene, "after-a-restart", 30_000);
  assert.match(await get(box, "http://web.shop/"), /^Hello from web-/);

  const log = (await box.sh("cat ~/.codezero/log/czfwd.log")).stdout;
  assert.doesNotMatch(log, /MaxListenersExceeded|Unhandled|this is a bug/);
  await done("session", "close");
}, { fixtures: shop });

e2e("an unreachable cluster is visible in status, and heals by itself", async (scene) => {
  const { cluster, czctl, done } = scene;
  const { control } = cluster;
  await done("teleport", "ns", ns);
  assert.equal(await reachable(scene), true);

  // Half open: nothing is answered and nothing closed.
  await control.hang({ hung: true });
  await until("status says so", async () => !(await reachable(scene)), 30_000);
  const [session] = (await status(scene)).sessions;
  assert.ok(session!.cluster.reason && session!.cluster.since);
  assert.match((await done("status")).stdout, /the cluster is unreachable for .*: Cannot reach/);
  assert.match((await done("session", "list")).stdout, /cluster unreachable/);
  assert.match(
    (await done("session", "list", "--details")).stdout,
    /cluster unreachable for .*: Cannot reach/,
  );
  assert.ok(await addressOf(scene.box, "web.shop"), "the names stay");
  // Another session meanwhile is told soon and clearly.
  const other = await czctl("teleport", "deploy/web", "-n", ns);
  assert.equal(other.code, 3);
  assert.match(other.stderr, /Cannot reach the cluster/);
  await control.hang({ hung: false });
  await until("it heals", () => reachable(scene), 30_000);
  await follows(scene, "after-a-hang");
  await done("session", "close");
}, { fixtures: shop });

e2e("an expired token is told, and a new one is used without a restart", async (scene) => {
  const { cluster, box, done } = scene;
  const { control } = cluster;
  await done("teleport", "ns", ns, "--context", "exec");
  await control.rotateExec({ user: "exec-user", revoke: true });
  await control.cutWatches({});
  await follows(scene, "after-a-new-token", 30_000);
  assert.match(await get(box, "http://web.shop/"), /^Hello from web-/);
  await done("session", "close");

  await done("teleport", "ns", ns, "--context", "token");
  await control.revokeTokens({ user: "token-user" });
  await control.cutWatches({});
  await until("status says so", async () => !(await reachable(scene)), 30_000);
  const [session] = await sessions(scene);
  assert.match(session!.cluster.reason!, /the credentials of user "token.*" are refused/);
  await done("session", "close");
}, { fixtures: shop });
