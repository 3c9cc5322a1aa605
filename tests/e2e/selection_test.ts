/** Which services, and which of their names. */
import assert from "node:assert/strict";
import { deployment, type Obj, service } from "../cluster/mod.ts";
import { addressOf, get } from "./facts.ts";
import { until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

const ns = "shop";

function labelled(name: string, tier: string): Obj {
  const object = service(ns, name, "all", [{ name: "http", port: 80, targetPort: 8080 }]);
  return { ...object, metadata: { ...object.metadata, labels: { tier } } };
}

const objects: Obj[] = [
  deployment(ns, "all", { programs: ["http=8080"], ports: { http: 8080 } }),
  labelled("web-a", "front"),
  labelled("web-b", "front"),
  labelled("api", "back"),
  labelled("db", "back"),
  service("tools", "web-a", undefined, [{ port: 80 }]),
];

e2e("--only, --exclude, -l, --no-short-names and --cluster-domain choose", async (scene) => {
  const { box, cluster, czctl, done } = scene;
  const chosen = async (...options: string[]) => {
    await done("teleport", "ns", ns, ...options);
    const names = ["web-a", "web-b", "api", "db"];
    const found: string[] = [];
    for (const name of names) if (await addressOf(box, `${name}.${ns}`)) found.push(name);
    return found;
  };
  const close = () => done("session", "close");

  assert.deepEqual(await chosen("--only", "web-*"), ["web-a", "web-b"]);
  // What comes later is chosen by the same rules.
  await cluster.control.apply({ objects: [labelled("web-c", "front"), labelled("cron", "back")] });
  await until("web-c is taken in", async () => await addressOf(box, "web-c.shop") !== undefined);
  assert.equal(await addressOf(box, "cron.shop"), undefined);
  await close();

  assert.deepEqual(await chosen("--only", "web-?", "--only", "db", "--exclude", "shop/web-b"), [
    "web-a",
    "db",
  ]);
  await close();
  assert.deepEqual(await chosen("--exclude", "tools/*", "--exclude", "api"), [
    "web-a",
    "web-b",
    "db",
  ]);
  await close();

  assert.deepEqual(await chosen("-l", "tier in (back),tier!=front"), ["api", "db"]);
  await cluster.control.apply({
    objects: [{ ...labelled("db", "front"), spec: {} }],
  });
  await until(
    "a service that loses the label goes",
    async () => await addressOf(box, "db.shop") === undefined,
  );
  await close();

  await chosen("--no-short-names", "--cluster-domain", "k8s.internal");
  assert.match(await get(box, "http://api.shop.svc.k8s.internal/"), /^Hello from all-/);
  assert.equal(await addressOf(box, "api.shop.svc.cluster.local"), undefined);
  assert.equal(await addressOf(box, "api"), undefined);
  assert.ok(await addressOf(box, "api.shop"));
  await close();

  const none = await czctl("teleport", "ns", ns, "--only", "nothing-*");
  assert.equal(none.code, 1);
  assert.match(none.stderr, /no service of namespace "shop" is left after --only and --exclude/);
  const bad = await czctl("teleport", "ns", ns, "-l", "tier in (");
  assert.notEqual(bad.code, 0);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /unable to parse requirement/);
  const nobody = await czctl("teleport", "ns", ns, "-l", "tier=none");
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /has no services that fit -l "tier=none"/);
}, { fixtures: objects });
