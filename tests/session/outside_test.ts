import assert from "node:assert/strict";
import type { ClusterService } from "../../src/model/service.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { outsideNames } from "../../src/session/outside.ts";
import { OPTIONS } from "./plan_options.ts";

const service = (namespace: string, name: string, pods: readonly string[] = []) =>
  ({
    namespace,
    name,
    kind: pods.length === 0 ? "tunnel" : "headless",
    endpoints: pods.map((hostname) => ({ hostname })),
  }) as unknown as ClusterService;

/** A resolver that knows the public domain `dev` and these names. */
function resolver(known: Record<string, string>, silent: readonly string[] = []) {
  return (name: string, type: "A" | "NS", signal: AbortSignal): Promise<string | undefined> => {
    if (silent.includes(name)) {
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined)));
    }
    if (type === "NS") return Promise.resolve(name === "dev." ? "ns.example." : undefined);
    return Promise.resolve(known[name]);
  };
}

Deno.test("outsideNames leaves out what leads outside, now or once it is there", async () => {
  const names = await outsideNames(
    [service("dev", "web"), service("dev", "cart"), service("shop", "mail"), service("shop", "db")],
    { ...OPTIONS, take: ["taken.dev"] },
    systemClock,
    new AbortController().signal,
    resolver({ "web.dev.": "192.0.2.7", "mail": "192.0.2.8", "db": "127.0.0.1" }),
  );
  assert.deepEqual([...names.found.keys()].sort(), ["mail", "web.dev"]);
  assert.match(names.reasonFor("web.dev", "dev")!, /leads to 192\.0\.2\.7 outside/);
  assert.match(names.reasonFor("mail", "shop")!, /192\.0\.2\.8/);
  assert.equal(names.reasonFor("cart.dev", "dev"), undefined);
  assert.equal(names.reasonFor("db.shop", "shop"), undefined);
  // Not there when the session opened: a pod of a headless Service, a new Service.
  assert.match(names.reasonFor("www.google.dev", "dev")!, /\.dev is a public domain/);
  assert.match(names.reasonFor("google.dev", "dev")!, /insist with --take google\.dev/);
  assert.equal(names.reasonFor("taken.dev", "dev"), undefined);
  assert.equal(names.reasonFor("late.shop", "shop"), undefined);
  assert.equal(names.reasonFor("late", "dev"), undefined);
});

Deno.test("outsideNames is not taken in by a search domain that answers for any name", async () => {
  const known = resolver({ "mail": "192.0.2.8", "web": "192.0.2.1" });
  const names = await outsideNames(
    [service("shop", "mail"), service("shop", "db"), service("shop", "web")],
    OPTIONS,
    systemClock,
    new AbortController().signal,
    async (name, type, signal) =>
      await known(name, type, signal) ??
        (type === "A" && !name.endsWith(".") ? "192.0.2.1" : undefined),
  );
  assert.deepEqual([...names.found.keys()], ["mail"]);
  assert.equal(names.reasonFor("db", "shop"), undefined);
  assert.equal(names.reasonFor("web", "shop"), undefined);
});

Deno.test("outsideNames asks about the bare names of pods, which end with a Service's name", async () => {
  const names = await outsideNames(
    [service("shop", "mongo", ["mongo-0"]), service("shop", "dev", ["www", "cart"])],
    OPTIONS,
    systemClock,
    new AbortController().signal,
    resolver({ "www.dev.": "192.0.2.7" }),
  );
  assert.equal(names.reasonFor("mongo-0.mongo", "shop"), undefined);
  assert.match(names.reasonFor("www.dev", "shop")!, /leads to 192\.0\.2\.7 outside/);
  assert.equal(names.reasonFor("cart.dev", "shop"), undefined);
  // Not there when the session opened: a pod, and a Service with its pods.
  assert.equal(names.reasonFor("mongo-1.mongo", "shop"), undefined);
  assert.match(names.reasonFor("google.dev", "shop")!, /\.dev is a public domain/);
  assert.match(names.reasonFor("www.app", "shop")!, /\.app may be a public domain; insist with/);
  assert.equal(names.reasonFor("db-0.db.shop", "shop"), undefined);
});

Deno.test("outsideNames does not take silence about a public domain for an answer", async () => {
  const names = await outsideNames(
    [service("dev", "web"), service("shop", "web")],
    OPTIONS,
    systemClock,
    new AbortController().signal,
    resolver({}, ["web.dev."]),
  );
  assert.match(names.reasonFor("web.dev", "dev")!, /public domain/);
  assert.equal(names.reasonFor("web.shop", "shop"), undefined);
});
