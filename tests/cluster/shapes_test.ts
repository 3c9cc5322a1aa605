/** What the server says, compared with what a real one said (testdata/recordings). */
import assert from "node:assert/strict";
import { api, eventually } from "./harness.ts";
import { deployment, type Obj, service, startCluster, statefulSet } from "./mod.ts";

const RECORDINGS = new URL("../testdata/recordings/", import.meta.url);
const NS = "sample-project";

function readList(name: string): Obj {
  return JSON.parse(Deno.readTextFileSync(new URL(name, RECORDINGS)));
}

function readEvents(name: string): Obj[] {
  return Deno.readTextFileSync(new URL(name, RECORDINGS)).trim().split("\n").map((line) =>
    JSON.parse(line)
  );
}

/** The objects of the recorded namespace. */
const objects: Obj[] = [
  {
    kind: "ConfigMap",
    metadata: { name: "core-config", namespace: NS },
    data: { MULTI: "a\nb", SAMPLE1_KEY: "VALUE1", SAMPLE2_KEY: "x" },
  },
  {
    kind: "Secret",
    metadata: { name: "core-secret", namespace: NS },
    stringData: { DB_PASSWORD: "p@ss'word" },
  },
  deployment(NS, "web", {
    programs: ["http=8080", "echo=8081", "source=8082", "sink=8083", "reset=8084"],
    ports: { http: 8080 },
    envFrom: [{ configMapRef: { name: "core-config" } }],
    env: [
      { name: "GREETING", value: "hi $(SAMPLE1_KEY)" },
      { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      {
        name: "DB_PASSWORD",
        valueFrom: { secretKeyRef: { name: "core-secret", key: "DB_PASSWORD" } },
      },
    ],
  }),
  service(NS, "web", "web", [
    { name: "http", port: 80, targetPort: "http" },
    { name: "echo", port: 8081, targetPort: 8081 },
    { name: "src", port: 8082, targetPort: 8082 },
    { name: "sink", port: 8083, targetPort: 8083 },
    { name: "rst", port: 8084, targetPort: 8084 },
  ]),
];

const later: Obj[] = [
  service(NS, "headless", "db", [{ name: "http", port: 80, targetPort: 8080 }], {
    clusterIP: "None",
  }),
  statefulSet(NS, "db", "headless", { programs: ["http=8080"], replicas: 2 }),
  service(NS, "external", undefined, [{ port: 443 }], {
    type: "ExternalName",
    externalName: "api.example.com",
  }),
  service(NS, "selectorless", undefined, [{ port: 5432 }]),
  service(NS, "udp", "web", [{ name: "dns", port: 53, protocol: "UDP" }]),
];

/** Parts whose contents are the recorded cluster's own business. */
const SKIP = new Set([
  ...["managedFields", "args", "tolerations", "sources", "labels", "selector", "matchLabels"],
  "kubectl.kubernetes.io/last-applied-configuration",
  "kubectl.kubernetes.io/restartedAt",
  "message",
]);

/** Every path of an object with the type of what is there. */
function paths(value: unknown, at = ""): string[] {
  if (Array.isArray(value)) {
    return [...new Set([`${at}[]`, ...value.flatMap((one) => paths(one, `${at}[]`))])];
  }
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).filter(([key]) => !SKIP.has(key)).flatMap(([key, inner]) =>
      paths(inner, `${at}.${key}`)
    );
  }
  return [`${at}: ${value === null ? "null" : typeof value}`];
}

function sameShape(ours: unknown, real: unknown, what: string, ignore: RegExp[] = []): void {
  const clean = (value: unknown) =>
    [...new Set(paths(value))].filter((path) => !ignore.some((one) => one.test(path))).sort();
  assert.ok(clean(real).length >= 4, `${what}: too little to compare`);
  assert.deepEqual(clean(ours), clean(real), what);
}

/** Reads a watch until `done` is true of its events. */
async function watch(
  cluster: Parameters<typeof api>[0],
  path: string,
  timeoutSeconds: number,
): Promise<Obj[]> {
  const query = `watch=true&allowWatchBookmarks=true&sendInitialEvents=true` +
    `&resourceVersionMatch=NotOlderThan&timeoutSeconds=${timeoutSeconds}`;
  const response = await api(cluster, "token", `${path}?${query}`);
  assert.equal(response.status, 200);
  return (await response.text()).trim().split("\n").map((line) => JSON.parse(line));
}

/** How an event of a pod reads without names and times. */
function story(event: Obj): string {
  const { metadata, status } = event.object;
  const condition = (type: string) =>
    (status.conditions ?? []).find((one: Obj) => one.type === type)?.status ?? "-";
  const phase = status.phase === "Failed" ? "Succeeded" : status.phase;
  return [
    event.type,
    phase,
    `sandbox=${condition("PodReadyToStartContainers")}`,
    `ready=${condition("Ready")}`,
    `ip=${status.podIP !== undefined}`,
    `generation=${metadata.generation}/${status.observedGeneration ?? "-"}`,
    `grace=${metadata.deletionGracePeriodSeconds ?? "-"}`,
  ].join(" ");
}

function storyOf(events: readonly Obj[], prefix: string): string[][] {
  const pods = new Map<string, string[]>();
  for (const event of events) {
    const name = event.object.metadata.name;
    if (!name?.startsWith(prefix)) continue;
    pods.set(name, [...(pods.get(name) ?? []), story(event)]);
  }
  return [...pods.values()];
}

Deno.test("lists have the shapes of a real cluster's", async () => {
  await using cluster = await startCluster({ fixtures: objects });
  await cluster.control.apply({ objects: later });
  const core = `/api/v1/namespaces/${NS}`;
  const cases: [string, string, RegExp[]?][] = [
    ["list-services.json", `${core}/services`],
    ["list-endpointslices.json", `/apis/discovery.k8s.io/v1/namespaces/${NS}/endpointslices`],
    // A restart made the annotations of the recorded pod, defaults of a node the tolerations.
    ["list-pods.json", `${core}/pods`, [/^\.items\[\]\.metadata\.annotations/, /readOnly/]],
    ["list-secrets.json", `${core}/secrets`, [/\.annotations/]],
    ["list-deployments.json", `/apis/apps/v1/namespaces/${NS}/deployments`, [
      /template\.metadata\.annotations/,
    ]],
    ["list-statefulsets.json", `/apis/apps/v1/namespaces/${NS}/statefulsets`, [/ports/]],
  ];
  for (const [recording, path, ignore] of cases) {
    const response = await api(cluster, "token", path);
    assert.equal(response.headers.get("content-type"), "application/json");
    const ours = await response.json();
    const real = readList(recording);
    assert.deepEqual(Object.keys(ours), Object.keys(real));
    sameShape(ours, real, recording, ignore);
  }
});

Deno.test("a rollout tells the recorded story, event by event", async () => {
  await using cluster = await startCluster({ fixtures: objects });
  const pods = watch(cluster, `/api/v1/namespaces/${NS}/pods`, 5);
  const slices = watch(
    cluster,
    `/apis/discovery.k8s.io/v1/namespaces/${NS}/endpointslices`,
    5,
  );
  await eventually(
    "both watches",
    async () => (await cluster.control.counters()).watches.length === 2,
  );
  await cluster.control.apply({ objects: [later[0]!, later[4]!] });
  await cluster.control.rollout({ namespace: NS, deployment: "web" });
  const ours = await pods;
  const real = readEvents("watch-pods.jsonl");

  // The pod that was there, and its end; the one that came.
  const [oursOld, oursNew] = storyOf(ours, "web-");
  const [realOld, realNew] = storyOf(real, "web-");
  assert.deepEqual(oursOld, realOld);
  assert.deepEqual(oursNew, realNew!.slice(0, oursNew!.length));

  // The same objects at the same points, path by path.
  const eventsOf = (events: Obj[], index: number) => {
    const names = [...new Set(events.map((event) => event.object.metadata.name))]
      .filter((name) => name?.startsWith("web-"));
    return events.filter((event) => event.object.metadata.name === names[index]);
  };
  const ignore = [/metadata\.annotations/, /containers\[\]\.(env|args|ports|volume)/, /volumes/];
  for (const index of [0, 1]) {
    const mine = eventsOf(ours, index);
    eventsOf(real, index).slice(0, mine.length).forEach((event, i) => {
      const what = `pod ${index}, event ${i}`;
      if (event.object.status.phase !== "Failed") {
        sameShape(mine[i]!.object, event.object, what, ignore);
      }
    });
  }

  // Initial events end with a bookmark; another comes before the time-out.
  for (
    const [mine, name] of [[ours, "watch-pods.jsonl"], [
      await slices,
      "watch-endpointslices.jsonl",
    ]] as const
  ) {
    const marks = (events: Obj[]) => events.filter((event) => event.type === "BOOKMARK");
    const [first, second] = marks(mine);
    const [realFirst, realSecond] = marks(readEvents(name));
    sameShape(first, realFirst, "first bookmark");
    sameShape(second, realSecond, "later bookmark");
    assert.equal(first!.object.metadata.annotations["k8s.io/initial-events-end"], "true");
  }

  // The Service's slice: both pods, the old one terminating, the new one alone.
  const conditions = (events: Obj[], service: string) =>
    events.filter((event) => event.object.metadata.name?.startsWith(`${service}-`)).map((event) =>
      (event.object.endpoints ?? []).map((one: Obj) =>
        `${one.conditions.ready},${one.conditions.serving},${one.conditions.terminating}`
      ).join(" ")
    );
  const realSlices = conditions(readEvents("watch-endpointslices.jsonl"), "web");
  assert.deepEqual(conditions(await slices, "web"), realSlices.slice(0, 4));
});
