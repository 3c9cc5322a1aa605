import assert from "node:assert/strict";
import { closeQuietly, named, Peer } from "./peer.ts";
import { Client, endpoint, within } from "./support.ts";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { TunnelEngine, type TunnelEngineOptions } from "../../src/tunnel/engine.ts";
import type { TunnelListener } from "../../src/tunnel/listener.ts";

/** An engine whose API server never answers about some pods, as while their node is down. */
async function withSilentPods(
  options: {
    readonly silent: readonly string[];
    readonly pods: readonly string[];
    readonly engine?: Partial<TunnelEngineOptions>;
  },
  test: (listener: TunnelListener) => Promise<void>,
): Promise<void> {
  const peer = new Peer({
    pods: Object.fromEntries(options.pods.map((name) => [name, named(name)])),
  });
  const front = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  const serve = async (client: Deno.TcpConn) => {
    open.add(client);
    const buffer = new Uint8Array(65_536);
    const count = await client.read(buffer) ?? 0;
    const head = new TextDecoder().decode(buffer.subarray(0, count));
    if (options.silent.some((name) => head.includes(`/pods/${name}/`))) return;
    const server = await Deno.connect({ hostname: "127.0.0.1", port: peer.port });
    open.add(server);
    await server.write(buffer.subarray(0, count));
    await Promise.all([
      client.readable.pipeTo(server.writable),
      server.readable.pipeTo(client.writable),
    ]);
  };
  const serving = (async () => {
    for await (const client of front) void serve(client).catch(() => {});
  })();
  const engine = new TunnelEngine({
    targets: () =>
      Promise.resolve({
        host: "127.0.0.1",
        port: front.addr.port,
        basePath: "",
        headers: {},
      }),
    log: silentLogger,
    clock: systemClock,
    ...options.engine,
  });
  try {
    const listener = await engine.listen({
      address: "127.0.0.1",
      port: 0,
      service: { namespace: "default", name: "web" },
      portName: "",
    });
    listener.update(options.pods.map((name) => endpoint(name)));
    await test(listener);
  } finally {
    await engine.close();
    front.close();
    await serving;
    for (const conn of open) closeQuietly(conn);
    peer.close();
    await peer.done;
  }
}

Deno.test("Pods that nobody answers about are tried within the time to hold, not one full dial each", async () => {
  const pods = ["a", "b", "c", "d", "e"];
  await withSilentPods(
    { silent: pods, pods, engine: { dialMs: 3000, holdMs: 1000 } },
    async (listener) => {
      const client = await Client.connect(listener.boundPort);
      const begin = performance.now();
      assert.equal(await client.rest(12_000), "");
      const took = performance.now() - begin;
      assert.ok(took > 2500 && took < 6000, `${took} ms`);
      client.close();
    },
  );
});

Deno.test("A pod that cannot be reached holds up one connection for a few seconds, and the next ones not at all", async () => {
  await withSilentPods({ silent: ["a"], pods: ["a", "b"] }, async (listener) => {
    const clients: Client[] = [];
    const times: number[] = [];
    for (let i = 0; i < 4; i++) {
      const begin = performance.now();
      const client = await Client.connect(listener.boundPort);
      clients.push(client);
      assert.equal(await within(9000, client.line(9000), "the other pod's answer"), "b");
      times.push(performance.now() - begin);
    }
    for (const client of clients) client.close();
    const slow = times.filter((ms) => ms > 1000);
    assert.ok(slow.length <= 1 && (slow[0] ?? 0) < 6000, times.map(Math.round).join());
  });
});
