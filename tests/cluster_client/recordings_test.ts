import assert from "node:assert/strict";
import type { ClusterService } from "../../src/model/service.ts";
import {
  PODS,
  type Raw,
  recordedList,
  recordedWatch,
  SERVICES,
  SLICES,
  TestApi,
} from "./api_server.ts";
import { until } from "../until.ts";

/**
 * The recorded rollout, scaling, port edit, deletion of all pods and deletion
 * of a Service, told to discovery in the order of the cluster's own
 * resourceVersions. What should be seen at each point was written by hand from
 * reading the recordings.
 *
 * Notation: `name kind ports | pods`, a pod being `name` with `!` when it is
 * not ready, `~` when it is on its way out, and `@host` when it has a name.
 */
const STEPS: readonly { upTo: number; picture: readonly string[] }[] = [
  {
    upTo: 935,
    picture: ["web tunnel http:80 echo:8081 src:8082 sink:8083 rst:8084 | 56fb7bb6f6-lvg54"],
  },
  {
    // Four more Services; of the StatefulSet's pods none is ready yet.
    upTo: 952,
    picture: [
      "external none :443 |",
      "headless headless http:80 |",
      "selectorless none :5432 |",
      "udp none |",
      "web tunnel http:80 echo:8081 src:8082 sink:8083 rst:8084 | 56fb7bb6f6-lvg54",
    ],
  },
  {
    upTo: 990,
    picture: [
      "external none :443 |",
      "headless headless http:80 | db-0@db-0 db-1@db-1",
      "selectorless none :5432 |",
      "udp none |",
      "web tunnel http:80 echo:8081 src:8082 sink:8083 rst:8084 | 56fb7bb6f6-lvg54",
    ],
  },
  // The rollout: both, the old one on its way out, the new one alone.
  { upTo: 1011, picture: webOnly("80", "56fb7bb6f6-lvg54 78f7b84696-vl6kl") },
  { upTo: 1021, picture: webOnly("80", "56fb7bb6f6-lvg54!~ 78f7b84696-vl6kl") },
  { upTo: 1034, picture: webOnly("80", "78f7b84696-vl6kl") },
  // Scaled to three.
  { upTo: 1085, picture: webOnly("80", "78f7b84696-mfdw4 78f7b84696-p8b8w 78f7b84696-vl6kl") },
  // The port edited and edited back.
  { upTo: 1086, picture: webOnly("8888", "78f7b84696-mfdw4 78f7b84696-p8b8w 78f7b84696-vl6kl") },
  { upTo: 1087, picture: webOnly("80", "78f7b84696-mfdw4 78f7b84696-p8b8w 78f7b84696-vl6kl") },
  // Scaled to nothing.
  {
    upTo: 1101,
    picture: webOnly("80", "78f7b84696-mfdw4!~ 78f7b84696-p8b8w!~ 78f7b84696-vl6kl!~"),
  },
  { upTo: 1131, picture: webOnly("80", "") },
  // The UDP Service deleted, and one pod again.
  { upTo: 9999, picture: webOnly("80", "78f7b84696-jvsnm").filter((line) => !/^udp/.test(line)) },
];

function webOnly(port: string, pods: string): string[] {
  return [
    "external none :443 |",
    "headless headless http:80 | db-0@db-0 db-1@db-1",
    "selectorless none :5432 |",
    "udp none |",
    `web tunnel http:${port} echo:8081 src:8082 sink:8083 rst:8084 | ${pods}`.trim(),
  ];
}

function draw(services: ReadonlyMap<string, ClusterService>): string[] {
  return [...services.values()].map((service) => {
    const ports = service.ports.map((port) => `${port.name}:${port.port}`);
    const pods = service.endpoints.map((endpoint) =>
      endpoint.podName.replace(/^web-/, "") +
      (endpoint.hostname ? `@${endpoint.hostname}` : "") +
      (endpoint.ready ? "" : "!") + (endpoint.terminating ? "~" : "")
    );
    return [service.name, service.kind, ...ports, "|", ...pods].join(" ");
  }).sort();
}

interface Told {
  version: number;
  collection: string;
  type: string;
  object: Raw;
}

function recorded(names: Record<string, string>): Told[] {
  const all: Told[] = [];
  for (const [name, collection] of Object.entries(names)) {
    for (const { type, object } of recordedWatch(name)) {
      all.push({ version: Number(object.metadata.resourceVersion), collection, type, object });
    }
  }
  return all.sort((a, b) => a.version - b.version);
}

async function replay(
  names: Record<string, string>,
  steps: typeof STEPS,
  prepare?: (api: TestApi) => void,
) {
  const api = await TestApi.start();
  api.resourceVersion = 1;
  for (const collection of Object.values(names)) api.collections.set(collection, new Map());
  prepare?.(api);
  const cluster = await api.open();
  try {
    const gone: string[] = [];
    const notes: string[] = [];
    const discovery = cluster.discover({ namespaces: ["sample-project"] }, {
      onChange() {},
      onPodGone: (uid) => gone.push(uid),
      onNote: (note) => notes.push(note),
    });
    await discovery.ready;
    await until(
      "watches",
      () => Object.values(names).every((collection) => api.watches.get(collection)?.size === 1),
    );
    const events = recorded(names);
    for (const { upTo, picture } of steps) {
      while (events[0] && events[0].version <= upTo) {
        const { collection, type, object } = events.shift()!;
        api.push(collection, type, object);
      }
      const wanted = [...picture].sort();
      await until(`the picture at ${upTo}: ${JSON.stringify(wanted)}`, () => {
        return JSON.stringify(draw(discovery.services)) === JSON.stringify(wanted);
      }, 3_000).catch((error) => {
        assert.deepEqual(draw(discovery.services), wanted, `at ${upTo}`);
        throw error;
      });
    }
    assert.equal(events.length, 0);
    return { services: discovery.services, gone, notes };
  } finally {
    await cluster.close();
    await api.close();
  }
}

const GONE = [
  "4b976748-4c5d-473f-9871-bed8e7673e13",
  "19a06150-a2e1-44a3-b9ed-59bdba076d2e",
  "8a055dfe-93cf-49c5-bdfe-ebee20580bf1",
  "3345956d-7d8d-4dc5-8265-12fc7ce6fdd7",
];

Deno.test("discovery follows the recorded rollout through EndpointSlices", async () => {
  const end = await replay({ services: SERVICES, endpointslices: SLICES }, STEPS);
  assert.deepEqual([...end.gone].sort(), [...GONE].sort());
  assert.deepEqual(end.services.get("sample-project/web"), {
    namespace: "sample-project",
    name: "web",
    uid: "1cfd9dec-eff1-4ec5-bc1b-847fc48dd80f",
    clusterIP: "10.96.188.235",
    skippedPorts: [],
    publishNotReadyAddresses: false,
    kind: "tunnel",
    ports: [
      { name: "http", port: 80, targetPort: "http" },
      { name: "echo", port: 8081, targetPort: 8081 },
      { name: "src", port: 8082, targetPort: 8082 },
      { name: "sink", port: 8083, targetPort: 8083 },
      { name: "rst", port: 8084, targetPort: 8084 },
    ],
    endpoints: [{
      podNamespace: "sample-project",
      podName: "web-78f7b84696-jvsnm",
      podUid: "9401d4ba-ae10-4113-832e-bd62de5d764b",
      ready: true,
      serving: true,
      terminating: false,
      ports: { http: 8080, echo: 8081, src: 8082, sink: 8083, rst: 8084 },
    }],
  });
});

Deno.test("discovery follows the same rollout through Pods where EndpointSlices are forbidden", async () => {
  // Pods are told of a moment before or after their slices, so the picture is
  // compared where both agree: before, in the middle and at the end.
  const steps = STEPS.filter(({ upTo }) => [935, 990, 1021, 1034, 1087, 1131, 9999].includes(upTo));
  const end = await replay({ services: SERVICES, pods: PODS }, steps, (api) => {
    api.intercept = (request, response) =>
      request.path === SLICES &&
      api.refuse(
        response,
        403,
        'endpointslices.discovery.k8s.io is forbidden: User "alice" cannot list resource "endpointslices"',
        "Forbidden",
      );
  });
  assert.deepEqual(end.notes, [
    'May not read endpointslices in namespace "sample-project": using pods instead',
  ]);
  assert.deepEqual([...end.gone].sort(), [...GONE].sort());
  assert.deepEqual(
    end.services.get("sample-project/web")?.endpoints[0]?.ports,
    { http: 8080, echo: 8081, src: 8082, sink: 8083, rst: 8084 },
  );
});

Deno.test("discovery reads the recorded lists", async () => {
  const api = await TestApi.start();
  for (const object of recordedList("services").items) api.seed(SERVICES, object);
  for (const object of recordedList("endpointslices").items) api.seed(SLICES, object);
  const cluster = await api.open();
  try {
    const discovery = cluster.discover({ namespaces: ["sample-project"] }, { onChange() {} });
    await discovery.ready;
    assert.deepEqual(draw(discovery.services), [
      "external none :443 |",
      "headless headless http:80 | db-0@db-0 db-1@db-1",
      "selectorless none :5432 |",
      "web tunnel http:80 echo:8081 src:8082 sink:8083 rst:8084 | 78f7b84696-jvsnm",
    ]);
  } finally {
    await cluster.close();
    await api.close();
  }
});
