/** Who gets which address: enough for everybody, the same ones again, never one for two. */
import assert from "node:assert/strict";
import { deployment, service } from "../cluster/mod.ts";
import { addressOf, get } from "./facts.ts";
import { until } from "./sandbox.ts";
import { e2e } from "./scene.ts";
import { UID, withUser } from "./user.ts";

const ns = "crowd";
const SERVICES = 300;
const name = (n: number) => `svc-${String(n).padStart(3, "0")}`;
const port = [{ name: "http", port: 80, targetPort: 8080 }];
const objects = [
  deployment(ns, "all", { programs: ["http=8080"], ports: { http: 8080 } }),
  ...Array.from({ length: SERVICES }, (_, n) => service(ns, name(n), "all", port)),
];

/** Addresses by service of this user's block. */
function blockOf(hosts: string, uid: number): Map<string, string> {
  const block = new RegExp(`^# czctl begin ${uid} [^]*^# czctl end ${uid}$`, "m").exec(hosts);
  return new Map(
    (block?.[0] ?? "").split("\n").filter((line) => !line.startsWith("#"))
      .map((line) => line.split(/\s+/))
      .map(([address, first]) => [first!, address!]),
  );
}

e2e(
  "300 services have 300 addresses, the same in the next session and after a restart",
  async (scene) => {
    const { box, cluster, done } = scene;
    const opened = await done("teleport", "ns", ns);
    const before = blockOf(await box.hostsText(), 0);
    assert.equal(before.size, SERVICES);
    const addresses = [...before.values()];
    assert.equal(new Set(addresses).size, SERVICES);
    assert.ok(new Set(addresses.map((one) => one.split(".")[2])).size >= 2, "past 255");
    for (const address of addresses) {
      const [a, b, third, last] = address.split(".").map(Number);
      assert.ok(a === 127 && b === 1 && third! <= 255 && last! >= 1 && last! <= 254, address);
    }
    assert.match(opened.stdout, /300 services of crowd, 300 ports/);
    for (const n of [0, 253, 254, 255, 299]) {
      assert.match(await get(box, `http://${name(n)}.${ns}/`), /^Hello from all-/);
    }
    await done("session", "close");
    await until("svc has ended", async () => (await box.pidsOf("czfwd")).length === 0);

    // Another selection, other services gone and new: who is left keeps his address.
    await cluster.control.remove({ resource: "services", namespace: ns, name: name(1) });
    await cluster.control.apply({ objects: [service(ns, "aaa-new", "all", port)] });
    await done("teleport", "ns", ns, "--only", "svc-2*", "--only", "aaa-new", "--only", name(0));
    const again = blockOf(await box.hostsText(), 0);
    assert.equal(again.size, 102);
    for (const [service, address] of again) {
      if (service.startsWith("aaa-new")) assert.ok(!addresses.includes(address), "not one in use");
      else assert.equal(address, before.get(service), service);
    }
    // svc dies, all of it: the addresses are the same.
    const svc = await box.pidsOf("czfwd");
    await box.sh(`kill -9 ${svc.join(" ")}`);
    await until("svc has ended", async () => (await box.pidsOf("czfwd")).length === 0);
    await done("teleport", "ns", ns, "--only", name(299));
    assert.equal(await addressOf(box, name(299)), before.get(`${name(299)}.${ns}`));
    await done("session", "close");
  },
  { fixtures: objects },
);

e2e(
  "two users at once have ranges of their own, and one whose czfwd has died keeps his",
  async (scene) => {
    const { box, done } = scene;
    const me = await withUser(scene, true);
    await done("teleport", "ns", ns, "--only", name(0));
    const first = (await addressOf(box, name(0)))!;
    await me.done("start");
    await me.done("teleport", "ns", ns, "--context", "token", "--only", "svc-00*");
    const mine = blockOf(await box.hostsText(), UID);
    assert.equal(mine.size, 9, "the one name the other user has is left out");
    const details = (await me.done("session", "list", "--details")).stdout;
    assert.match(details, /! The names svc-000\.crowd, svc-000\.crowd\.svc, .* are left out: /);
    for (const address of mine.values()) {
      assert.notEqual(address.split(".")[2], first.split(".")[2], "a range of his own");
    }
    assert.match(await get(box, `http://${name(5)}.${ns}/`), /^Hello from all-/);
    assert.match(await get(box, `http://${name(0)}.${ns}/`), /^Hello from all-/);
    await me.done("stop", "--uninstall");
    await done("session", "close");
    await until("svc has ended", async () => (await box.pidsOf("czfwd")).length === 0);

    // A block without a living process behind it, and a line of the user's own.
    const plain = new TextDecoder().decode(scene.hostsBefore);
    const [a, b, third] = first.split(".");
    const others = `# czctl begin 4711 - added by czctl, removed by: czctl session close\n` +
      `${first}       other.theirs other.theirs.svc other.theirs.svc.cluster.local\n` +
      `# czctl end 4711\n`;
    const byHand = `${a}.${b}.${Number(third) + 1}.9\tby-hand\n`;
    await box.writeHosts(plain + byHand + others);
    await done("teleport", "ns", ns, "--only", name(0));
    const hosts = await box.hostsText();
    assert.ok(hosts.includes(byHand) && hosts.includes(others), "theirs is as it was");
    const moved = blockOf(hosts, 0).get(`${name(0)}.${ns}`)!;
    assert.ok(moved);
    assert.notEqual(moved.split(".")[2], third);
    assert.notEqual(Number(moved.split(".")[2]), Number(third) + 1);
    assert.match(await get(box, `http://${name(0)}/`), /^Hello from all-/);
    await done("session", "close");
    assert.equal(await box.hostsText(), plain + byHand + others);
    await box.writeHosts(plain);
  },
  { fixtures: objects, programs: ["sudo"] },
);
