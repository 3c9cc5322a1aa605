import assert from "node:assert/strict";
import type { HostsEntry } from "../../src/model/hosts.ts";
import { Claims } from "../../src/session/claims.ts";
import { mergeEntries } from "../../src/session/hosts_board.ts";

function entry(address: string, service: string, namespace: string, bare: boolean): HostsEntry {
  return { address, service, namespace, domain: "cluster.local", bare };
}

Deno.test("mergeEntries joins the entries of sessions that share a service", () => {
  const merged = mergeEntries([
    [entry("127.1.31.1", "web", "shop", false)],
    [entry("127.1.31.1", "web", "shop", true)],
  ]);
  assert.deepEqual(merged.entries, [entry("127.1.31.1", "web", "shop", true)]);
  assert.deepEqual(merged.leftOut, []);
});

Deno.test("mergeEntries gives a bare name to the first session that wants it", () => {
  const merged = mergeEntries([
    [entry("127.1.31.1", "web", "shop", true)],
    [entry("127.1.31.2", "web", "test", true)],
  ]);
  assert.deepEqual(merged.entries.map((e) => e.bare), [true, false]);
  assert.deepEqual(merged.leftOut.map((l) => l.name), ["web"]);
});

Deno.test("Claims hands a service to the session that waited for it", () => {
  const claims = new Claims();
  const claim = { cluster: "a", key: "shop/web", domain: "" };
  assert.equal(claims.take(claim, "one"), true);
  assert.equal(claims.take(claim, "two"), false);
  assert.equal(claims.take(claim, "one"), true);
  assert.equal(claims.drop(claim, "one"), "two");
  assert.equal(claims.take(claim, "two"), true);
  assert.equal(claims.drop(claim, "two"), undefined);
});

Deno.test("Claims tells the same names in another cluster, until they are gone or have a domain", () => {
  const claims = new Claims();
  const claim = { cluster: "a", key: "shop/web", domain: "" };
  claims.take(claim, "one");
  assert.equal(claims.collides({ ...claim, cluster: "b" }), true);
  assert.equal(claims.collides({ ...claim, cluster: "b", domain: "two" }), false);
  assert.equal(claims.collides(claim), false);
  claims.drop(claim, "one");
  assert.equal(claims.collides({ ...claim, cluster: "b" }), false);
});
