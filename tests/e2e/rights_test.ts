/** Sessions of users who may do little: what docs/rbac.md says is all they need. */
import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { deployment, type Rule, service } from "../cluster/mod.ts";
import { addressOf, get, sessions, status, untilAnswer } from "./facts.ts";
import { until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

interface Role {
  readonly kind: "Role" | "ClusterRole";
  readonly metadata?: { readonly name: string };
  readonly rules: readonly Rule[];
}

/** The rules of a role of the page; those of a Role are given in the namespace `shop`. */
function documented(kind: Role["kind"], name: string): Rule[] {
  const page = Deno.readTextFileSync(new URL("../../docs/rbac.md", import.meta.url));
  const role = [...page.matchAll(/```yaml\n([^]*?)```/g)]
    .flatMap((block) => parseAllDocuments(block[1]!).map((one) => one.toJS() as Role))
    .find((one) => one.kind === kind && one.metadata?.name === name);
  assert.ok(role, `docs/rbac.md has the ${kind} ${name}`);
  return role.rules.map(({ apiGroups, resources, verbs }) => ({
    apiGroups: apiGroups!,
    resources,
    verbs,
    ...(kind === "ClusterRole" ? {} : { namespaces: ["shop"] }),
  }));
}

const WEB_PORTS = [{ name: "http", port: 80, targetPort: "http" }];

function web(namespace: string) {
  return [
    deployment(namespace, "web", {
      programs: ["http=8080"],
      ports: { http: 8080 },
      env: [{ name: "GREETING", value: "hello" }],
    }),
    service(namespace, "web", "web", WEB_PORTS),
  ];
}

const user = "developer";
const role = documented("Role", "czctl");
const without = (resource: string) => role.filter((rule) => !rule.resources.includes(resource));
const pods = { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] };

const scene = {
  users: [
    { context: "role", user, via: "token" as const, rules: role },
    {
      context: "admin",
      user: "root",
      groups: ["system:masters"],
      via: "token" as const,
      rules: [],
    },
  ],
  fixtures: [...web("shop"), ...web("tools"), ...web("secret")],
};

e2e("the documented Role is enough, and each missing right has its message", async (scene) => {
  const { box, cluster, czctl, done } = scene;
  const rules = (rules: readonly Rule[]) => cluster.control.setRules({ user, rules });
  const close = () => done("session", "close");

  // A namespace nobody may look at is taken for granted when it is named; so is a workload.
  await done("teleport", "ns", "shop");
  assert.match(await get(box, "http://web.shop/"), /^Hello from web-/);
  await close();
  const opened = await done("teleport", "deploy/web", "-n", "shop");
  assert.match(opened.stdout + opened.stderr, /May not read deployments in namespace "shop"/);
  await close();

  const refused = async (args: string[], ...patterns: RegExp[]) => {
    const output = await czctl("teleport", ...args);
    assert.equal(output.code, 3, output.stdout + output.stderr);
    for (const pattern of [...patterns, /^ {2}kubectl -n \w+ create role|--all-namespaces/m]) {
      assert.match(output.stderr, pattern);
    }
    assert.deepEqual(await box.hosts(), scene.hostsBefore);
  };
  await rules(without("services"));
  await refused(
    ["ns", "shop"],
    /user "developer" may not list services in namespace "shop"/,
    /^ {2}kubectl -n shop create role czctl-services --verb=list,watch --resource=services$/m,
    /^ {2}kubectl -n shop create rolebinding czctl-services .* --user=developer$/m,
  );
  await rules(without("endpointslices"));
  await refused(["ns", "shop"], /user "developer" may not list endpointslices in namespace "shop"/);
  await rules([]);
  await refused(
    ["ns", "shop"],
    /may not list services, list endpointslices and create pods\/portforward in namespace "shop"/,
    /create role czctl --verb=list,watch --resource=services,endpointslices\.discovery\.k8s\.io$/m,
    /create role czctl-portforward --verb=create --resource=pods\/portforward$/m,
  );
  await rules(without("pods/portforward"));
  await refused(
    ["ns", "shop"],
    /user "developer" may not create pods\/portforward/,
    /create role czctl-portforward/,
  );
  // From Kubernetes 1.35 on.
  await rules(READER);
  await refused(["ns", "shop"], /user "developer" may not create pods\/portforward/);
  await rules(role);
  await refused(["ns", "shop", "--all-namespaces"], /Name the namespaces with -n and -a/);
  await refused(
    ["ns", "shop", "-a", "tools"],
    /may not list services, list endpointslices and create pods\/portforward in namespace "tools"/,
  );

  // Port-forwards to named pods only: an access review without a name says no to that.
  await done("teleport", "ns", "shop");
  const pod = (await get(box, "http://web.shop/")).replace(/^Hello from (\S+)[^]*$/, "$1");
  await close();
  await rules(
    role.map((rule) =>
      rule.resources.includes("pods/portforward") ? { ...rule, resourceNames: [pod] } : rule
    ),
  );
  const named = await done("teleport", "ns", "shop");
  assert.ok((named.stdout + named.stderr).includes(`allowed to pods of these names only: ${pod}`));
  assert.match(await get(box, "http://web.shop/"), /^Hello from web-/);
  await close();

  // Pods stand in for EndpointSlices, named target ports included.
  await rules([...without("endpointslices"), { ...pods, namespaces: ["shop"] }]);
  const fallback = await done("teleport", "ns", "shop");
  assert.match(
    fallback.stdout + fallback.stderr,
    /May not read endpointslices in namespace "shop": using pods instead/,
  );
  assert.match(await get(box, "http://web.shop/"), /^Hello from web-/);
  await cluster.control.rollout({ namespace: "shop", deployment: "web" });
  await untilAnswer(box, "http://web.shop/", /^Hello from web-/);
  await close();

  // List without watch: listed again and again, and a note says why.
  await rules(role.map((rule) => ({
    ...rule,
    verbs: rule.verbs.filter((verb) => verb !== "watch"),
  })));
  await done("teleport", "ns", "shop");
  assert.match(await get(box, "http://web.shop/"), /^Hello from web-/);
  await until("a note names the missing right", async () => {
    const { notes, cluster } = (await sessions(scene))[0]!;
    assert.ok(cluster.reachable);
    return ["services", "endpointslices"].every((what) =>
      notes.includes(`May not watch ${what} in namespace "shop": listed every 5 s instead`)
    );
  });
  await cluster.control.apply({ objects: [service("shop", "later", "web", WEB_PORTS)] });
  await untilAnswer(box, "http://later.shop/", /^Hello from web-/, 20_000);
  await cluster.control.remove({ resource: "services", namespace: "shop", name: "later" });
  await close();

  // Taken away and given back while a session is open.
  await rules(role);
  await done("teleport", "ns", "shop");
  await rules(without("services"));
  await cluster.control.cutWatches({});
  await until("status shows the missing right", async () => {
    const [session] = (await status(scene)).sessions;
    return !session!.cluster.reachable && /services/.test(session!.cluster.reason ?? "");
  }, 30_000);
  assert.match(await get(box, "http://web.shop/"), /^Hello from web-/);
  await rules(role);
  await until("it heals", async () => (await status(scene)).sessions[0]!.cluster.reachable, 40_000);
  await close();
}, scene);

const READER = role.map((rule) =>
  rule.resources.includes("pods/portforward") ? { ...rule, verbs: ["get"] } : rule
);

e2e("get on pods/portforward is enough before Kubernetes 1.35", async ({ box, done }) => {
  await done("teleport", "ns", "shop");
  assert.match(await get(box, "http://web.shop/"), /^Hello from web-/);
  await done("session", "close");
}, {
  ...scene,
  users: [{ context: "reader", user, via: "token" as const, rules: READER }],
  version: "1.34",
});

e2e(
  "--all-namespaces with the ClusterRole, and with Roles only; the environment's Role",
  async (scene) => {
    const { box, cluster, done } = scene;
    const rules = (rules: readonly Rule[]) => cluster.control.setRules({ user, rules });
    await rules(documented("ClusterRole", "czctl"));
    await done("teleport", "ns", "shop", "-A");
    assert.match(await get(box, "http://web.secret/"), /^Hello from web-/);
    await done("session", "close");

    const inTools = role.map((rule) => ({ ...rule, namespaces: ["tools"] }));
    const see = { apiGroups: [""], resources: ["namespaces"], verbs: ["list", "watch"] };
    await rules([...role, ...inTools, see]);
    await done("teleport", "ns", "shop", "-A");
    const [session] = await sessions(scene);
    assert.ok(session!.notes.some((note) => /watching each namespace by itself/.test(note)));
    for (const namespace of ["shop", "tools"]) {
      assert.match(await get(box, `http://web.${namespace}/`), /^Hello from web-/);
    }
    assert.equal(await addressOf(box, "web.secret"), undefined);
    // With the fallback, too, a namespace that comes later is taken in.
    await cluster.control.apply({ objects: web("later") });
    await rules([
      ...role,
      ...inTools,
      see,
      ...role.map((one) => ({ ...one, namespaces: ["later"] })),
    ]);
    await untilAnswer(box, "http://web.later/", /^Hello from web-/, 30_000);
    await done("session", "close");

    await rules([...role, ...documented("Role", "czctl-environment")]);
    await done("teleport", "deploy/web", "-n", "shop", "-f", "env.sh");
    assert.match((await box.run(["cat", "env.sh"])).stdout, /GREETING='?hello/);
    await done("session", "close");
  },
  scene,
);
