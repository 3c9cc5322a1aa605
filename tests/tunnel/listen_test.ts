import assert from "node:assert/strict";
import { silentLogger } from "../../src/model/log.ts";
import type { TapConnectionInfo } from "../../src/model/tap.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { TunnelEngine } from "../../src/tunnel/engine.ts";
import { PortBlocked } from "../../src/tunnel/errors.ts";
import { echo } from "./peer.ts";
import { echoes, endpoint, until, withBed } from "./support.ts";

const service = { namespace: "default", name: "web" };

Deno.test("TunnelEngine.listen tells why an address cannot be had", async () => {
  const engine = new TunnelEngine({
    targets: () => Promise.reject(new Error("not asked")),
    log: silentLogger,
    clock: systemClock,
  });
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    const { port } = taken.addr as Deno.NetAddr;
    const blocked = (kind: string) => (error: unknown) =>
      error instanceof PortBlocked && error.kind === kind && error.hint !== undefined &&
      !error.message.endsWith(".");
    await assert.rejects(
      engine.listen({ address: "127.0.0.1", port, service, portName: "" }),
      blocked("in_use"),
    );
    await assert.rejects(
      engine.listen({ address: "192.0.2.1", port: 8080, service, portName: "" }),
      blocked("address"),
    );
    const relayed = await engine.listen({
      address: "127.0.0.1",
      port,
      bindPort: 0,
      service,
      portName: "",
    });
    assert.notEqual(relayed.boundPort, port);
    assert.ok(relayed.boundPort > 0);
  } finally {
    taken.close();
    await engine.close();
  }
});

Deno.test("A connection that has been reset before it is accepted disturbs nobody", async () => {
  // As macOS tells of it; on Linux it shows with the first read.
  const { listen } = Deno;
  let resets = 1;
  const closed: unknown[] = [];
  Deno.listen = ((options: Deno.TcpListenOptions & { transport?: "tcp" }) => {
    const listener = listen(options);
    const accept = listener.accept.bind(listener);
    listener.accept = async () => {
      const conn = await accept();
      if (resets-- > 0) {
        const close = conn.close.bind(conn);
        conn.close = () => void closed.push(close());
        conn.setNoDelay = () => {
          throw new Error("Invalid argument (os error 22)");
        };
      }
      return conn;
    };
    return listener;
  }) as typeof Deno.listen;
  try {
    await withBed({ pods: { a: echo } }, async ({ connect, listener }) => {
      await connect();
      await echoes(await connect(), "next", 90);
      assert.equal(closed.length, 1);
      assert.equal(listener.stats.accepted, 1);
    });
  } finally {
    Deno.listen = listen;
  }
});

Deno.test("TunnelEngine shows connections to a tap only while somebody watches", async () => {
  const opened: TapConnectionInfo[] = [];
  const seen: string[] = [];
  const tap = {
    watching: false,
    open(info: TapConnectionInfo) {
      opened.push(info);
      return {
        up: (chunk: Uint8Array) => void seen.push(`up ${new TextDecoder().decode(chunk)}`),
        down: (chunk: Uint8Array) => void seen.push(`down ${new TextDecoder().decode(chunk)}`),
        close: () => void seen.push("close"),
      };
    },
  };
  await withBed({ pods: { a: echo }, engine: { tap } }, async ({ connect }) => {
    const unseen = await connect();
    await unseen.write("a\n");
    await unseen.line();
    assert.equal(opened.length, 0);
    tap.watching = true;
    const client = await connect();
    await client.write("b\n");
    await client.line();
    await client.end();
    await client.rest();
    client.close();
    await until(() => seen.includes("close"), "the tap is closed");
    assert.deepEqual(seen, ["up b\n", "down b\n", "close"]);
    assert.equal(opened[0]?.pod, "a");
  });
});

Deno.test("TunnelListener.release() gives the port back, and connections go on", async () => {
  await withBed({ pods: { a: echo } }, async ({ connect, engine, listener }) => {
    const client = await connect();
    await echoes(client, "before");
    const port = listener.boundPort;
    await listener.release();
    await assert.rejects(connect());
    await echoes(client, "after");
    const next = await engine.listen({ address: "127.0.0.1", port, service, portName: "" });
    next.update([endpoint("a")]);
    await echoes(await connect(), "anew");
    await echoes(client, "still");
    assert.equal(engine.stats().listeners, 2);
    await client.end();
    assert.equal(await client.rest(), "");
    await until(() => engine.stats().listeners === 1, "the old one is forgotten with its last one");
    assert.ok(engine.stats().bytesUp >= 4 * 6);
    // The engine ends what goes on.
    const last = await connect();
    await echoes(last, "last");
    await next.release();
    await engine.close();
    assert.equal(await last.over(), 0);
  });
});

Deno.test("TunnelListener.close() resolves when the port is free for another listener", async () => {
  const engine = new TunnelEngine({
    targets: () => Promise.reject(new Error("not asked")),
    log: silentLogger,
    clock: systemClock,
  });
  try {
    const first = await engine.listen({ address: "127.0.0.1", port: 0, service, portName: "" });
    const port = first.boundPort;
    for (let round = 0; round < 5; round++) {
      if (round === 0) await first.close();
      const next = await engine.listen({ address: "127.0.0.1", port, service, portName: "" });
      await next.close();
    }
  } finally {
    await engine.close();
  }
});
