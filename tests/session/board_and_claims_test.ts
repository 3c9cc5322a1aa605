import assert from "node:assert/strict";
import type { HostsEntry } from "../../src/model/hosts.ts";
import { composeBlock } from "../../src/hosts/names.ts";
import { Claims } from "../../src/session/claims.ts";
import { HostsBoard, mergeEntries } from "../../src/session/hosts_board.ts";

function entry(address: string, service: string, namespace: string, bare: boolean): HostsEntry {
  return { address, service, namespace, domain: "cluster.local", bare };
}

/** A board whose names nobody else has. */
function freeBoard(): HostsBoard {
  return new HostsBoard({
    apply: (entries) =>
      Promise.resolve({
        ...composeBlock(entries, { names: new Map(), addresses: new Map() }, "host"),
        changed: true,
      }),
  });
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

Deno.test("mergeEntries tells the bare names of a Service and its pods apart", () => {
  const pod = (address: string, name: string) => ({
    ...entry(address, "db", "shop", true),
    pod: name,
  });
  const all = [
    entry("127.1.31.1", "db", "shop", true),
    pod("127.1.31.2", "db-0"),
    pod("127.1.31.3", "db-1"),
  ];
  const merged = mergeEntries([all, [pod("127.1.31.9", "db-1")]]);
  assert.deepEqual(merged.entries.map((e) => e.bare), [true, true, true, false]);
  assert.deepEqual(merged.leftOut.map((l) => l.name), ["db-1.db"]);
});

Deno.test("HostsBoard has the names of two sessions with different domains at one address", async () => {
  const board = freeBoard();
  const web = entry("127.1.31.1", "web", "shop", true);
  const other = { ...web, domain: "staging.test", qualifiedOnly: true, bare: false };
  await board.put("one", [web]);
  const result = await board.put("two", [other]);
  assert.deepEqual(result.namesOf("127.1.31.1", web), [
    "web.shop",
    "web.shop.svc",
    "web.shop.svc.cluster.local",
    "web",
  ]);
  assert.deepEqual(result.namesOf("127.1.31.1", other), ["web.shop.svc.staging.test"]);
});

Deno.test("HostsBoard keeps the names of two Services with one address apart", async () => {
  const board = freeBoard();
  const db = entry("127.1.31.1", "db", "data", false);
  const alias = entry("127.1.31.1", "store", "shop", true);
  const result = await board.put("one", [db, alias]);
  assert.equal(result.result.lines.length, 1);
  assert.deepEqual(result.namesOf("127.1.31.1", db), [
    "db.data",
    "db.data.svc",
    "db.data.svc.cluster.local",
  ]);
  assert.deepEqual(result.namesOf("127.1.31.1", alias), [
    "store.shop",
    "store.shop.svc",
    "store.shop.svc.cluster.local",
    "store",
  ]);
  assert.deepEqual(result.leftOut, []);
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

Deno.test("HostsBoard refuses a session more than the helper takes, and others go on", async () => {
  const board = freeBoard();
  const many = (count: number, length: number) =>
    Array.from({ length: count }, (_, index) =>
      entry(
        `127.1.${index >> 8}.${index & 255}`,
        `s${index}`.padEnd(length, "x"),
        "n".repeat(length),
        false,
      ));
  await board.put("one", [entry("127.1.31.1", "web", "shop", true)]);
  await board.put("two", many(3, 9));
  // By number, and by the length of the request.
  for (const tooMany of [many(16_384, 9), many(16_000, 63), many(16_383, 63)]) {
    await assert.rejects(board.put("two", tooMany), { hint: /--only/ });
    const { result } = await board.put("one", [entry("127.1.31.1", "leaf", "shop", true)]);
    assert.equal(result.lines.length, 4);
  }
  await board.put("two", many(16_383, 9));
  await board.put("two", []);
  assert.equal(board.current.result.lines.length, 1);
});
