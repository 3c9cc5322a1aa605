import assert from "node:assert/strict";
import { connectFirst } from "../../src/platform/connect_first.ts";

/** What a fake address does with a connection: accept it or fail after so many ms, or say nothing. */
type Way = { readonly in?: number; readonly fails?: string };

async function race(ways: Record<string, Way>, signal = new AbortController().signal) {
  const begun: string[] = [];
  const closed: string[] = [];
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const started = performance.now();
  const connect = (address: string, own: AbortSignal) => {
    begun.push(address);
    const { in: ms, fails } = ways[address]!;
    return new Promise<{ address: string; close(): void }>((resolve, reject) => {
      own.addEventListener("abort", () => reject(own.reason), { once: true });
      if (ms === undefined) return;
      timers.add(setTimeout(() => {
        if (fails !== undefined) return reject(new Error(fails));
        resolve({ address, close: () => void closed.push(address) });
      }, ms));
    });
  };
  try {
    const conn = await connectFirst(Object.keys(ways), connect, signal);
    return { address: conn.address, ms: performance.now() - started, begun, closed };
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
}

Deno.test("connectFirst() does not wait for an address that says nothing", async () => {
  const { address, ms } = await race({ "2001:db8::1": {}, "192.0.2.1": { in: 5 } });
  assert.equal(address, "192.0.2.1");
  assert.ok(ms < 2_000, `${ms} ms`);
});

Deno.test("connectFirst() asks only one while that one answers", async () => {
  const { address, begun } = await race({ "192.0.2.1": { in: 5 }, "192.0.2.2": { in: 0 } });
  assert.equal(address, "192.0.2.1");
  assert.deepEqual(begun, ["192.0.2.1"]);
});

Deno.test("connectFirst() goes on at once after a failure, the families in turns", async () => {
  const down = { in: 0, fails: "refused" };
  const { address, ms, begun } = await race({
    "2001:db8::1": down,
    "2001:db8::2": down,
    "2001:db8::3": down,
    "192.0.2.1": down,
    "192.0.2.2": { in: 0 },
  });
  assert.equal(address, "192.0.2.2");
  assert.ok(ms < 250, `${ms} ms`);
  assert.deepEqual(begun, ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]);
});

Deno.test("connectFirst() keeps a slow one that wins after all", async () => {
  const { address, begun } = await race({ "192.0.2.1": { in: 400 }, "192.0.2.2": {} });
  assert.equal(address, "192.0.2.1");
  assert.deepEqual(begun, ["192.0.2.1", "192.0.2.2"]);
});

Deno.test("connectFirst() closes a connection that comes too late", async () => {
  const closed: string[] = [];
  const slow = Promise.withResolvers<{ close(): void }>();
  const conn = await connectFirst(["192.0.2.1", "192.0.2.2"], (address) =>
    // A connection that was up already does not hear that it is given up.
    address === "192.0.2.1" ? slow.promise : Promise.resolve({
      close: () => void closed.push("second"),
    }), new AbortController().signal);
  slow.resolve({ close: () => void closed.push("first") });
  await slow.promise;
  await Promise.resolve();
  assert.deepEqual(closed, ["first"]);
  conn.close();
});

Deno.test("connectFirst() fails with every error, and ends with its signal", async () => {
  await assert.rejects(
    race({ "192.0.2.1": { in: 0, fails: "one" }, "192.0.2.2": { in: 0, fails: "two" } }),
    (error) =>
      error instanceof AggregateError &&
      error.errors.map((one) => one.message).join() === "one,two",
  );
  await assert.rejects(race({ "192.0.2.1": {}, "192.0.2.2": {} }, AbortSignal.timeout(400)));
  await assert.rejects(race({ "192.0.2.1": {} }, AbortSignal.abort()));
});
