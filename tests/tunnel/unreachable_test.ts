import assert from "node:assert/strict";
import { named } from "./peer.ts";
import type { Pod } from "./peer_link.ts";
import { withBed } from "./support.ts";

const pods = (...names: string[]): Record<string, Pod> =>
  Object.fromEntries(names.map((name) => [name, named(name)]));

Deno.test("Pods that nobody answers about are tried within the time to hold, not one full dial each", async () => {
  const silent = ["a", "b", "c", "d", "e"];
  await withBed(
    { pods: pods(...silent), unanswered: silent, engine: { dialMs: 3000, holdMs: 1000 } },
    async ({ connect }) => {
      const client = await connect();
      const begin = performance.now();
      assert.equal(await client.rest(12_000), "");
      const took = performance.now() - begin;
      assert.ok(took > 2500 && took < 6000, `${took} ms`);
    },
  );
});

Deno.test("A pod that cannot be reached holds up one connection for a few seconds, and the next ones not at all", async () => {
  await withBed({ pods: pods("a", "b"), unanswered: ["a"] }, async ({ connect }) => {
    const times: number[] = [];
    for (let i = 0; i < 4; i++) {
      const begin = performance.now();
      const client = await connect();
      assert.equal(await client.line(9000), "b");
      times.push(performance.now() - begin);
    }
    const slow = times.filter((ms) => ms > 1000);
    assert.ok(slow.length <= 1 && (slow[0] ?? 0) < 6000, times.map(Math.round).join());
  });
});
