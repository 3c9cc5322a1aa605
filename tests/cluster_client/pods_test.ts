import assert from "node:assert/strict";
import { pickSlice, type Slice } from "../../src/cluster/endpoint_slice.ts";
import { pickPod } from "../../src/cluster/pod_endpoints.ts";
import { ServiceIndex } from "../../src/cluster/service_index.ts";
import { pickService } from "../../src/cluster/service_spec.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { FakeClock } from "./fake_clock.ts";
import { PODS, type Raw, SERVICES, SLICES, TestApi } from "./api_server.ts";
import { until } from "../until.ts";

const namespace = "sample-project";

function slice(name: string, ready: Record<string, boolean>, of = "a"): Raw {
  return {
    metadata: {
      namespace,
      name,
      resourceVersion: "1",
      labels: { "kubernetes.io/service-name": of },
    },
    ports: [{ name: "", port: 8080 }],
    endpoints: Object.entries(ready).map(([uid, ready]) => ({
      addresses: ["10.1.0.1"],
      conditions: { ready, serving: ready, terminating: false },
      targetRef: { kind: "Pod", namespace, name: uid, uid },
    })),
  };
}

Deno.test("a pod that no slice names is gone, and named again when one does", async () => {
  const api = await TestApi.start();
  api.seed(SERVICES, {
    metadata: { namespace, name: "a", uid: "a", resourceVersion: "1" },
    spec: { clusterIP: "10.0.0.1", selector: { app: "a" }, ports: [{ port: 80 }] },
  });
  api.seed(SLICES, slice("a-x", { one: true, two: false }));
  const cluster = await api.open({ clock: systemClock });
  const told: string[] = [];
  try {
    const discovery = cluster.discover({ namespaces: [namespace] }, {
      onChange() {},
      onPodGone: (uid) => told.push(`${uid} gone`),
      onPodNamed: (uid) => told.push(`${uid} named`),
      onPodLeaving: (_service, uid, leaving) => told.push(`${uid} ${leaving ? "leaves" : "ready"}`),
    });
    await discovery.ready;
    await until("both watches", () => api.watches.get(SLICES)?.size === 1);
    told.splice(0);
    // As when a Service is deleted and made anew: its slices go with it, its pods stay.
    api.change(SLICES, "MODIFIED", slice("a-x", { one: false, two: false }));
    api.change(SLICES, "DELETED", slice("a-x", { one: false, two: false }));
    await until("both gone", () => told.length === 3);
    assert.deepEqual(told.splice(0), ["one leaves", "one gone", "two gone"]);
    api.change(SLICES, "ADDED", slice("a-y", { one: true, two: false }));
    await until("both back", () => told.length === 3);
    assert.deepEqual(told, ["one ready", "one named", "two named"]);
  } finally {
    await cluster.close();
    await api.close();
  }
});

Deno.test("ServiceIndex tells each pod that is named anew, and none that was named all along", () => {
  const index = new ServiceIndex();
  const make = (...names: string[]) =>
    pickSlice(slice("a-x", Object.fromEntries(names.map((name) => [name, true]))));
  index.setSlice("1", undefined, make("p"));
  index.setSlice("2", undefined, make("p", "q"));
  assert.deepEqual(index.flush().podsNamed, ["p", "q"]);
  // Moved to another slice within a burst, or gone and back: nothing new.
  index.setSlice("2", make("p", "q"), make());
  index.setSlice("1", make("p"), make("q", "p"));
  assert.deepEqual(index.flush(), { changed: false, podsGone: [], podsNamed: [] });
  index.setSlice("1", make("q", "p"), make("p"));
  assert.deepEqual(index.flush().podsGone, ["q"]);
  index.setSlice("1", make("p"), make("p", "q"));
  assert.deepEqual(index.flush().podsNamed, ["q"]);
  // Come and gone within a burst.
  index.setSlice("1", make("p", "q"), make("p", "q", "r"));
  index.setSlice("1", make("p", "q", "r"), make("p", "q"));
  assert.deepEqual(index.flush(), { changed: false, podsGone: [], podsNamed: [] });
});

/** As in the Kubernetes documentation, "Job with Pod-to-Pod Communication". */
const portless = pickService({
  metadata: { namespace, name: "a", uid: "a" },
  spec: { clusterIP: "None", selector: { app: "a" }, ports: [{ port: 53, protocol: "UDP" }] },
});

Deno.test("ServiceIndex takes the ports of a headless Service without any from others of its pods", () => {
  const index = new ServiceIndex();
  const found = () => {
    index.flush();
    const { kind, ports, endpoints } = index.services.get(`${namespace}/a`)!;
    return [kind, ports.map(({ port }) => port), endpoints.map((one) => Object.values(one.ports))];
  };
  index.setService(undefined, portless);
  // The controller lists the pods without ports.
  const bare = { ...pickSlice(slice("a-x", { one: true, two: true })), ports: [] };
  index.setSlice("a-x", undefined, bare);
  assert.deepEqual(found(), ["none", [], []]);
  assert.match(index.services.get(`${namespace}/a`)!.reason!, /no other Service tells/);
  const other = (port: number, ...pods: string[]): Slice => ({
    ...pickSlice(slice("b-x", Object.fromEntries(pods.map((pod) => [pod, true])), "b")),
    ports: [{ name: "http", port }],
  });
  index.setSlice("b-x", undefined, other(8080, "one", "three"));
  assert.deepEqual(found(), ["headless", [8080], [[8080], []]]);
  index.setSlice("c-x", undefined, other(9090, "one", "two"));
  assert.deepEqual(found(), ["headless", [8080, 9090], [[8080, 9090], [9090]]]);
  index.setSlice("b-x", other(8080, "one", "three"), undefined);
  assert.deepEqual(found(), ["headless", [9090], [[9090], [9090]]]);
  // Of another namespace: no business of this one.
  index.setSlice("c-x", other(9090, "one", "two"), undefined);
  index.setSlice("d-x", undefined, { ...other(7070, "one"), namespace: "elsewhere" });
  assert.deepEqual(found(), ["none", [], []]);
});

Deno.test("ServiceIndex takes the ports of a headless Service without any from its Pods, where it has those", () => {
  const index = new ServiceIndex();
  index.setService(undefined, portless);
  index.setPod(
    undefined,
    pickPod({
      metadata: { namespace, name: "one", uid: "one", labels: { app: "a" } },
      spec: {
        hostname: "one",
        subdomain: "a",
        containers: [{ ports: [{ containerPort: 8080 }, { containerPort: 53, protocol: "UDP" }] }],
      },
      status: { podIP: "10.1.0.1", phase: "Running" },
    }),
  );
  index.flush();
  const { kind, ports, endpoints } = index.services.get(`${namespace}/a`)!;
  assert.equal(kind, "headless");
  assert.deepEqual(ports, [{ name: "8080", port: 8080, targetPort: 8080 }]);
  assert.deepEqual(endpoints.map((one) => [one.hostname, one.ports]), [["one", { 8080: 8080 }]]);
});

Deno.test("pickSlice() tells pods apart that have no uid, as in slices written by hand", () => {
  const raw = slice("a-x", { one: true, two: true });
  for (const endpoint of raw.endpoints) delete endpoint.targetRef.uid;
  const uids = pickSlice(raw).endpoints.map(({ pod }) => pod?.uid);
  assert.deepEqual(uids, [`${namespace}/one`, `${namespace}/two`]);
});

Deno.test("where Pods stand in, one that is no longer ready is known at once, too", async () => {
  const api = await TestApi.start();
  const pod = (name: string, ready: boolean): Raw => ({
    metadata: { namespace, name, uid: name, resourceVersion: "1", labels: { app: "a" } },
    spec: { containers: [] },
    status: {
      podIP: "10.1.0.1",
      phase: "Running",
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  });
  api.seed(SERVICES, {
    metadata: { namespace, name: "a", uid: "a", resourceVersion: "1" },
    spec: { clusterIP: "10.0.0.1", selector: { app: "a" }, ports: [{ port: 80 }] },
  });
  api.seed(PODS, pod("one", true));
  api.seed(PODS, pod("two", true));
  api.intercept = (request, answer) =>
    request.path === SLICES && api.refuse(answer, 403, "forbidden", "Forbidden");
  // Its time stands still: nothing that is gathered ever comes.
  const cluster = await api.open({ clock: new FakeClock() });
  try {
    const discovery = cluster.discover({ namespaces: [namespace] }, { onChange() {} });
    await discovery.ready;
    await until("the watch", () => api.watches.get(PODS)?.size === 1);
    api.change(PODS, "MODIFIED", pod("one", false));
    const ready = () =>
      discovery.services.get(`${namespace}/a`)!.endpoints.filter((one) => one.ready)
        .map((one) => one.podName).join();
    await until("one is passed over", () => ready() === "two", 3_000);
  } finally {
    await cluster.close();
    await api.close();
  }
});

Deno.test("a Service without selector does not count as empty where its slices may not be read", async () => {
  const api = await TestApi.start();
  const add = (name: string) => ({
    metadata: { namespace, name, uid: name, resourceVersion: "1" },
    spec: { clusterIP: "10.0.0.1", ports: [{ port: 80 }] },
  });
  api.seed(SERVICES, add("a"));
  api.seed(PODS, { metadata: { namespace, name: "one", uid: "one", resourceVersion: "1" } });
  api.intercept = (request, answer) =>
    request.path === SLICES && api.refuse(answer, 403, "forbidden", "Forbidden");
  const cluster = await api.open({ clock: systemClock });
  try {
    const discovery = cluster.discover({ namespaces: [namespace] }, { onChange() {} });
    await discovery.ready;
    const reason = (name: string) => discovery.services.get(`${namespace}/${name}`)?.reason ?? "";
    assert.match(reason("a"), /EndpointSlices that say what is behind it cannot be read$/);
    await until("the watch", () => api.watches.get(SERVICES)?.size === 1);
    api.change(SERVICES, "ADDED", add("b"));
    await until("the next one, too", () => reason("b") === reason("a"));
  } finally {
    await cluster.close();
    await api.close();
  }
});

Deno.test("ServiceIndex says it anew when EndpointSlices may be read again, or no longer", () => {
  const index = new ServiceIndex();
  index.setService(undefined, pickService({ metadata: { namespace, name: "a" }, spec: {} }));
  index.setService(
    undefined,
    pickService({ metadata: { namespace, name: "b" }, spec: { ports: [{ port: 80 }] } }),
  );
  index.flush();
  const reason = () => {
    index.flush();
    return index.services.get(`${namespace}/b`)!.reason;
  };
  const empty = "It has no selector and no endpoints";
  assert.equal(reason(), empty);
  for (const scope of [namespace, undefined]) {
    index.setSlicesReadable(scope, false);
    assert.notEqual(reason(), empty);
    index.setSlicesReadable(scope, true);
    assert.equal(reason(), empty);
  }
  index.setSlicesReadable("other", false);
  assert.equal(reason(), empty);
});
