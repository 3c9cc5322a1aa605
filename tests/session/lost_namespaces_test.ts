import assert from "node:assert/strict";
import type { NamespaceState } from "../../src/model/control.ts";
import { silentLogger } from "../../src/model/log.ts";
import type { ClusterService } from "../../src/model/service.ts";
import { LostNamespaces } from "../../src/session/lost_namespaces.ts";

/** Namespaces as the cluster has them, and each time one is asked for. */
function scene(...names: string[]) {
  const states = new Map<string, NamespaceState | undefined>(names.map((name) => [name, "there"]));
  const asked: string[] = [];
  const lost = new LostNamespaces(names, (name) => {
    asked.push(name);
    return Promise.resolve(states.get(name));
  }, silentLogger);
  const follow = (...namespaces: string[]) =>
    lost.follow(namespaces.map((namespace) => ({ namespace }) as ClusterService));
  return { states, asked, lost, follow };
}

Deno.test("LostNamespaces asks only when the last service of a namespace has gone", async () => {
  const { states, asked, lost, follow } = scene("one", "two");
  await follow();
  await follow("one", "two", "two");
  await follow("one", "two");
  await lost.look();
  assert.deepEqual(asked, []);
  await follow("two");
  await follow("two");
  assert.deepEqual([asked, lost.list], [["one"], []], "it is there, and merely empty");
  states.set("two", "ending");
  await follow();
  assert.deepEqual(asked, ["one", "two"]);
  assert.deepEqual(lost.list, [{ namespace: "two", state: "ending" }]);
});

Deno.test("LostNamespaces finds out what has become of one when somebody looks", async () => {
  const { states, lost, follow } = scene("one");
  await follow("one");
  states.set("one", "ending");
  await follow();
  states.set("one", "gone");
  await Promise.all([lost.look(), lost.look()]);
  assert.deepEqual(lost.list, [{ namespace: "one", state: "gone" }]);
  states.set("one", undefined);
  await lost.look();
  assert.deepEqual(lost.list, [{ namespace: "one", state: "gone" }], "no answer says nothing new");
  states.set("one", "there");
  await lost.look();
  assert.deepEqual(lost.list, [], "it is back, still without services");
  states.set("one", "gone");
  await lost.look();
  assert.equal(lost.list.length, 1);
  await follow("one");
  assert.deepEqual(lost.list, [], "its services are back");
});

Deno.test("LostNamespaces says nothing where it may not look, or of namespaces nobody named", async () => {
  const { states, asked, lost, follow } = scene("one");
  states.set("one", undefined);
  await follow("one", "other");
  await follow();
  assert.deepEqual([asked, lost.list], [["one"], []]);
});

Deno.test("LostNamespaces forgets an answer that comes after the services are back", async () => {
  const answer = Promise.withResolvers<NamespaceState>();
  const lost = new LostNamespaces(["one"], () => answer.promise, silentLogger);
  await lost.follow([{ namespace: "one" } as ClusterService]);
  const asking = lost.follow([]);
  await lost.follow([{ namespace: "one" } as ClusterService]);
  answer.resolve("gone");
  await asking;
  assert.deepEqual(lost.list, []);
});
