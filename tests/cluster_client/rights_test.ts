/** What is asked of a cluster about the user's rights, and what is told of those that are missing. */
import assert from "node:assert/strict";
import { type Cluster, openCluster } from "../../src/cluster/cluster.ts";
import { grantHint } from "../../src/cluster/grants.ts";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { type Rule, startCluster } from "../cluster/mod.ts";
import { TestApi } from "./api_server.ts";

const user = "developer";
const named = (resources: string[], verbs: string[], ...resourceNames: string[]): Rule => ({
  apiGroups: [""],
  resources,
  verbs,
  namespaces: ["shop"],
  ...(resourceNames.length === 0 ? {} : { resourceNames }),
});

/** What a user with these rules is told, in a cluster of this version. */
async function asked<T>(
  work: (cluster: Cluster, setRules: (rules: readonly Rule[]) => Promise<unknown>) => Promise<T>,
  version = "1.36",
): Promise<T> {
  await using cluster = await startCluster({
    users: [{ context: "dev", user, via: "token", rules: [] }],
    version,
  });
  const opened = await openCluster({
    kubeconfig: cluster.kubeconfig,
    context: "dev",
    env: {},
    cwd: cluster.folder,
    home: cluster.folder,
    log: silentLogger,
    clock: systemClock,
  });
  try {
    return await work(opened, (rules) => cluster.control.setRules({ user, rules }));
  } finally {
    await opened.close();
  }
}

Deno.test("port-forwards to some pods by name are no refusal", async () => {
  await asked(async (cluster, setRules) => {
    const answer = async (...rules: Rule[]) => {
      await setRules(rules);
      return await cluster.portForwardAnswer("shop");
    };
    const note =
      'Port-forwards in namespace "shop" are allowed to pods of these names only: web-0, web-1';
    for (const resource of ["pods/portforward", "*/portforward", "*"]) {
      assert.deepEqual(await answer(named([resource], ["create"], "web-1", "web-0")), { note });
    }
    assert.deepEqual(await answer(named(["pods/portforward"], ["create"])), {});
    const many = await answer(named(["pods/portforward"], ["*"], "a", "b", "c", "d"));
    assert.match(many.note ?? "", /: a, b, c, \.\.\.$/);
    for (
      const rules of [
        [],
        [named(["pods/log"], ["create"], "web-0")],
        [named(["pods/portforward"], ["get"], "web-0")],
        [{ ...named(["pods/portforward"], ["create"], "web-0"), namespaces: ["other"] }],
      ]
    ) {
      const { refusal } = await answer(...rules);
      assert.equal(
        refusal?.message,
        'Cannot reach pods in namespace "shop": user "developer" may not create pods/portforward',
      );
    }
  });
});

Deno.test("get on some pods by name counts before Kubernetes 1.35", async () => {
  await asked(async (cluster, setRules) => {
    await setRules([named(["pods/portforward"], ["get"], "web-0")]);
    assert.match((await cluster.portForwardAnswer("shop")).note ?? "", /only: web-0$/);
  }, "1.34");
});

Deno.test("nothing is refused where an authorizer does not list its rules", async () => {
  const api = await TestApi.start();
  try {
    let incomplete = true;
    api.intercept = (request, response) => {
      const access = request.path.endsWith("/selfsubjectaccessreviews");
      if (!access && !request.path.endsWith("/selfsubjectrulesreviews")) return false;
      response.status = 201;
      const status = access ? { allowed: false } : { resourceRules: [], incomplete };
      response.end(JSON.stringify({ status }));
      return true;
    };
    const cluster = await api.open();
    assert.deepEqual(await cluster.portForwardAnswer("shop"), {});
    incomplete = false;
    const { refusal } = await cluster.portForwardAnswer("shop");
    // Where the server cannot say who asks (before 1.28): the kubeconfig's name, and none to copy.
    assert.match(refusal?.message ?? "", /user "alice" may not create pods\/portforward/);
    assert.match(refusal?.hint ?? "", /--user=USER$/);
    await cluster.close();
  } finally {
    await api.close();
  }
});

Deno.test("what a server calls the user is one word of the command, or left out", () => {
  for (const [name, word] of [["o'neil; rm -rf", "'o'\\''neil; rm -rf'"], ["a\nb", "USER"]]) {
    const hint = grantHint([{ verb: "list", resource: "services", namespace: "shop" }], {
      server: "https://x",
      user: name,
    });
    assert.equal(hint?.split("\n")[2]?.split("--user=")[1], word);
  }
  const namespaces = { verb: "list", resource: "namespaces" };
  assert.match(
    grantHint([namespaces], { server: "https://x", user: "bob" }) ?? "",
    /\nkubectl create clusterrole czctl-namespaces --verb=get,list,watch --resource=namespaces\nkubectl create clusterrolebinding czctl-namespaces --clusterrole=czctl-namespaces --user=bob$/,
  );
  // No role gives this.
  assert.equal(
    grantHint([{ verb: "get", resource: "/version" }], { server: "https://x", user: "bob" }),
    undefined,
  );
});

Deno.test("all missing rights are told at once, with the commands that give them", async () => {
  await asked(async (cluster, setRules) => {
    const none = await cluster.rightsRefusal(["shop"]);
    assert.equal(none?.code, "denied");
    assert.equal(
      none?.message,
      'Cannot teleport: user "developer" may not list services, list endpointslices and create pods/portforward in namespace "shop"',
    );
    assert.deepEqual(none?.hint?.split("\n"), [
      `To be run by an administrator of ${cluster.server}:`,
      "kubectl -n shop create role czctl --verb=list,watch --resource=services,endpointslices.discovery.k8s.io",
      "kubectl -n shop create rolebinding czctl --role=czctl --user=developer",
      "kubectl -n shop create role czctl-portforward --verb=create --resource=pods/portforward",
      "kubectl -n shop create rolebinding czctl-portforward --role=czctl-portforward --user=developer",
    ]);
    const two = await cluster.rightsRefusal(["shop", "tools"]);
    assert.match(two?.message ?? "", / in namespaces "shop", "tools"$/);
    assert.match(two?.hint ?? "", /, and the like in tools:\n/);
    assert.equal(two?.hint?.split("\n").length, 5);

    // Pods stand in for EndpointSlices; one right alone has a role of its own.
    await setRules([named(["services", "pods"], ["list"]), named(["pods/portforward"], ["*"])]);
    assert.equal(await cluster.rightsRefusal(["shop"]), undefined);
    await setRules([named(["services"], ["list"]), named(["pods/portforward"], ["*"])]);
    const slices = await cluster.rightsRefusal(["shop"]);
    assert.match(slices?.message ?? "", /may not list endpointslices in namespace "shop"$/);
    assert.deepEqual(slices?.hint?.split("\n").slice(1), [
      "kubectl -n shop create role czctl-endpointslices --verb=list,watch --resource=endpointslices.discovery.k8s.io",
      "kubectl -n shop create rolebinding czctl-endpointslices --role=czctl-endpointslices --user=developer",
    ]);
  });
});

Deno.test("a refusal names the user who is impersonated", async () => {
  const api = await TestApi.start();
  try {
    api.intercept = (request, response) => {
      if (!request.path.startsWith("/apis/authorization.k8s.io/")) return false;
      response.status = 201;
      response.end(JSON.stringify({ status: { allowed: false, incomplete: false } }));
      return true;
    };
    const cluster = await api.open({ user: { token: "t", as: "bob" } });
    const { refusal } = await cluster.portForwardAnswer("shop");
    assert.match(refusal?.message ?? "", /: user "bob" may not create/);
    await cluster.close();
  } finally {
    await api.close();
  }
});
