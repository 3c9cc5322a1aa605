import assert from "node:assert/strict";
import { api, eventually } from "./harness.ts";
import { type Cluster, configMap, deployment, type Obj, service, startCluster } from "./mod.ts";

const NS = "sample-project";
const core = `/api/v1/namespaces/${NS}`;

async function get(cluster: Cluster, path: string, context = "token"): Promise<Obj> {
  return await (await api(cluster, context, path)).json();
}

async function send(
  cluster: Cluster,
  method: string,
  path: string,
  body: unknown,
  type = "application/json",
): Promise<{ status: number; body: Obj }> {
  const response = await api(cluster, "token", path, {
    method,
    body: JSON.stringify(body),
    headers: { "content-type": type },
  });
  return { status: response.status, body: await response.json() };
}

Deno.test("errors are Status objects in the words of a real server", async (t) => {
  await using cluster = await startCluster();

  await t.step("404 with details", async () => {
    const answer = await get(cluster, `/apis/apps/v1/namespaces/${NS}/deployments/nope`);
    assert.deepEqual(answer, {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: 'deployments.apps "nope" not found',
      reason: "NotFound",
      details: { name: "nope", group: "apps", kind: "deployments" },
      code: 404,
    });
    const path = await api(cluster, "token", "/apis/nope/v1");
    assert.equal(path.status, 404);
    assert.equal(await path.text(), "404 page not found\n");
    assert.equal((await api(cluster, "token", "/openapi/v3")).status, 404);
  });

  await t.step("403 at cluster scope, in a namespace, and for strangers", async () => {
    const all = await get(cluster, "/api/v1/pods", "none");
    assert.equal(
      all.message,
      'pods is forbidden: User "none-user" cannot list resource "pods" in API group "" at the ' +
        "cluster scope",
    );
    const watch = await get(
      cluster,
      `/apis/apps/v1/namespaces/${NS}/deployments?watch=1`,
      "least",
    );
    assert.equal(
      watch.message,
      'deployments.apps is forbidden: User "least-user" cannot watch resource "deployments" in ' +
        'API group "apps" in the namespace "sample-project"',
    );
    // No credentials at all: anonymous, who may not even discover.
    const client = Deno.createHttpClient({ caCerts: [cluster.caPem] });
    const anonymous = await fetch(`${cluster.url}/api`, { client });
    assert.equal(anonymous.status, 403);
    assert.equal(
      (await anonymous.json()).message,
      'forbidden: User "system:anonymous" cannot get path "/api"',
    );
    const version = await fetch(`${cluster.url}/version`, { client });
    assert.match((await version.json()).gitVersion, /^v1\.36/);
    const headers = { authorization: "Bearer nobody" };
    const stranger = await fetch(`${cluster.url}/version`, { client, headers });
    assert.equal(stranger.status, 401);
    assert.equal((await stranger.json()).reason, "Unauthorized");
    client.close();
  });

  await t.step("409 for what exists and for what changed, 405, 415, 400", async () => {
    const object = configMap(NS, "core-config", {});
    const exists = await send(cluster, "POST", `${core}/configmaps`, object);
    assert.equal(exists.status, 409);
    assert.equal(exists.body.message, 'configmaps "core-config" already exists');
    const stale = { ...object, metadata: { ...object.metadata, resourceVersion: "1" } };
    const conflict = await send(cluster, "PUT", `${core}/configmaps/core-config`, stale);
    assert.equal(conflict.body.reason, "Conflict");
    assert.match(
      conflict.body.message,
      /^Operation cannot be fulfilled on configmaps "core-config"/,
    );
    const method = await send(cluster, "POST", `${core}/configmaps/core-config`, {});
    assert.equal(method.body.reason, "MethodNotAllowed");
    const type = await send(cluster, "POST", `${core}/configmaps`, object, "text/plain");
    assert.equal(type.status, 415);
    const selector = await get(cluster, `${core}/pods?fieldSelector=spec.nope=1`);
    assert.equal(selector.message, "field label not supported: spec.nope");
  });
});

Deno.test("RBAC rules can be changed, reviews tell them", async () => {
  await using cluster = await startCluster();
  const user = "none-user";
  const allowed = async (verb: string, resource: string) =>
    (await (await api(cluster, "none", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ spec: { resourceAttributes: { verb, resource, namespace: NS } } }),
    })).json()).status.allowed;
  assert.equal(await allowed("list", "pods"), false);
  const self = await api(cluster, "none", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" }),
  });
  assert.equal(self.status, 201);
  assert.deepEqual((await self.json()).status, {
    userInfo: { username: user, groups: ["system:authenticated"] },
  });
  const rules = [{ verbs: ["list"], resources: ["pods"], namespaces: [NS] }];
  await cluster.control.setRules({ user, rules });
  assert.equal(await allowed("list", "pods"), true);
  assert.equal(await allowed("watch", "pods"), false);
  assert.equal((await api(cluster, "none", `${core}/pods`)).status, 200);
  assert.equal((await api(cluster, "none", "/api/v1/pods")).status, 403);
  assert.equal((await api(cluster, "none", "/api/v1/namespaces/default/pods")).status, 403);
});

Deno.test("lists page consistently, select, compress, and come as tables", async (t) => {
  const objects = Array.from(
    { length: 25 },
    (_, i) => ({
      ...configMap("many", `map-${String(i).padStart(2, "0")}`, { text: "x".repeat(8_000) }),
      metadata: { name: `map-${i}`, namespace: "many", labels: { odd: String(i % 2 === 1) } },
    }),
  );
  await using cluster = await startCluster({ fixtures: objects });
  const path = "/api/v1/namespaces/many/configmaps";

  await t.step("limit and continue give every object once, of one version", async () => {
    const names: string[] = [];
    let token = "", version = "";
    do {
      const page = await get(cluster, `${path}?limit=10&continue=${token}`);
      names.push(...page.items.map((one: Obj) => one.metadata.name));
      version ||= page.metadata.resourceVersion;
      assert.equal(page.metadata.resourceVersion, version);
      token = page.metadata.continue ?? "";
      // What comes in between belongs to no page.
      await cluster.control.apply({ objects: [configMap("many", `between-${names.length}`, {})] });
    } while (token !== "");
    assert.equal(names.length, 25);
    assert.equal(new Set(names).size, 25);
  });

  await t.step("a continue token of the past is 410", async () => {
    const page = await get(cluster, `${path}?limit=10`);
    await cluster.control.expireVersions({});
    const next = await get(cluster, `${path}?limit=10&continue=${page.metadata.continue}`);
    assert.equal(next.code, 410);
    assert.equal(next.reason, "Expired");
  });

  await t.step("label selectors of every form", async () => {
    const count = async (selector: string) =>
      (await get(cluster, `${path}?labelSelector=${encodeURIComponent(selector)}`)).items.length;
    assert.equal(await count("odd=true"), 12);
    assert.equal(await count("odd!=true"), 16);
    assert.equal(await count("odd in (true, false)"), 25);
    assert.equal(await count("odd notin (true),odd"), 13);
    assert.equal(await count("!odd"), 3);
  });

  await t.step("gzip only when asked", async () => {
    const plain = await api(cluster, "token", path, { headers: { "accept-encoding": "identity" } });
    assert.equal(plain.headers.get("content-encoding"), null);
    const node = new Deno.Command("node", {
      args: ["-e", GZIP_PROBE, `${cluster.url}${path}`, await token(cluster)],
      stdout: "piped",
    });
    assert.equal(new TextDecoder().decode((await node.output()).stdout), "gzip");
  });

  await t.step("a namespace that is deleted takes everything along", async () => {
    const gone = await api(cluster, "token", "/api/v1/namespaces/many", { method: "DELETE" });
    assert.equal(gone.status, 200);
    assert.equal((await get(cluster, path)).items.length, 0);
  });
});

/** fetch hides compression; node:https does not. */
const GZIP_PROBE = `
  require("https").get(process.argv[1], {
    rejectUnauthorized: false,
    headers: { "accept-encoding": "gzip", authorization: "Bearer " + process.argv[2] },
  }, (answer) => { process.stdout.write(answer.headers["content-encoding"] ?? ""); answer.destroy(); });
`;

async function token(cluster: Cluster): Promise<string> {
  const config = JSON.parse(await Deno.readTextFile(cluster.kubeconfig));
  return config.users.find((one: Obj) => one.name === "token-user").user.token;
}

Deno.test("EndpointSlices follow ports, readiness, families and headless names", async (t) => {
  const named = (version: number, port: number) => ({
    kind: "Pod",
    metadata: { name: `v${version}`, namespace: NS, labels: { app: "split" } },
    spec: {
      hostname: version === 1 ? "first" : undefined,
      subdomain: version === 1 ? "split" : undefined,
      containers: [{
        name: "c",
        args: [`http=${port}`],
        ports: [{ name: "http", containerPort: port }],
      }],
    },
  });
  await using cluster = await startCluster({
    fixtures: [
      named(1, 8080),
      named(2, 9090),
      service(NS, "split", "split", [{ name: "http", port: 80, targetPort: "http" }], {
        clusterIP: "None",
      }),
      service(NS, "dual", "split", [{ port: 80, targetPort: 8080 }], {
        ipFamilies: ["IPv4", "IPv6"],
        ipFamilyPolicy: "RequireDualStack",
      }),
      service(NS, "early", "split", [{ port: 80, targetPort: 8080 }], {
        publishNotReadyAddresses: true,
      }),
    ],
  });
  const slices = async (name: string): Promise<Obj[]> =>
    (await get(
      cluster,
      `/apis/discovery.k8s.io/v1/namespaces/${NS}/endpointslices?labelSelector=` +
        `kubernetes.io/service-name%3D${name}`,
    )).items;

  await t.step("a named port that differs splits the slices", async () => {
    const found = await slices("split");
    assert.deepEqual(found.map((one) => one.ports[0].port).sort(), [8080, 9090]);
    const first = found.find((one) => one.ports[0].port === 8080)!;
    assert.equal(first.endpoints[0].hostname, "first");
    assert.equal(first.metadata.labels["service.kubernetes.io/headless"], "");
  });

  await t.step("dual stack has slices of both families", async () => {
    const types = (await slices("dual")).map((one) => one.addressType).sort();
    assert.deepEqual(types, ["IPv4", "IPv6"]);
  });

  await t.step("an unready pod is not ready, except where that is published", async () => {
    await cluster.control.podReady({ pod: `${NS}/v1`, ready: false });
    const conditions = async (name: string) =>
      (await slices(name)).flatMap((one) => one.endpoints ?? [])
        .find((one) => one.targetRef.name === "v1")?.conditions;
    await eventually("not ready", async () => (await conditions("split")).ready === false);
    assert.deepEqual(await conditions("split"), {
      ready: false,
      serving: false,
      terminating: false,
    });
    assert.equal((await conditions("early")).ready, true);
  });

  await t.step("no pods left: an empty slice stays", async () => {
    await cluster.control.remove({ resource: "pods", namespace: NS, name: "v1" });
    await cluster.control.remove({ resource: "pods", namespace: NS, name: "v2" });
    await eventually("empty", async () => {
      const found = await slices("split");
      return found.length === 1 && found[0]!.endpoints === null;
    });
  });
});

Deno.test("maxSurge and maxUnavailable are kept during a rollout", async () => {
  await using cluster = await startCluster({
    fixtures: [
      deployment(NS, "web", {
        programs: ["http=8080"],
        ports: { http: 8080 },
        replicas: 4,
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } },
      }),
    ],
  });
  const before = (await cluster.control.pods()).map((pod) => pod.name);
  await cluster.control.rollout({ namespace: NS, deployment: "web" });
  await eventually("all new", async () => {
    const pods = (await cluster.control.pods()).filter((pod) => !pod.terminating);
    assert.ok(pods.length <= 5, `${pods.length} pods`);
    assert.ok(pods.filter((pod) => pod.ready).length >= 3);
    const fresh = pods.filter((pod) => !before.includes(pod.name) && pod.ready);
    return fresh.length === 4 && pods.length === 4;
  });
});
