import assert from "node:assert/strict";
import { editDistance, nearMatches } from "../../src/cluster/near_match.ts";
import { canonicalKind, splitKindName } from "../../src/cluster/resources.ts";

Deno.test("canonicalKind() reads kinds as kubectl does", () => {
  const cases: Record<string, string | undefined> = {
    deploy: "deployment",
    deployments: "deployment",
    Deployment: "deployment",
    "deployments.apps": "deployment",
    "deployment.v1.apps": "deployment",
    "deployments.extensions": undefined,
    sts: "statefulset",
    ds: "daemonset",
    rs: "replicaset",
    po: "pod",
    pods: "pod",
    svc: "service",
    ns: "namespace",
    cj: "cronjob",
    job: "job",
    node: undefined,
    "": undefined,
  };
  for (const [text, kind] of Object.entries(cases)) assert.equal(canonicalKind(text), kind, text);
});

Deno.test("splitKindName() takes deployment/web apart", () => {
  assert.deepEqual(splitKindName("deploy/web"), {
    kind: "deployment",
    kindText: "deploy",
    name: "web",
  });
  assert.equal(splitKindName("web"), undefined);
  assert.equal(splitKindName("foo/web")?.kind, undefined);
});

Deno.test("nearMatches() finds swapped, missing and contained names, best first", () => {
  const names = ["web", "database", "webshop", "sails", "redis-master"];
  assert.deepEqual(nearMatches("wbe", names), ["web"]);
  assert.deepEqual(nearMatches("databse", names), ["database"]);
  assert.deepEqual(nearMatches("redis", names), ["redis-master"]);
  assert.deepEqual(nearMatches("zzzzzz", names), []);
  assert.equal(editDistance("ab", "ba", 2), 1);
  assert.equal(editDistance("kitten", "sitting", 3), 3);
});
