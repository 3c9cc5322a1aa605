import assert from "node:assert/strict";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { BoundAddress } from "../../src/session/bound_address.ts";
import type { PlannedAddress } from "../../src/session/plan.ts";
import { TunnelEngine } from "../../src/tunnel/engine.ts";
import { echo, Peer } from "./peer.ts";
import { Client, endpoint } from "./support.ts";

/** A Service `default/web` with one port. */
function planned(
  port: number,
  name: string,
  more: { affinitySeconds?: number; target?: number } = {},
): PlannedAddress {
  return {
    key: "default/web",
    namespace: "default",
    service: "web",
    pod: undefined,
    aliasOf: undefined,
    ports: [{ port, name, targetName: undefined, appProtocol: undefined }],
    affinitySeconds: more.affinitySeconds,
    endpoints: ["a", "b"].map((pod) => endpoint(pod, { ports: { [name]: more.target ?? 8081 } })),
    skipped: [],
    entry: { service: "web", namespace: "default", domain: "cluster.local", bare: false },
  };
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return listener.addr.port;
}

Deno.test("A Service's port that is renamed, leads elsewhere or becomes sticky keeps its connections", async () => {
  const ports: string[] = [];
  const pod = (name: string) => async (stream: Parameters<typeof echo>[0]) => {
    ports.push(`${name}:${stream.port}`);
    await echo(stream);
  };
  const peer = new Peer({ pods: { a: pod("a"), b: pod("b") } });
  const engine = new TunnelEngine({
    targets: () =>
      Promise.resolve({ host: "127.0.0.1", port: peer.port, basePath: "", headers: {} }),
    log: silentLogger,
    clock: systemClock,
  });
  const number = freePort();
  const relays = { relay: () => Promise.resolve(), unrelay: () => Promise.resolve() };
  const bound = new BoundAddress("127.0.0.1", planned(number, "http"), engine, relays);
  const clients: Client[] = [];
  const hello = async () => {
    const client = await Client.connect(number);
    clients.push(client);
    await client.write("hello\n");
    assert.equal(await client.line(), "hello");
    return client;
  };
  try {
    await bound.follow(planned(number, "http"));
    const early = await hello();
    await bound.follow(planned(number, "web", { target: 9000 }));
    await hello();
    await bound.follow(planned(number, "web", { target: 9000, affinitySeconds: 60 }));
    for (let i = 0; i < 3; i++) await hello();
    await early.write("still there\n");
    assert.equal(await early.line(), "still there");
    assert.equal(ports.filter((one) => one.endsWith(":8081")).length, 1);
    assert.deepEqual(new Set(ports.slice(2)).size, 1, `sticky: ${ports}`);
    assert.deepEqual(bound.portInfos().map(({ name }) => name), ["web"]);
    assert.equal(bound.portInfos()[0]!.connections, 5);
    // A port of another number is another port: this one goes, and what is connected stays.
    await bound.follow(planned(freePort(), "web"));
    await assert.rejects(Client.connect(number));
    await early.write("even now\n");
    assert.equal(await early.line(), "even now");
    await engine.close();
    await early.over();
  } finally {
    for (const client of clients) client.close();
    await bound.close();
    await engine.close();
    peer.close();
    await peer.done;
  }
});
