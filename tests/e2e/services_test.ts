/** Every kind of Service, as it is and as it changes, on the compiled binary. */
import assert from "node:assert/strict";
import { deployment, type Obj, service, statefulSet } from "../cluster/mod.ts";
import { addressOf, get, relabelled, serviceInfo, sessions, untilAnswer } from "./facts.ts";
import { until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

const ns = "zoo";

function selector(labels: Record<string, string>): Obj {
  return { selector: labels };
}

function slice(name: string, of: string, more: Obj): Obj {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace: ns, labels: { "kubernetes.io/service-name": of } },
    addressType: "IPv4",
    ...more,
  };
}

const zoo: Obj[] = [
  // Two Deployments behind one Service call their port "http" and mean another number.
  relabelled(
    deployment(ns, "old", { programs: ["http=8080"], ports: { http: 8080 } }),
    { group: "both" },
  ),
  relabelled(
    deployment(ns, "new", { programs: ["http=9090", "echo=7"], ports: { http: 9090, echo: 7 } }),
    { group: "both" },
  ),
  service(ns, "both", undefined, [{ name: "http", port: 80, targetPort: "http" }], {
    ...selector({ group: "both" }),
  }),
  // More pods than one EndpointSlice holds, in two address families.
  deployment(ns, "many", { programs: ["http=8080"], ports: { http: 8080 }, replicas: 120 }),
  service(ns, "many", "many", [{ name: "http", port: 80, targetPort: "http" }], {
    ipFamilies: ["IPv4", "IPv6"],
    ipFamilyPolicy: "PreferDualStack",
  }),
  // Headless, with pods that have names.
  statefulSet(ns, "db", "db", {
    programs: ["http=8080"],
    ports: { http: 8080 },
    replicas: 2,
  }),
  service(ns, "db", "db", [{ name: "http", port: 80, targetPort: 8080 }], { clusterIP: "None" }),
  // Headless without ports: another Service tells that the pods listen on 8080, or none does.
  statefulSet(ns, "peer", "peers", { programs: ["http=8080"], ports: { http: 8080 }, replicas: 2 }),
  service(ns, "peers", "peer", [], { clusterIP: "None" }),
  service(ns, "front", "peer", [{ port: 80, targetPort: 8080 }]),
  deployment(ns, "hidden", { programs: ["http=8080"], ports: { http: 8080 } }),
  service(ns, "alone", "hidden", [], { clusterIP: "None" }),
  // Unready pods: published by one Service, held by the other.
  deployment(ns, "late", {
    programs: ["http=8080"],
    ports: { http: 8080 },
    annotations: { "test-cluster/ready": "false" },
  }),
  service(ns, "published", "late", [{ port: 80, targetPort: 8080 }], {
    publishNotReadyAddresses: true,
  }),
  service(ns, "held", "late", [{ port: 80, targetPort: 8080 }]),
  // What a port-forward cannot do.
  service(ns, "elsewhere", undefined, [], {
    type: "ExternalName",
    externalName: "db.example.com",
  }),
  service(ns, "outside", undefined, [{ port: 80 }]),
  slice("outside-1", "outside", {
    endpoints: [{ addresses: ["192.0.2.7"], conditions: { ready: true } }],
    ports: [{ name: "", port: 80, protocol: "TCP" }],
  }),
  service(ns, "mixed", "new", [
    { name: "tcp", port: 9090 },
    { name: "udp", port: 53, protocol: "UDP" },
    { name: "sctp", port: 54, protocol: "SCTP" },
  ]),
  service(ns, "datagrams", "new", [{ name: "dns", port: 53, protocol: "UDP" }]),
  service(ns, "byhand", undefined, [{ port: 80, targetPort: 8080 }]),
];

e2e("a port that no pod has, and globs that fit nothing, are named", async (scene) => {
  const { box, done } = scene;
  const opened = await done("teleport", "ns", "shop", "--hold", "1s", "--exclude", "wbe*");
  assert.match(
    opened.stdout + opened.stderr,
    /--exclude wbe\* fits no service of namespace "shop"/,
  );
  assert.equal(await get(box, "http://named.shop/"), "");
  assert.match(
    (await done("status")).stdout,
    /named:80 failed \d+s ago: No pod has the port "nosuch" it leads to\. Compare the Service's/,
  );
  await done("session", "close");
}, {
  fixtures: [
    deployment("shop", "web", { programs: ["http=8080"], ports: { web: 8080 } }),
    service("shop", "named", "web", [{ name: "http", port: 80, targetPort: "nosuch" }]),
  ],
});

e2e(
  "a port nobody listens on in the pod is told in every list, until it is answered",
  async (scene) => {
    const { box, cluster, czctl, done } = scene;
    await done("teleport", "ns", "shop");
    assert.equal(await get(box, "http://wrong.shop/"), "");
    const why =
      /wrong:80 failed \d+s ago: Pod "shop\/web-\S+" refuses connections to its port 9999/;
    for (const command of [["session", "list", "--details"], ["status"]]) {
      const { stdout } = await done(...command);
      assert.match(stdout, why);
      assert.match(stdout, /targetPort\? kubectl -n shop logs web-/);
    }
    const doctor = await czctl("doctor");
    assert.equal(doctor.code, 0, doctor.stdout);
    assert.match(
      doctor.stdout,
      /! +tunnels +The last connection to shop\/wrong:80 failed: Pod .*\n +mend: Does a program listen/,
    );
    await cluster.control.apply({
      objects: [service("shop", "wrong", "web", [{ port: 80, targetPort: 8080 }])],
    });
    await untilAnswer(box, "http://wrong.shop/", /^Hello from web-/);
    assert.doesNotMatch((await done("status")).stdout, /failed/);
    await done("session", "close");
  },
  {
    fixtures: [
      deployment("shop", "web", { programs: ["http=8080"], ports: { http: 8080 } }),
      service("shop", "wrong", "web", [{ port: 80, targetPort: 9999 }]),
    ],
  },
);

e2e("every kind of Service is reached, or named with the reason", async (scene) => {
  const { box, cluster, done } = scene;
  // A Service without selector whose endpoints somebody wrote by hand, and they are pods.
  const old = (await cluster.control.pods()).find((pod) => pod.name.startsWith("old-"))!;
  await cluster.control.apply({
    objects: [slice("byhand-1", "byhand", {
      endpoints: [{
        addresses: [old.podIP],
        conditions: { ready: true },
        targetRef: { kind: "Pod", namespace: ns, name: old.name, uid: old.uid },
      }],
      ports: [{ name: "", port: 8080, protocol: "TCP" }],
    })],
  });
  const opened = await done("teleport", "namespace", ns);

  // Named target ports that differ per pod: both Deployments answer.
  const seen = new Set<string>();
  await until("both Deployments answer under one name", async () => {
    seen.add((await get(box, "http://both.zoo/")).replace(/^Hello from (\w+)-[^]*$/, "$1"));
    return seen.has("old") && seen.has("new");
  });

  assert.equal((await serviceInfo(scene, "many"))?.readyPods, 120);
  assert.match(await get(box, "http://many.zoo.svc.cluster.local/"), /^Hello from many-/);
  assert.match(await get(box, "http://byhand/"), /^Hello from old-/);
  assert.match(await get(box, "http://published/"), /^Hello from late-/);

  // Headless: the Service's port and the pod's own, and a name for each pod.
  for (const url of ["http://db.zoo/", "http://db.zoo:8080/"]) {
    assert.match(await get(box, url), /^Hello from db-[01]/);
  }
  for (const pod of ["db-0", "db-1"]) {
    for (const name of [`${pod}.db`, `${pod}.db.zoo`, `${pod}.db.zoo.svc.cluster.local`]) {
      assert.match(await get(box, `http://${name}:8080/`), new RegExp(`^Hello from ${pod}`));
    }
  }
  const addresses = await Promise.all(["db.zoo", "db-0.db.zoo", "db-1.db.zoo"]
    .map((name) => addressOf(box, name)));
  assert.equal(new Set(addresses).size, 3, "each has an address of its own");

  assert.match(await get(box, "http://peers.zoo:8080/"), /^Hello from peer-[01]/);
  assert.match(await get(box, "http://peer-1.peers:8080/"), /^Hello from peer-1/);

  const details = (await done("session", "list", "--details")).stdout;
  for (
    const [name, reason] of [
      ["elsewhere", /ExternalName for "db\.example\.com"/],
      ["outside", /no selector and its endpoints \(192\.0\.2\.7\) name no pod \(no targetRef\)/],
      ["datagrams", /only UDP ports/],
      ["alone", /no other Service tells which ports/],
    ] as const
  ) {
    assert.equal(await addressOf(box, `${name}.zoo`), undefined, `${name} has no name here`);
    assert.match(opened.stdout + opened.stderr, new RegExp(`zoo/${name} has no tunnel: .*`));
    assert.match(opened.stdout + opened.stderr, reason);
    assert.match(details, reason);
  }
  for (const port of ["53/UDP", "54/SCTP"]) {
    assert.match(opened.stdout + opened.stderr, new RegExp(`zoo/mixed port ${port}: `));
    assert.match(details, new RegExp(`mixed: port ${port}: `));
  }
  assert.match(await get(box, "http://mixed:9090/"), /^Hello from new-/);

  // No ready pod: name and listener are there, the connection is held until one is.
  assert.ok(await addressOf(box, "held.zoo"));
  const late = (await cluster.control.pods()).find((pod) => pod.name.startsWith("late-"))!;
  const held = box.run(["curl", "-sS", "-m", "20", "http://held.zoo/"]);
  await until(
    "the connection is held",
    async () => (await serviceInfo(scene, "held"))!.ports[0]!.connections === 1,
  );
  await cluster.control.podReady({ pod: `${ns}/${late.name}`, ready: true });
  assert.match((await held).stdout, /^Hello from late-/);

  await done("session", "close");
}, { fixtures: zoo });

const shop: Obj[] = [
  deployment("shop", "web", {
    programs: ["http=8080", "http=9090"],
    ports: { http: 8080, other: 9090 },
  }),
  deployment("shop", "api", { programs: ["http=8080"], ports: { http: 8080 } }),
  service("shop", "web", "web", [{ name: "http", port: 80, targetPort: 8080 }]),
  service("shop", "stays", "api", [{ name: "http", port: 80, targetPort: 8080 }]),
  service("shop", "flips", "api", [{ name: "http", port: 80, targetPort: 8080 }]),
  statefulSet("shop", "db", "db", { programs: ["http=8080"], ports: { http: 8080 } }),
  service("shop", "db", "db", [{ name: "http", port: 8080 }], { clusterIP: "None" }),
];

e2e("edits of Services, and a StatefulSet up and down, are followed", async (scene) => {
  const { box, cluster, done } = scene;
  const { control } = cluster;
  await done("teleport", "namespace", "shop");
  const address = await addressOf(box, "web.shop");
  await untilAnswer(box, "http://web.shop/", /^Hello from web-/);
  const neighbour = await addressOf(box, "stays.shop");

  // A connection to a neighbour lasts through every edit.
  const stream = box.run(["curl", "-sSN", "http://stays.shop/chunks?n=100000&ms=5"]);
  await until(
    "the long answer is under way",
    async () => (await serviceInfo(scene, "stays"))!.ports[0]!.bytesDown > 0,
  );

  // Another port, another target: the old listener goes, the new one comes.
  await control.apply({
    objects: [service("shop", "web", "web", [{ name: "http", port: 81, targetPort: 9090 }])],
  });
  await untilAnswer(box, "http://web.shop:81/", /^Hello from web-/);
  await until(
    "port 80 is closed",
    async () => (await box.run(["curl", "-s", "-m", "5", "http://web.shop/"])).code === 7,
  );
  assert.equal(await addressOf(box, "web.shop"), address);

  // Another selector.
  await control.apply({
    objects: [service("shop", "web", "api", [{ name: "http", port: 80, targetPort: 8080 }])],
  });
  await untilAnswer(box, "http://web.shop/", /^Hello from api-/);

  // Another type and back: to ExternalName it loses its names, then has the same address again.
  const flips = await addressOf(box, "flips.shop");
  await control.apply({
    objects: [{
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "flips", namespace: "shop" },
      spec: { type: "ExternalName", externalName: "example.com", clusterIP: null },
    }],
  });
  await until(
    "an ExternalName has no name here",
    async () => await addressOf(box, "flips.shop") === undefined,
  );
  assert.match((await serviceInfo(scene, "flips"))!.reason!, /ExternalName/);
  await control.remove({ resource: "services", namespace: "shop", name: "flips" });
  await until(
    "a deleted Service is gone from the list",
    async () => await serviceInfo(scene, "flips") === undefined,
  );
  await control.apply({
    objects: [service("shop", "flips", "api", [{ name: "http", port: 80, targetPort: 8080 }])],
  });
  await untilAnswer(box, "http://flips.shop/", /^Hello from api-/);
  assert.equal(await addressOf(box, "flips.shop"), flips, "made again, it has its address again");
  const answer = get(box, "http://flips.shop/delay?ms=2000");
  await until(
    "a request is under way",
    async () => (await serviceInfo(scene, "flips"))!.ports[0]!.connections === 1,
  );
  await control.remove({ resource: "services", namespace: "shop", name: "flips" });
  await until("flips is gone", async () => await serviceInfo(scene, "flips") === undefined);
  assert.equal(await answer, "waited\n", "what is under way goes on without its Service");

  // A StatefulSet up and down.
  const db0 = await addressOf(box, "db-0.db.shop");
  await control.scale({ resource: "statefulsets", namespace: "shop", name: "db", replicas: 3 });
  await untilAnswer(box, "http://db-2.db.shop:8080/", /^Hello from db-2/);
  await control.scale({ resource: "statefulsets", namespace: "shop", name: "db", replicas: 1 });
  await until(
    "db-1 and db-2 have no names",
    async () =>
      await addressOf(box, "db-1.db.shop") === undefined &&
      await addressOf(box, "db-2.db.shop.svc") === undefined,
  );
  assert.equal(await addressOf(box, "db-0.db.shop"), db0);
  assert.match(await get(box, "http://db-0.db.shop:8080/"), /^Hello from db-0/);

  assert.equal(await addressOf(box, "stays.shop"), neighbour);
  assert.equal(
    (await sessions(scene))[0]!.services.find((one) => one.name === "stays")!
      .ports[0]!.connections,
    1,
    "the long answer is still under way",
  );
  await done("session", "close");
  assert.notEqual((await stream).code, 0, "closing the session ends it");
}, { fixtures: shop });

function externalName(name: string, to: string): Obj {
  return service("shop", name, undefined, [], {
    type: "ExternalName",
    externalName: to,
    clusterIP: null,
  });
}

e2e("an ExternalName for a Service of the cluster is another name of it", async (scene) => {
  const { box, cluster: { control }, done } = scene;
  const opened = await done("teleport", "ns", "shop", "-a", "data");
  assert.match(opened.stdout, /3 services of shop, data, 2 ports/);
  assert.match(
    opened.stdout + opened.stderr,
    /shop\/away has no tunnel: It is another name of Service "web" in namespace "far", .*add -a far/,
  );
  const db = await addressOf(box, "db.data");
  for (const name of ["store", "store.shop", "store.shop.svc.cluster.local"]) {
    assert.equal(await addressOf(box, name), db);
    assert.match(await get(box, `http://${name}/`), /^Hello from db-/);
  }
  const details = (await done("session", "list", "--details")).stdout;
  assert.match(details, /^127\.\S+ +shop\/store +as data\/db +1 +- +store\.shop .* store$/m);
  assert.match(details, /^127\.\S+ +data\/db +80 +1 .* db\.data \S+ \S+$/m);

  // What it stands for goes and comes back.
  await control.remove({ resource: "services", namespace: "data", name: "db" });
  await until("no name here", async () => await addressOf(box, "store.shop") === undefined);
  assert.match((await serviceInfo(scene, "store"))!.reason!, /"db" in namespace "data"/);
  await control.apply({
    objects: [service("data", "db", "db", [{ port: 80, targetPort: 8080 }])],
  });
  await untilAnswer(box, "http://store.shop/", /^Hello from db-/);
  assert.equal(await addressOf(box, "store.shop"), await addressOf(box, "db.data"));

  // It stands for another one.
  await control.apply({ objects: [externalName("store", "web.shop.svc.cluster.local")] });
  await untilAnswer(box, "http://store.shop/", /^Hello from web-/);
  assert.equal(await addressOf(box, "store.shop"), await addressOf(box, "web.shop"));

  // It becomes a Service of its own, then another name again.
  await control.remove({ resource: "services", namespace: "shop", name: "store" });
  await control.apply({
    objects: [service("shop", "store", "web", [{ port: 81, targetPort: 8080 }])],
  });
  await untilAnswer(box, "http://store.shop:81/", /^Hello from web-/);
  assert.notEqual(await addressOf(box, "store.shop"), await addressOf(box, "web.shop"));
  await control.remove({ resource: "services", namespace: "shop", name: "store" });
  await control.apply({ objects: [externalName("store", "db.data.svc")] });
  await untilAnswer(box, "http://store.shop/", /^Hello from db-/);
  await done("session", "close");
}, {
  fixtures: [
    deployment("shop", "web", { programs: ["http=8080"], ports: { http: 8080 } }),
    service("shop", "web", "web", [{ port: 80, targetPort: 8080 }]),
    deployment("data", "db", { programs: ["http=8080"], ports: { http: 8080 } }),
    service("data", "db", "db", [{ port: 80, targetPort: 8080 }]),
    externalName("store", "DB.data.svc.cluster.local."),
    externalName("away", "web.far.svc.cluster.local"),
  ],
});
