/** Several namespaces, namespaces that come later, several clusters at once. */
import assert from "node:assert/strict";
import { deployment, service, startCluster } from "../cluster/mod.ts";
import { addressOf, get, namespaceObject, sessions, untilAnswer } from "./facts.ts";
import { until } from "./sandbox.ts";
import { e2e, type Scene } from "./scene.ts";

function web(namespace: string, name = "web") {
  return [
    deployment(namespace, name, { programs: ["http=8080"], ports: { http: 8080 } }),
    service(namespace, name, name, [{ name: "http", port: 80, targetPort: 8080 }]),
  ];
}

/** The session of a namespace of the second cluster, the one without a domain. */
async function idOf(scene: Scene, namespace: string): Promise<string> {
  const found = (await sessions(scene)).find((one) =>
    one.server !== scene.cluster.url && one.namespaces.includes(namespace) &&
    !one.services.some((service) => service.names.some((name) => name.endsWith("staging.test")))
  );
  assert.ok(found);
  return found.id;
}

e2e("-a adds namespaces, --all-namespaces takes those that come later, too", async (scene) => {
  const { box, cluster, czctl, done } = scene;
  const added = await done("teleport", "deploy/web", "-n", "one", "-a", "two", "-a", "three");
  assert.match(added.stdout, /3 services of one, two, three, 3 ports/);
  for (const name of ["web.one", "web.two.svc", "web.three.svc.cluster.local"]) {
    assert.match(await get(box, `http://${name}/`), /^Hello from web-/);
  }
  assert.equal(
    await addressOf(box, "web"),
    await addressOf(box, "web.one"),
    "the bare name means the workload's own namespace",
  );
  assert.equal(await addressOf(box, "web.four"), undefined);
  const wrong = await czctl("teleport", "deploy/web", "-n", "two", "-a", "thre");
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /Namespace "thre" not found; did you mean "three"/);
  await done("session", "close");

  await done("teleport", "deploy/web", "-n", "one", "--all-namespaces");
  assert.match(await get(box, "http://web.four/"), /^Hello from web-/);
  const details = (await done("session", "list", "--details")).stdout;
  assert.match(details, /default\/kubernetes .*name no pod|default\/kubernetes .*no selector/);
  assert.equal(await addressOf(box, "web.five"), undefined);
  await cluster.control.apply({ objects: web("five") });
  await untilAnswer(box, "http://web.five.svc.cluster.local/", /^Hello from web-/);
  await cluster.control.remove({ resource: "namespaces", name: "four" });
  await until(
    "a namespace that is gone has no names",
    async () => await addressOf(box, "web.four") === undefined,
  );
  assert.match(await get(box, "http://web.one/"), /^Hello from web-/);
  await done("session", "close");
}, { fixtures: ["one", "two", "three", "four"].flatMap((namespace) => web(namespace)) });

e2e("a namespace that is deleted is told, until it is back", async (scene) => {
  const { box, cluster: { control }, czctl, done } = scene;
  await done("teleport", "deploy/web", "-n", "one", "-a", "two");
  await done("teleport", "deploy/web", "-n", "two");
  const gone = 'Namespace "two" no longer exists';
  assert.doesNotMatch((await done("status")).stdout, /Namespace/);

  await control.remove({ resource: "namespaces", name: "two" });
  await until("it is told", async () => (await done("status")).stdout.includes(gone));
  const { stdout } = await done("status");
  assert.match(stdout, /deployment\/web +two .* namespace gone /);
  assert.match(stdout, /deployment\/web +one,two .* ready /);
  assert.match((await czctl("doctor")).stdout, /session \w+ +Namespace "two" no longer exists/);
  assert.match((await done("session", "list", "--details")).stdout, new RegExp(`! ${gone}`));
  const again = await done("teleport", "deploy/web", "-n", "one");
  assert.match(again.stdout + again.stderr, new RegExp(gone));

  await control.apply({ objects: [namespaceObject("two")] });
  assert.doesNotMatch((await done("status")).stdout, /Namespace/, "it is back, still empty");
  await control.apply({ objects: web("two") });
  await untilAnswer(box, "http://web.two/", /^Hello from web-/);
  await done("session", "close", "--all");
}, { fixtures: ["one", "two"].flatMap((namespace) => web(namespace)) });

e2e(
  "a session with --domain beside one without shares its services, in either order",
  async (scene) => {
    const { box, done } = scene;
    const one = ["teleport", "deploy/web", "-n", "one"];
    const two = ["teleport", "ns", "one", "--domain", "staging.test"];
    const urls = ["http://web/", "http://web.one/", "http://web.one.svc.staging.test/"];
    for (const [first, second] of [[one, two], [two, one]] as const) {
      await done(...first);
      const opened = await done(...second);
      assert.doesNotMatch(opened.stdout + opened.stderr, /another program/);
      for (const url of urls) assert.match(await get(box, url), /^Hello from web-/, url);
      const own = (await sessions(scene)).map(({ services }) => services[0]!.names.length);
      assert.deepEqual(own.sort(), [1, 4]);
      await done("session", "close", (await sessions(scene))[0]!.id);
      const left = first === one ? urls[2]! : urls[1]!;
      await untilAnswer(box, left, /^Hello from web-/, 10_000);
      await done("session", "close");
    }
  },
  { fixtures: web("one") },
);

e2e(
  "a second cluster is refused where names collide, and lives beside it with --domain",
  async (scene) => {
    const { box, czctl, done, cluster } = scene;
    await using other = await startCluster({
      fixtures: [
        ...web("shop"),
        service("shop", "extra", "web", [{ name: "http", port: 80, targetPort: 8080 }]),
        ...web("tools", "only-there"),
      ],
    });
    const second = ["--kubeconfig", other.kubeconfig];
    await done("teleport", "deploy/web", "-n", "shop");
    const first = await get(box, "http://web.shop/");
    const before = await box.hosts();

    const refused = await czctl("teleport", "deploy/web", "-n", "shop", ...second);
    assert.equal(refused.code, 1, refused.stdout);
    assert.match(refused.stderr, /"web\.shop" already leads into another cluster/);
    assert.match(refused.stderr, /--domain SUFFIX/);
    assert.deepEqual(await box.hosts(), before, "a refused session leaves nothing");

    // Nothing in common: no reason to refuse.
    await done("teleport", "deploy/only-there", "-n", "tools", ...second);
    assert.match(await get(box, "http://only-there.tools/"), /^Hello from only-there-/);

    await done("teleport", "deploy/web", "-n", "shop", ...second, "--domain", "staging.test");
    assert.equal((await sessions(scene)).length, 3);
    const there = await get(box, "http://web.shop.svc.staging.test/");
    assert.match(there, /^Hello from web-/);
    const podsThere = (await other.control.pods()).map((pod) => pod.name);
    const podsHere = (await cluster.control.pods()).map((pod) => pod.name);
    const podOf = (text: string) => text.replace(/^Hello from (\S+)[^]*$/, "$1");
    assert.ok(podsThere.includes(podOf(there)) && podsHere.includes(podOf(first)));
    assert.equal(await get(box, "http://web.shop/"), first, "the plain name is still the first's");
    assert.notEqual(
      await addressOf(box, "web.shop.svc.staging.test"),
      await addressOf(box, "web.shop"),
    );
    assert.equal(
      await addressOf(box, "web.shop.svc.cluster.local"),
      await addressOf(box, "web.shop"),
    );

    for (
      const [domain, reason] of [
        ["com", /Cannot use "com" for --domain: it is a public ending/],
        ["Staging", /"Staging" is not a DNS label/],
        ["a..b", /it has an empty label/],
        ["10", /read like addresses/],
      ] as const
    ) {
      const bad = await czctl(
        "teleport",
        "deploy/web",
        "-n",
        "shop",
        ...second,
        "--domain",
        domain,
      );
      assert.equal(bad.code, 2, domain);
      assert.match(bad.stderr, reason);
    }

    // Without what collides it may live beside the first; what collides later is left out, and said.
    await done("session", "close", await idOf(scene, "tools"));
    await done("teleport", "ns/shop", ...second, "--exclude", "web");
    assert.match(await get(box, "http://extra.shop/"), /^Hello from web-/);
    const late = service("shop", "late", "web", [{ name: "http", port: 80, targetPort: 8080 }]);
    await cluster.control.apply({ objects: [late] });
    await untilAnswer(box, "http://late.shop/", /^Hello from web-/);
    const lateHere = await get(box, "http://late.shop/");
    await other.control.apply({ objects: [late] });
    await until(
      "the later collision is reported",
      async () =>
        /shop\/late .*a session of another cluster holds its names; see --domain/.test(
          (await done("session", "list", "--details")).stdout,
        ),
    );
    assert.equal(await get(box, "http://late.shop/"), lateHere, "the first's, still");

    // When the first has closed, the plain names are free for the other cluster.
    const own = (await sessions(scene)).find((one) => one.server === cluster.url)!;
    await done("session", "close", own.id);
    await until(
      "the name that collided leads into the other cluster now",
      async () => podsThere.includes(podOf(await get(box, "http://late.shop/"))),
    );
    await done("session", "close", await idOf(scene, "shop"));
    await done("teleport", "ns/shop", ...second);
    assert.equal(podsThere.includes(podOf(await get(box, "http://web.shop/"))), true);
    await done("session", "close", "--all");
  },
  { fixtures: web("shop") },
);
