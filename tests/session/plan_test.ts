import assert from "node:assert/strict";
import fc from "fast-check";
import type { ClusterService, ServiceEndpoint } from "../../src/model/service.ts";
import { matchesGlob, Planner, type PlanOptions, planSession } from "../../src/session/plan.ts";
import { Claims } from "../../src/session/claims.ts";
import { refuseCollision } from "../../src/session/refusals.ts";
import { OPTIONS } from "./plan_options.ts";

function endpoint(
  podName: string,
  ports: Record<string, number>,
  hostname?: string,
): ServiceEndpoint {
  return {
    podNamespace: "shop",
    podName,
    podUid: `uid-${podName}`,
    ready: true,
    serving: true,
    terminating: false,
    ports,
    ...(hostname === undefined ? {} : { hostname }),
  };
}

function service(name: string, more: Partial<ClusterService> = {}): ClusterService {
  return {
    namespace: "shop",
    name,
    uid: `uid-${name}`,
    kind: "tunnel",
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
    skippedPorts: [],
    publishNotReadyAddresses: false,
    endpoints: [endpoint(`${name}-0`, { http: 8080 })],
    ...more,
  };
}

Deno.test("planSession gives each service one address, in the order of namespace and name", () => {
  const plan = planSession(
    [service("web"), service("api"), service("web", { namespace: "abc" })],
    OPTIONS,
  );
  assert.deepEqual(plan.addresses.map((a) => a.key), ["abc/web", "shop/api", "shop/web"]);
  assert.deepEqual(plan.addresses.map((a) => a.entry.bare), [false, true, true]);
});

Deno.test("planSession keeps a service without ready pods: its names and listeners stay", () => {
  const plan = planSession([service("web", { endpoints: [] })], OPTIONS);
  assert.equal(plan.addresses.length, 1);
  assert.equal(plan.addresses[0]!.ports.length, 1);
});

Deno.test("planSession addresses the pods of a headless service that have a name, and the pods' own ports", () => {
  const plan = planSession([
    service("db", {
      kind: "headless",
      endpoints: [
        endpoint("db-1", { http: 8080 }, "db-1"),
        endpoint("db-0", { http: 8080 }, "db-0"),
        endpoint("extra", { http: 9090 }),
      ],
    }),
  ], OPTIONS);
  assert.deepEqual(plan.addresses.map((a) => a.key), ["shop/db", "shop/db/db-0", "shop/db/db-1"]);
  assert.deepEqual(plan.addresses[0]!.ports.map((p) => p.port), [80, 8080, 9090]);
  assert.deepEqual(plan.addresses[1]!.ports.map((p) => p.port), [80, 8080]);
  assert.deepEqual(plan.addresses[1]!.endpoints.map((e) => e.podName), ["db-0"]);
  // `db-0.db` as well: a pod's search domains make it as good as `db`.
  assert.deepEqual(plan.addresses.map((a) => a.entry.bare), [true, true, true]);
});

// CoreDNS would answer for them: docs/decisions/0150-pods-with-a-name.md.
Deno.test("planSession gives pods addresses after all services, and none behind an ordinary one", () => {
  const plan = planSession([
    service("db", {
      kind: "headless",
      endpoints: [endpoint("db-0", { http: 8080 }, "db-0")],
    }),
    service("web", { endpoints: [endpoint("web-0", { http: 8080 }, "web-0")] }),
  ], OPTIONS);
  assert.deepEqual(
    plan.addresses.map((a) => [a.key, a.ports.map((p) => p.port)]),
    [["shop/db", [80, 8080]], ["shop/web", [80]], ["shop/db/db-0", [80, 8080]]],
  );
});

// docs/decisions/0156-target-numbers-first.md
Deno.test("planSession leads a number that headless pods have to that port of theirs", () => {
  const leads = (endpoints: ServiceEndpoint[], web: number | string = 8080) =>
    planSession([
      service("db", {
        kind: "headless",
        ports: [
          { name: "web", port: 80, targetPort: web },
          { name: "admin", port: 8080, targetPort: 8086 },
        ],
        endpoints,
      }),
    ], OPTIONS).addresses.map((a) => [a.pod, a.ports.map(({ port, name }) => [port, name])]);
  const all = [[80, "web"], [8080, "web"], [8086, "admin"]];
  assert.deepEqual(leads([endpoint("db-0", { web: 8080, admin: 8086 }, "db-0")]), [
    [undefined, all],
    ["db-0", all],
  ]);
  assert.deepEqual(leads([]), [[undefined, all]], "before there is a pod");
  assert.deepEqual(leads([], "http"), [[undefined, [[80, "web"], [8080, "admin"], [
    8086,
    "admin",
  ]]]]);
  const named = [
    endpoint("db-0", { web: 8080, admin: 8086 }, "db-0"),
    endpoint("db-1", { web: 9090, admin: 8086 }, "db-1"),
  ];
  assert.deepEqual(leads(named, "http"), [
    [undefined, [[80, "web"], [8080, "web"], [9090, "web"], [8086, "admin"]]],
    ["db-0", all],
    ["db-1", [[80, "web"], [8080, "admin"], [9090, "web"], [8086, "admin"]]],
  ]);
});

Deno.test("planSession keeps an ordinary service's own numbers, whatever its pods have", () => {
  const ports = [
    { name: "web", port: 80, targetPort: 8080 },
    { name: "admin", port: 8080, targetPort: 8086 },
  ];
  const endpoints = [endpoint("web-0", { web: 8080, admin: 8086 })];
  const [address] = planSession([service("web", { ports, endpoints })], OPTIONS).addresses;
  assert.deepEqual(address!.ports.map(({ port, name }) => [port, name]), [
    [80, "web"],
    [8080, "admin"],
  ]);
});

Deno.test("planSession names services without a tunnel, with the reason", () => {
  const plan = planSession([
    service("ext", { kind: "none", reason: "ExternalName" }),
    service("udp", { ports: [], skippedPorts: [{ port: 53, protocol: "UDP", reason: "not TCP" }] }),
  ], OPTIONS);
  assert.deepEqual(plan.without.map((s) => [s.service, s.reason]), [
    ["ext", "ExternalName"],
    ["udp", "it has no TCP port"],
  ]);
  assert.deepEqual(plan.without[1]!.skipped, ["port 53/UDP: not TCP"]);
});

Deno.test("planSession tells the endpoints that are passed over, the first ones by their address", () => {
  const skipped = (...podless: string[]) =>
    planSession([service("web", { podless })], OPTIONS).addresses[0]!.skipped;
  const why = "no pod is named (no targetRef), which a port-forward needs";
  assert.deepEqual(skipped(), []);
  assert.deepEqual(skipped("10.9.0.1"), [`endpoint 10.9.0.1: ${why}`]);
  assert.deepEqual(skipped("10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"), [
    `endpoints 10.9.0.1, 10.9.0.2, 10.9.0.3 and 1 more: ${why}`,
  ]);
});

Deno.test("planSession hands on which container port a service's port leads to by name", () => {
  const ports = [
    { name: "web", port: 80, targetPort: "nope" },
    { name: "admin", port: 81, targetPort: 8081 },
  ];
  const [address] = planSession([service("web", { ports })], OPTIONS).addresses;
  assert.deepEqual(address!.ports.map((port) => port.targetName), ["nope", undefined]);
});

function externalName(name: string, to: string, more: Partial<ClusterService> = {}) {
  return service(name, {
    kind: "none",
    reason: "outside",
    externalName: to,
    ports: [],
    endpoints: [],
    ...more,
  });
}

// CoreDNS answers with a CNAME and goes on with it inside its zone (plugin/backend_lookup.go).
Deno.test("planSession leads an ExternalName for a service of the cluster to that one's address", () => {
  const db = service("db", {
    namespace: "data",
    kind: "headless",
    endpoints: [endpoint("db-0", { http: 8080 }, "db-0")],
  });
  const plan = planSession([
    externalName("a", "db.data.svc"),
    externalName("b", "DB.Data.svc.Cluster.Local."),
    externalName("c", "db-0.db.data.svc.cluster.local"),
    db,
  ], OPTIONS);
  assert.deepEqual(plan.without, []);
  assert.deepEqual(plan.addresses.map((a) => [a.key, a.aliasOf]), [
    ["data/db", undefined],
    ["data/db/db-0", undefined],
    ["shop/a", "data/db"],
    ["shop/b", "data/db"],
    ["shop/c", "data/db/db-0"],
  ]);
  const { ports, endpoints, entry } = plan.addresses[2]!;
  assert.deepEqual(ports, []);
  assert.equal(endpoints.length, 1);
  assert.deepEqual([entry.service, entry.namespace, entry.bare], ["a", "shop", true]);
});

Deno.test("planSession says of an ExternalName for a service of the cluster why it leads nowhere", () => {
  const all = [
    externalName("away", "db.data.svc.cluster.local"),
    externalName("missing", "nobody.shop.svc"),
    externalName("chain", "away.shop.svc"),
    externalName("self", "self.shop.svc"),
    externalName("left", "web.shop.svc"),
    externalName("other", "db.data.svc.elsewhere.local"),
    externalName("outside", "www.example.com"),
    service("web"),
  ];
  const plan = planSession(all, { ...OPTIONS, exclude: ["web"] });
  assert.deepEqual(plan.addresses, []);
  const of = (name: string, namespace: string) =>
    `It is another name of Service "${name}" in namespace "${namespace}", which `;
  assert.deepEqual(Object.fromEntries(plan.without.map((s) => [s.service, s.reason])), {
    away: `${of("db", "data")}is not part of this session: add -a data`,
    missing: `${of("nobody", "shop")}is not among the Services of this session`,
    chain: `${of("away", "shop")}has no tunnel here`,
    self: `${of("self", "shop")}has no tunnel here`,
    left: `${of("web", "shop")}--exclude leaves out`,
    other: "outside",
    outside: "outside",
  });
  assert.deepEqual(
    planSession(all, { ...OPTIONS, only: ["left"] }).without.map((s) => [s.service, s.reason]),
    [["left", `${of("web", "shop")}--only leaves out`]],
  );
});

Deno.test("planSession says of an ExternalName for a pod what is missing: the pod, not its service", () => {
  const all = [
    externalName("nobody", "db-99.db.shop.svc"),
    externalName("ordinary", "web-0.web.shop.svc"),
    externalName("none", "x.udp.shop.svc"),
    service("db", { kind: "headless", endpoints: [endpoint("db-0", { http: 8080 }, "db-0")] }),
    service("web", { endpoints: [endpoint("web-0", { http: 8080 }, "web-0")] }),
    service("udp", { kind: "none", reason: "only UDP", ports: [] }),
  ];
  const reasons = Object.fromEntries(
    planSession(all, OPTIONS).without.map((s) => [s.service, s.reason]),
  );
  const of = (pod: string, name: string) =>
    `It is another name of pod "${pod}" of Service "${name}" in namespace "shop", `;
  assert.equal(reasons["nobody"], `${of("db-99", "db")}which has no pod of that name now`);
  assert.equal(
    reasons["ordinary"],
    `${of("web-0", "web")}whose pods have no names here, as it is not headless`,
  );
  assert.match(reasons["none"]!, /Service "udp" in namespace "shop", which has no tunnel here$/);
});

Deno.test("refuseCollision counts an ExternalName for a service of the cluster, too", () => {
  const claims = new Claims();
  claims.take({ cluster: "first", key: "shop/alias", domain: "" }, "one");
  const services = [externalName("alias", "web.shop.svc"), service("web")];
  const open = (cluster: string) => () => refuseCollision(services, OPTIONS, cluster, claims);
  open("first")();
  assert.throws(open("second"), /"alias\.shop" already leads into another cluster/);
});

Deno.test("planSession follows the service that an ExternalName leads to", () => {
  const planner = new Planner(OPTIONS);
  const alias = externalName("alias", "web.shop.svc");
  const keys = (...services: ClusterService[]) =>
    planner.plan(services).addresses.map((a) => a.key);
  assert.deepEqual(keys(alias), []);
  assert.deepEqual(keys(alias, service("web")), ["shop/web", "shop/alias"]);
  assert.deepEqual(keys(alias, service("web", { kind: "none" })), []);
});

Deno.test("planSession obeys --only and --exclude, by name, glob and namespace", () => {
  const all = [
    service("web"),
    service("web-admin"),
    service("db"),
    service("web", { namespace: "x" }),
  ];
  const keys = (more: Partial<PlanOptions>) =>
    planSession(all, { ...OPTIONS, ...more }).addresses.map((a) => a.key);
  assert.deepEqual(keys({ only: ["web*"] }), ["shop/web", "shop/web-admin", "x/web"]);
  assert.deepEqual(keys({ only: ["web*"], exclude: ["web-admin"] }), ["shop/web", "x/web"]);
  assert.deepEqual(keys({ exclude: ["shop/*"] }), ["x/web"]);
});

Deno.test("planSession with --domain asks for qualified names only", () => {
  const [address] = planSession([service("web")], { ...OPTIONS, domain: "two" }).addresses;
  assert.equal(address!.entry.domain, "two");
  assert.equal(address!.entry.qualifiedOnly, true);
  assert.equal(address!.entry.bare, false);
});

Deno.test("matchesGlob takes every character but * and ? as itself", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    const literal = text.replace(/[*?\n\r\u2028\u2029]/g, "x");
    assert.equal(matchesGlob(literal, literal), true);
    assert.equal(matchesGlob(`${literal}y`, literal), false);
  }));
  assert.equal(matchesGlob("a.b", "a?b"), true);
  assert.equal(matchesGlob("axb", "a.b"), false);
});

Deno.test("planSession gives no address to what cannot be a host name, and says why", () => {
  const odd = ["a\x1b[31m", "..", "x y", "UPPER", "a\n1.2.3.4 google.com", "a".repeat(64), ""];
  const plan = planSession([
    ...odd.map((name) => service(name)),
    service("web", { namespace: "../evil" }),
    service("db", {
      kind: "headless",
      endpoints: ["db-0", "a b", "A", "b".repeat(64)].map((name) => endpoint(name, {}, name)),
    }),
    service("ok"),
  ], OPTIONS);
  assert.deepEqual(plan.addresses.map(({ key }) => key), ["shop/db", "shop/ok", "shop/db/db-0"]);
  assert.deepEqual(
    plan.without.map(({ service, reason }) => [service, reason]).sort(),
    [...odd.map((name) => [name, "its name is no DNS label"]), [
      "web",
      "its namespace is no DNS label",
    ]].sort(),
  );
  assert.ok(planSession([service("x".repeat(1e6))], OPTIONS).without[0]!.service.length < 100);
});

Deno.test("planSession gives no address to what is too long with the session's domain", () => {
  const domain = `${"d".repeat(60)}.${"e".repeat(60)}.${"f".repeat(60)}.test`;
  const headless = (name: string, pod: string) =>
    service(name, { kind: "headless", endpoints: [endpoint(pod, {}, pod)] });
  const plan = planSession(
    [headless("short", "p".repeat(60)), service("l".repeat(63))],
    { ...OPTIONS, domain },
  );
  assert.deepEqual(plan.addresses.map(({ key }) => key), ["shop/short"]);
  assert.deepEqual(plan.without.map(({ reason }) => reason), [
    "its host name would be longer than 253 characters",
  ]);
});
