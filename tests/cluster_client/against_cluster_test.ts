/** Discovery against the test cluster: real API semantics, real faults, real RBAC. */
import assert from "node:assert/strict";
import { type Cluster, openCluster } from "../../src/cluster/cluster.ts";
import type { DiscoverScope, Discovery } from "../../src/cluster/discovery.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import {
  type Cluster as TestCluster,
  type ClusterOptions,
  type Rule,
  service,
  startCluster,
} from "../cluster/mod.ts";
import { eventually } from "../cluster/harness.ts";

const NS = "sample-project";
const GUIDE = "database echo sails server sockets web".split(" ")
  .map((name) => `${NS}-${name}`).join(" ");

function open(cluster: TestCluster, context: string): Promise<Cluster> {
  return openCluster({
    kubeconfig: cluster.kubeconfig,
    context,
    env: { PATH: Deno.env.get("PATH") ?? "", HOME: cluster.folder },
    cwd: cluster.folder,
    home: cluster.folder,
    log: silentLogger,
    clock: systemClock,
  });
}

interface Seen {
  discovery: Discovery;
  notes: string[];
  health: { reachable: boolean; reason?: string }[];
  names: () => string;
  ready: (service: string) => string;
}

async function withDiscovery(
  options: { cluster?: ClusterOptions; context?: string; scope?: DiscoverScope },
  work: (cluster: TestCluster, seen: Seen) => Promise<void>,
): Promise<void> {
  await using cluster = await startCluster(options.cluster);
  const client = await open(cluster, options.context ?? "token");
  try {
    await work(cluster, await look(client, options.scope ?? { namespaces: [NS] }));
  } finally {
    await client.close();
  }
}

async function look(client: Cluster, scope: DiscoverScope): Promise<Seen> {
  const notes: string[] = [];
  const health: Seen["health"] = [];
  const discovery = client.discover(scope, {
    onChange() {},
    onNote: (note) => notes.push(note),
    onHealth: (now) => health.push(now),
  });
  await discovery.ready;
  return {
    discovery,
    notes,
    health,
    names: () => [...discovery.services.values()].map((one) => one.name).sort().join(" "),
    ready: (name) =>
      (discovery.services.get(`${NS}/${name.startsWith("later") ? "" : `${NS}-`}${name}`)
        ?.endpoints ?? []).filter((one) => one.ready)
        .map((one) => one.podName).sort().join(" "),
  };
}

Deno.test("discovery works with a client certificate, a token and an exec plugin", async () => {
  await using cluster = await startCluster();
  for (const context of ["admin", "token", "exec", "least"]) {
    const client = await open(cluster, context);
    try {
      await client.probe({ namespace: NS });
      const seen = await look(client, { namespaces: [NS] });
      assert.equal(seen.names(), GUIDE, context);
      assert.equal(seen.ready("web").split(" ").length >= 1, true, context);
      assert.deepEqual(seen.notes, [], context);
    } finally {
      await client.close();
    }
  }
  const none = await open(cluster, "none");
  await assert.rejects(
    none.probe({ namespace: NS }),
    (error: CzctlError) => error.code === "denied" && /Cannot list services/.test(error.message),
  );
  await none.close();
});

Deno.test("a rollout and a new Service are followed", async () => {
  await withDiscovery({}, async (cluster, { ready, names }) => {
    const before = ready("web");
    await cluster.control.rollout({ namespace: NS, deployment: "web" });
    await eventually("the new pod", () => ready("web") !== "" && ready("web") !== before, 10_000);
    await cluster.control.apply({
      objects: [service(NS, "later", "web", [{ name: "http", port: 80, targetPort: 8080 }])],
    });
    await eventually("the new Service", () => names().includes("later"));
    await eventually("its pods", () => ready("later") === ready("web"));
    await cluster.control.remove({ resource: "services", namespace: NS, name: "later" });
    await eventually("its end", () => names() === GUIDE);
  });
});

Deno.test("watches that are cut or expire, and versions that are forgotten, lose nothing", async () => {
  await withDiscovery({}, async (cluster, { names, health }) => {
    const add = (name: string) =>
      cluster.control.apply({ objects: [service(NS, name, "web", [{ name: "x", port: 80 }])] });
    await cluster.control.cutWatches({});
    await add("a-cut");
    await eventually("after the cut", () => names().includes("a-cut"));
    await cluster.control.expireWatches({});
    await add("b-expired");
    await eventually("after 410 in the stream", () => names().includes("b-expired"));
    await cluster.control.remove({ resource: "services", namespace: NS, name: "a-cut" });
    await cluster.control.expireVersions({});
    await cluster.control.cutWatches({});
    await eventually("after HTTP 410", () => !names().includes("a-cut"));
    await add("c-forgotten");
    await eventually("afterwards", () => names().includes("c-forgotten"));
    assert.deepEqual(health.filter((one) => !one.reachable), []);
  });
});

Deno.test("an API server that restarts is followed by itself", async () => {
  await withDiscovery({}, async (cluster, { names, health }) => {
    await cluster.control.restart({ downMs: 1_500 });
    await eventually("the outage", () => health.some((one) => !one.reachable), 10_000);
    await cluster.control.apply({
      objects: [service(NS, "later", "web", [{ name: "x", port: 80 }])],
    });
    await eventually("the new Service", () => names().includes("later"), 20_000);
    await eventually("reachable", () => health.at(-1)?.reachable === true, 20_000);
  });
});

Deno.test("an API server that answers nothing is noticed within 20 s and heals by itself", async () => {
  await withDiscovery({}, async (cluster, { names, health }) => {
    const started = performance.now();
    await cluster.control.hang({ hung: true });
    await eventually("the outage", () => health.at(-1)?.reachable === false, 25_000);
    assert.ok(performance.now() - started < 20_000);
    await cluster.control.apply({
      objects: [service(NS, "later", "web", [{ name: "x", port: 80 }])],
    });
    await cluster.control.hang({ hung: false });
    await eventually("the new Service", () => names().includes("later"), 25_000);
    await eventually("reachable", () => health.at(-1)?.reachable === true, 10_000);
  });
});

Deno.test("a token that is revoked is fetched anew from the exec plugin, unnoticed", async () => {
  await withDiscovery({ context: "exec" }, async (cluster, { names, health }) => {
    const calls = await cluster.control.execCalls({});
    await cluster.control.rotateExec({ revoke: true });
    await cluster.control.cutWatches({});
    await cluster.control.apply({
      objects: [service(NS, "later", "web", [{ name: "x", port: 80 }])],
    });
    await eventually("the new Service", () => names().includes("later"), 10_000);
    assert.deepEqual(health.filter((one) => !one.reachable), []);
    const more = await cluster.control.execCalls({}) - calls;
    assert.ok(more >= 1 && more <= 3, `${more} runs of the plugin`);
  });
});

const WATCH = ["list", "watch"];
const rule = (resources: string[], namespaces?: string[], verbs = WATCH): Rule => ({
  verbs,
  resources,
  ...(namespaces ? { namespaces } : {}),
});

interface RightsCase {
  title: string;
  rules: Rule[];
  scope?: DiscoverScope;
  notes?: RegExp[];
  /** What `ready` rejects with; absent: it works. */
  refused?: RegExp;
  hint?: RegExp;
}

const RIGHTS: RightsCase[] = [
  {
    title: "the least Role: list and watch of services and endpointslices",
    rules: [rule(["services", "endpointslices"], [NS])],
  },
  {
    title: "without endpointslices: pods stand in",
    rules: [rule(["services", "pods"], [NS])],
    notes: [/^May not read endpointslices in namespace "sample-project": using pods instead$/],
  },
  {
    title: "without endpointslices and pods: both are named",
    rules: [rule(["services"], [NS])],
    refused:
      /^Cannot list endpointslices in namespace "sample-project": forbidden .*; and pods neither: Cannot list pods/,
  },
  {
    title: "without services: verb and resource are named",
    rules: [rule(["endpointslices", "pods"], [NS])],
    refused: /^Cannot list services in namespace "sample-project": forbidden/,
  },
  {
    title: "all namespaces with rights over the whole cluster",
    rules: [rule(["services", "endpointslices"])],
    scope: { namespaces: "all" },
  },
  {
    title: "all namespaces without them, where namespaces may be listed: each by itself",
    rules: [
      rule(["services", "endpointslices"], [NS]),
      rule(["namespaces"]),
    ],
    scope: { namespaces: "all" },
    notes: [/^May not watch services of the whole cluster: watching each namespace by itself$/],
  },
  {
    title: "all namespaces, one of them with services alone: it is left out, with a note",
    rules: [
      rule(["services", "endpointslices"], [NS]),
      rule(["services"], ["default"]),
      rule(["namespaces"]),
    ],
    scope: { namespaces: "all" },
    notes: [
      /^May not watch services of the whole cluster/,
      /^May read neither endpointslices nor pods in namespace "default": left out$/,
    ],
  },
  {
    title: "all namespaces with services of the whole cluster, endpointslices in some",
    rules: [rule(["services", "namespaces"]), rule(["endpointslices"], [NS])],
    scope: { namespaces: "all" },
    notes: [
      /^May not watch endpointslices of the whole cluster: watching each namespace by itself$/,
    ],
  },
  {
    title: "all namespaces with services of the whole cluster, pods in some",
    rules: [rule(["services", "namespaces"]), rule(["pods"], [NS])],
    scope: { namespaces: "all" },
    notes: [
      /^May not watch endpointslices of the whole cluster: watching each namespace by itself$/,
      /^May not read endpointslices in namespace "sample-project": using pods instead$/,
    ],
  },
  {
    title: "the same without the right to list namespaces: told to name them",
    rules: [rule(["services"]), rule(["endpointslices"], [NS])],
    scope: { namespaces: "all" },
    refused: /^Cannot list endpointslices: forbidden .*; and pods neither: /,
    hint: /^Name the namespaces with -n and -a /,
  },
  {
    title: "all namespaces without the right to list them: told to name them",
    rules: [rule(["services", "endpointslices"], [NS])],
    scope: { namespaces: "all" },
    refused: /^Cannot list services: forbidden/,
    hint: /^Name the namespaces with -n and -a /,
  },
];

Deno.test("least rights: a fallback or a clear message for each right that is missing", async (t) => {
  await using cluster = await startCluster();
  for (const { title, rules, scope, notes = [], refused, hint = /./ } of RIGHTS) {
    await t.step(title, async () => {
      await cluster.control.setRules({ user: "least-user", rules });
      const client = await open(cluster, "least");
      try {
        const looking = look(client, scope ?? { namespaces: [NS] });
        if (refused) {
          const error = await looking.then(() => undefined, (error) => error);
          assert.ok(error instanceof CzctlError);
          assert.match(error.message, refused);
          assert.equal(error.exitCode, 3);
          assert.match(error.hint ?? "", hint);
          return;
        }
        const seen = await looking;
        for (const name of GUIDE.split(" ")) assert.ok(seen.names().includes(name), seen.names());
        assert.notEqual(seen.ready("web"), "");
        assert.equal(seen.notes.length, notes.length, seen.notes.join());
        notes.forEach((note, index) => assert.match(seen.notes[index]!, note));
      } finally {
        await client.close();
      }
    });
  }
});

Deno.test("least rights: a workload is looked up with what may be read", async (t) => {
  await using cluster = await startCluster();
  const lookup = async (rules: Rule[], name: string, namespace = NS) => {
    await cluster.control.setRules({ user: "least-user", rules });
    const client = await open(cluster, "least");
    try {
      const found = await client.lookupWorkload({ kind: "deployment", name, namespace });
      return found.note ?? (found.object ? "found" : "listed");
    } catch (error) {
      return `${(error as CzctlError).code}: ${(error as CzctlError).message}`;
    } finally {
      await client.close();
    }
  };
  await t.step("get and list", async () => {
    const rules = [
      rule(["deployments"], undefined, ["get", "list"]),
      rule(["namespaces"], undefined, ["get", "list"]),
    ];
    assert.equal(await lookup(rules, "web"), "found");
    assert.equal(
      await lookup(rules, "wbe"),
      'not_found: Deployment "wbe" not found in namespace "sample-project"; did you mean "web"?',
    );
    assert.equal(
      await lookup(rules, "web", "sample-projet"),
      'not_found: Namespace "sample-projet" not found; did you mean "sample-project"?',
    );
  });
  await t.step("get alone", async () => {
    const rules = [rule(["deployments"], [NS], ["get"])];
    assert.equal(await lookup(rules, "web"), "found");
    assert.equal(
      await lookup(rules, "wbe"),
      'not_found: Deployment "wbe" not found in namespace "sample-project"',
    );
  });
  await t.step("list alone", async () => {
    const rules = [rule(["deployments"], [NS], ["list"])];
    assert.equal(await lookup(rules, "web"), "listed");
    assert.match(await lookup(rules, "wbe"), /did you mean "web"\?$/);
  });
  await t.step("nothing", async () => {
    assert.equal(
      await lookup([], "web"),
      'May not read deployments in namespace "sample-project": taken as it is',
    );
  });
});

Deno.test("what was not found is looked for in the same cluster", async () => {
  await using cluster = await startCluster();
  const client = await open(cluster, "token");
  try {
    const kubectl = `kubectl --kubeconfig ${cluster.kubeconfig} --context token`;
    await assert.rejects(
      client.lookupWorkload({ kind: "deployment", name: "none", namespace: NS }),
      { hint: `See: ${kubectl} -n ${NS} get deployments` },
    );
    await assert.rejects(
      client.lookupWorkload({ kind: "namespace", name: "none", namespace: "none" }),
      { hint: `See: ${kubectl} get namespaces` },
    );
  } finally {
    await client.close();
  }
});

Deno.test("a namespace called .. is refused: it would lead to all of them", async () => {
  await using cluster = await startCluster();
  const client = await open(cluster, "admin");
  try {
    for (const name of ["..", "."]) {
      await assert.rejects(
        client.lookupWorkload({ kind: "namespace", name, namespace: name }),
        { code: "usage", message: `Not a name of Kubernetes: "${name}"` },
      );
      await assert.rejects(
        client.lookupWorkload({ kind: "deployment", name: "web", namespace: name }),
        { code: "usage", message: `Not a name of Kubernetes: "${name}"` },
      );
    }
    await assert.rejects(
      client.lookupWorkload({ kind: "namespace", name: "a,b", namespace: "a,b" }),
      { hint: "Several are named like this: -n a -a b" },
    );
  } finally {
    await client.close();
  }
});

Deno.test("all namespaces: one created later is found, one deleted is forgotten", async () => {
  await withDiscovery(
    { context: "admin", scope: { namespaces: "all" } },
    async (cluster, { discovery }) => {
      await cluster.control.apply({
        objects: [
          { apiVersion: "v1", kind: "Namespace", metadata: { name: "later" } },
          service("later", "web", "web", [{ name: "x", port: 80 }]),
        ],
      });
      await eventually("the Service", () => discovery.services.has("later/web"));
      await cluster.control.remove({ resource: "services", namespace: "later", name: "web" });
      await eventually("its end", () => !discovery.services.has("later/web"));
    },
  );
});

Deno.test("names for completion, and the objects other rooms read", async () => {
  await using cluster = await startCluster();
  const client = await open(cluster, "admin");
  try {
    assert.ok((await client.listNames("deployment", NS)).includes("web"));
    assert.ok((await client.listNames("namespace", "")).includes(NS));
    const web = await client.objects.get("deployments", NS, "web");
    assert.equal(web?.metadata.name, "web");
    assert.equal(await client.objects.get("deployments", NS, "gone"), undefined);
    const selected = await client.objects.list("pods", NS, { labelSelector: "app=web" });
    assert.ok(selected.length >= 1);
    const sizes: number[] = [];
    const watch = client.objects.watch("services", NS, {}, (all) => sizes.push(all.length));
    await eventually("the first picture", () => sizes.length === 1);
    await cluster.control.apply({
      objects: [service(NS, "later", "web", [{ name: "x", port: 80 }])],
    });
    await eventually("the change", () => sizes.at(-1) === sizes[0]! + 1);
    watch.close();
  } finally {
    await client.close();
  }
});
