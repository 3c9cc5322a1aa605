import assert from "node:assert/strict";
import { pickSlice } from "../../src/cluster/endpoint_slice.ts";
import { mergeService } from "../../src/cluster/merge.ts";
import { pickPod, slicesOfPods } from "../../src/cluster/pod_endpoints.ts";
import { pickService } from "../../src/cluster/service_spec.ts";

// deno-lint-ignore no-explicit-any
type Raw = any;

function service(spec: Raw): ReturnType<typeof pickService> {
  return pickService({
    metadata: { namespace: "ns", name: "web", uid: "u-web" },
    spec: {
      type: "ClusterIP",
      clusterIP: "10.0.0.1",
      selector: { app: "web" },
      ports: [{ name: "http", port: 80, targetPort: "http" }],
      ...spec,
    },
  });
}

function slice(endpoints: Raw[], ports: Raw[] | null, more: Raw = {}) {
  return pickSlice({
    metadata: {
      namespace: "ns",
      name: "web-x",
      labels: { "kubernetes.io/service-name": "web" },
    },
    addressType: "IPv4",
    endpoints,
    ports,
    ...more,
  });
}

function pod(name: string, conditions: Raw = { ready: true }, more: Raw = {}) {
  return {
    addresses: ["10.1.0.1"],
    conditions,
    targetRef: { kind: "Pod", namespace: "ns", name, uid: `u-${name}` },
    ...more,
  };
}

const HTTP = [{ name: "http", port: 8080, protocol: "TCP" }];

Deno.test("mergeService() keeps target ports that differ per pod, over several slices", () => {
  const merged = mergeService(service({}), [
    slice([pod("a")], HTTP),
    slice([pod("b")], [{ name: "http", port: 9090, protocol: "TCP" }]),
  ]);
  assert.deepEqual(
    merged.endpoints.map((endpoint) => [endpoint.podName, endpoint.ports]),
    [["a", { http: 8080 }], ["b", { http: 9090 }]],
  );
});

Deno.test("mergeService() makes one endpoint of a pod's two address families", () => {
  const merged = mergeService(service({}), [
    slice([pod("a")], HTTP),
    slice([pod("a", { ready: true }, { addresses: ["fd00::1"] })], HTTP, { addressType: "IPv6" }),
  ]);
  assert.equal(merged.endpoints.length, 1);
  assert.equal(merged.endpoints[0]?.podUid, "u-a");
});

// kube-proxy reads them so, too (pkg/proxy/endpointslicecache.go).
Deno.test("mergeService() reads null conditions as the API says", () => {
  const merged = mergeService(service({}), [
    slice([
      pod("a", null),
      pod("b", { ready: null, serving: null, terminating: null }),
      pod("c", { ready: false }),
      pod("d", { ready: false, serving: true, terminating: true }),
      pod("e", { ready: false, terminating: true }),
      pod("f", { ready: false, serving: false, terminating: true }),
    ], HTTP),
  ]);
  assert.deepEqual(
    merged.endpoints.map(({ ready, serving, terminating }) => [ready, serving, terminating]),
    [
      [true, true, false],
      [true, true, false],
      [false, true, false],
      [false, true, true],
      [false, true, true],
      [false, false, true],
    ],
  );
});

Deno.test("mergeService() keeps a Service without ready pods as a tunnel", () => {
  assert.equal(mergeService(service({}), []).kind, "tunnel");
  assert.equal(
    mergeService(service({}), [slice([pod("a", { ready: false })], HTTP)]).kind,
    "tunnel",
  );
  assert.deepEqual(mergeService(service({}), [slice(null as Raw, null)]).endpoints, []);
});

Deno.test("mergeService() says why there is no tunnel", () => {
  const reasons = [
    mergeService(
      service({ type: "ExternalName", externalName: "api.example.com", selector: undefined }),
      [],
    ),
    mergeService(service({ selector: undefined }), []),
    mergeService(service({ selector: {} }), [
      slice([{ addresses: ["192.0.2.5"], conditions: { ready: true } }], HTTP),
    ]),
    mergeService(service({ ports: [{ name: "dns", port: 53, protocol: "UDP" }] }), []),
    mergeService(service({ ports: [], clusterIP: "None" }), []),
    mergeService(service({ ports: [] }), []),
    mergeService(service({ ports: [], clusterIP: "None", selector: undefined }), []),
  ];
  assert.equal(reasons[0]!.externalName, "api.example.com");
  assert.deepEqual(reasons.map(({ kind, reason }) => [kind, reason]), [
    ["none", 'It is an ExternalName for "api.example.com", which is outside the cluster'],
    ["none", "It has no selector and no endpoints"],
    [
      "none",
      "It has no selector and its endpoints (192.0.2.5) name no pod (no targetRef), which a port-forward needs",
    ],
    ["none", "It has only UDP ports, which a port-forward cannot carry"],
    [
      "none",
      "It is a headless Service without TCP ports, and no other Service tells which ports its pods listen on",
    ],
    ["none", "It has no ports"],
    ["none", "It has no selector and no endpoints"],
  ]);
});

Deno.test("mergeService() says of a Service without selector when its endpoints cannot be read", () => {
  const reason = (spec: Raw) => mergeService(service(spec), [], undefined, true).reason;
  assert.equal(
    reason({ selector: undefined }),
    "It has no selector, and the EndpointSlices that say what is behind it cannot be read",
  );
  assert.equal(reason({}), undefined, "with a selector the pods tell");
});

Deno.test("mergeService() tells the endpoints it passes over, in any order and once", () => {
  const bare = (...addresses: string[]) =>
    slice(addresses.map((address) => ({ addresses: [address] })), HTTP);
  const merged = mergeService(service({ selector: undefined }), [
    slice([pod("a")], HTTP),
    bare("10.1.0.9", "10.1.0.2"),
    bare("10.1.0.2"),
  ]);
  assert.equal(merged.kind, "tunnel");
  assert.deepEqual(merged.podless, ["10.1.0.2", "10.1.0.9"]);
  assert.equal(mergeService(service({}), [slice([pod("a")], HTTP)]).podless, undefined);
});

Deno.test("mergeService() looks no port's name up where no pods are selected", () => {
  assert.equal(mergeService(service({}), []).ports[0]!.targetPort, "http");
  const byHand = mergeService(service({ selector: undefined }), [slice([pod("a")], HTTP)]);
  assert.equal(byHand.ports[0]!.targetPort, 80);
});

Deno.test("mergeService() tunnels a selector-less Service whose endpoints are pods", () => {
  const merged = mergeService(service({ selector: undefined }), [slice([pod("a")], HTTP)]);
  assert.equal(merged.kind, "tunnel");
  assert.deepEqual(merged.endpoints.map((endpoint) => endpoint.podName), ["a"]);
});

Deno.test("mergeService() skips UDP and SCTP ports, each with the reason, and keeps the rest", () => {
  const merged = mergeService(
    service({
      ports: [
        { name: "dns", port: 53, protocol: "UDP" },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 5353 },
        { name: "sig", port: 3868, protocol: "SCTP" },
      ],
    }),
    [slice([pod("a")], [
      { name: "dns", port: 5353, protocol: "UDP" },
      { name: "dns-tcp", port: 5354, protocol: "TCP" },
    ])],
  );
  assert.deepEqual(merged.ports, [{ name: "dns-tcp", port: 53, targetPort: 5353 }]);
  assert.deepEqual(merged.endpoints[0]?.ports, { "dns-tcp": 5354 });
  assert.deepEqual(merged.skippedPorts, [
    { port: 53, protocol: "UDP", reason: "UDP cannot be carried by a port-forward" },
    { port: 3868, protocol: "SCTP", reason: "SCTP cannot be carried by a port-forward" },
  ]);
});

Deno.test("mergeService() gives headless Services their pods' names", () => {
  const merged = mergeService(service({ clusterIP: "None" }), [
    slice([pod("db-0", { ready: true }, { hostname: "db-0" }), pod("db-1")], HTTP),
  ]);
  assert.equal(merged.kind, "headless");
  assert.equal(merged.clusterIP, undefined);
  assert.deepEqual(merged.ports, [{ name: "http", port: 80, targetPort: "http" }]);
  assert.deepEqual(merged.endpoints.map((endpoint) => endpoint.hostname), ["db-0", undefined]);
});

Deno.test("mergeService() reads a port that is not restricted as the Service's own target", () => {
  const open = [{ name: "http", port: null, protocol: "TCP" }];
  const named = mergeService(service({}), [slice([pod("a")], open)]);
  assert.deepEqual(named.endpoints[0]?.ports, { http: 80 });
  const number = mergeService(
    service({ ports: [{ name: "http", port: 80, targetPort: 8081 }] }),
    [slice([pod("a")], open)],
  );
  assert.deepEqual(number.endpoints[0]?.ports, { http: 8081 });
});

Deno.test("mergeService() keeps affinity, appProtocol and publishNotReadyAddresses", () => {
  const merged = mergeService(
    service({
      sessionAffinity: "ClientIP",
      publishNotReadyAddresses: true,
      ports: [{ port: 80, appProtocol: "kubernetes.io/h2c" }],
    }),
    [],
  );
  assert.equal(merged.affinitySeconds, 10_800);
  assert.equal(merged.publishNotReadyAddresses, true);
  assert.deepEqual(merged.ports, [
    { name: "", port: 80, targetPort: 80, appProtocol: "kubernetes.io/h2c" },
  ]);
  const timed = service({
    sessionAffinity: "ClientIP",
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
  });
  assert.equal(mergeService(timed, []).affinitySeconds, 60);
});

function rawPod(name: string, more: { spec?: Raw; status?: Raw; metadata?: Raw } = {}) {
  return pickPod({
    metadata: { namespace: "ns", name, uid: `u-${name}`, labels: { app: "web" }, ...more.metadata },
    spec: { containers: [{ ports: [{ name: "http", containerPort: 8080 }] }], ...more.spec },
    status: {
      podIP: "10.1.0.1",
      phase: "Running",
      conditions: [{ type: "Ready", status: "True" }],
      ...more.status,
    },
  });
}

Deno.test("slicesOfPods() resolves named ports per pod, sidecars included", () => {
  const slices = slicesOfPods(service({}), [
    rawPod("a"),
    rawPod("b", { spec: { containers: [{ ports: [{ name: "http", containerPort: 9090 }] }] } }),
    rawPod("c", {
      spec: {
        containers: [{}],
        initContainers: [
          { ports: [{ name: "http", containerPort: 1 }] },
          { restartPolicy: "Always", ports: [{ name: "http", containerPort: 7070 }] },
        ],
      },
    }),
    rawPod("udp", {
      spec: { containers: [{ ports: [{ name: "http", protocol: "UDP", containerPort: 5 }] }] },
    }),
  ]);
  const merged = mergeService(service({}), slices);
  assert.deepEqual(
    merged.endpoints.map((endpoint) => [endpoint.podName, endpoint.ports]),
    [["a", { http: 8080 }], ["b", { http: 9090 }], ["c", { http: 7070 }], ["udp", {}]],
  );
});

Deno.test("slicesOfPods() leaves out what has no address, has ended or is not selected", () => {
  const pods = [
    rawPod("pending", { status: { podIP: undefined, phase: "Pending" } }),
    rawPod("done", { status: { phase: "Succeeded" } }),
    rawPod("failed", { status: { phase: "Failed" } }),
    rawPod("other", { metadata: { labels: { app: "other" } } }),
    rawPod("elsewhere", { metadata: { namespace: "other" } }),
  ];
  assert.deepEqual(slicesOfPods(service({}), pods), []);
  assert.deepEqual(slicesOfPods(service({ selector: undefined }), [rawPod("a")]), []);
});

Deno.test("slicesOfPods() knows readiness, ending and publishNotReadyAddresses", () => {
  const pods = [
    rawPod("going", { metadata: { deletionTimestamp: "2026-11-22T22:30:14Z" } }),
    rawPod("waiting", { status: { conditions: [{ type: "Ready", status: "False" }] } }),
  ];
  const flags = (spec: Raw) =>
    mergeService(service(spec), slicesOfPods(service(spec), pods)).endpoints
      .map(({ ready, serving, terminating }) => [ready, serving, terminating]);
  assert.deepEqual(flags({}), [[false, true, true], [false, false, false]]);
  assert.deepEqual(flags({ publishNotReadyAddresses: true }), [[true, true, true], [
    true,
    false,
    false,
  ]]);
});

Deno.test("slicesOfPods() gives a hostname only under the Service that is the pod's subdomain", () => {
  const named = rawPod("db-0", { spec: { containers: [], hostname: "db-0", subdomain: "web" } });
  const other = rawPod("db-1", { spec: { containers: [], hostname: "db-1", subdomain: "else" } });
  const merged = mergeService(service({}), slicesOfPods(service({}), [named, other]));
  assert.deepEqual(merged.endpoints.map((endpoint) => endpoint.hostname), ["db-0", undefined]);
});
