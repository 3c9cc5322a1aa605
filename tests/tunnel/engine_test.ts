import assert from "node:assert/strict";
import { echo, failing, GONE, named, REFUSED, RESET } from "./peer.ts";
import type { Pod } from "./peer_link.ts";
import { text } from "./wire.ts";
import { echoes, endpoint, until, withBed } from "./support.ts";

for (const way of ["spdy", "spdy_websocket", "channels"] as const) {
  Deno.test(`TunnelEngine relays both ways over ${way}`, async () => {
    await withBed(
      { pods: { a: echo }, ways: [way] },
      async ({ connect, engine, listener, peer }) => {
        assert.equal(peer.accepted, 0, "nothing is dialled before the first connection");
        const client = await connect();
        await echoes(client, "hello");
        const big = new Uint8Array(3_000_000).map((_, i) => i * 7);
        const back = client.bytes(big.length, 10_000);
        await client.write(big);
        assert.deepEqual(await back, big);
        if (way !== "channels") {
          await client.end();
          assert.equal(await client.rest(), "");
        }
        client.close();
        await until(() => listener.stats.connections === 0, "the connection is gone", 8000);
        assert.equal(listener.stats.bytesUp, big.length + 6);
        assert.equal(listener.stats.bytesDown, big.length + 6);
        assert.equal(engine.stats().transport, way);
      },
    );
  });

  Deno.test(`TunnelEngine lets the pod speak first over ${way}`, async () => {
    await withBed({ pods: { a: named("a") }, ways: [way] }, async ({ connect }) => {
      assert.equal(await (await connect()).line(), "a");
    });
  });

  Deno.test(`TunnelEngine closes a refused connection at once over ${way}`, async () => {
    await withBed({ pods: { a: failing(REFUSED) }, ways: [way] }, async ({ connect }) => {
      const begin = performance.now();
      assert.equal(await (await connect()).rest(), "");
      assert.ok(performance.now() - begin < 1000);
    });
  });

  Deno.test(`TunnelEngine tries another pod after a refusal, with the bytes kept, over ${way}`, async () => {
    await withBed(
      { pods: { a: failing(REFUSED), b: echo }, ways: [way] },
      async ({ connect, peer }) => {
        for (let i = 0; i < 4; i++) {
          const client = await connect();
          await echoes(client, `hello ${i}`);
        }
        assert.ok(peer.opened.a! >= 1, "the refusing pod was tried");
      },
    );
  });
}

Deno.test("TunnelEngine keeps one link and sends a stream's opening in one flight", async () => {
  await withBed({ pods: { a: echo } }, async ({ connect, peer }) => {
    for (let i = 0; i < 5; i++) {
      const client = await connect();
      await echoes(client, "x");
    }
    assert.equal(peer.accepted, 1);
    const [link] = peer.links;
    assert.deepEqual(link!.seen.slice(0, 3), ["SYN 1 error", "DATA 1 0 FIN", "SYN 3 data"]);
  });
});

Deno.test("TunnelEngine does not retry once bytes may have been delivered", async () => {
  await withBed({
    pods: {
      a: async (stream) => {
        await stream.read();
        await stream.fail(RESET);
      },
      b: async (stream) => {
        await stream.read();
        await stream.fail(RESET);
      },
    },
  }, async ({ connect, peer }) => {
    const client = await connect();
    await client.write("once\n");
    await client.over();
    assert.equal((peer.opened.a ?? 0) + (peer.opened.b ?? 0), 1);
  });
});

Deno.test("TunnelEngine leaves a pod that is gone and never asks it again", async () => {
  await withBed(
    { pods: { a: failing(GONE), b: named("b") } },
    async ({ connect, engine, peer }) => {
      for (let i = 0; i < 3; i++) assert.equal(await (await connect()).line(), "b");
      engine.retirePod("uid-a");
      const before = peer.opened.a ?? 0;
      for (let i = 0; i < 3; i++) assert.equal(await (await connect()).line(), "b");
      assert.equal(peer.opened.a ?? 0, before);
    },
  );
});

Deno.test("TunnelEngine passes over a pod that leaves, before its endpoints say so", async () => {
  await withBed({ pods: { a: named("a"), b: named("b") } }, async ({ connect, engine }) => {
    const seen = async () => {
      const names = new Set<string>();
      for (let i = 0; i < 6; i++) names.add(await (await connect()).line());
      return [...names].sort().join("");
    };
    assert.equal(await seen(), "ab");
    engine.podLeaves("default/web", "uid-a", true);
    assert.equal(await seen(), "b");
    // Another Service's opinion does not count, and when all leave they still serve.
    engine.podLeaves("default/other", "uid-b", true);
    assert.equal(await seen(), "b");
    engine.podLeaves("default/web", "uid-b", true);
    assert.match(await seen(), /a/);
    engine.podLeaves("default/web", "uid-a", false);
    assert.equal(await seen(), "a");
  });
});

Deno.test("TunnelEngine holds a connection until a pod is ready", async () => {
  await withBed({ pods: { a: echo }, endpoints: [] }, async ({ connect, listener }) => {
    const client = await connect();
    await client.write("early\n");
    await until(() => listener.stats.connections === 1, "it is accepted");
    listener.update([endpoint("a")]);
    assert.equal(await client.line(), "early");
  });
});

Deno.test("TunnelEngine gives up holding after holdMs", async () => {
  await withBed({ pods: {}, endpoints: [], engine: { holdMs: 200 } }, async ({ connect }) => {
    assert.equal(await (await connect()).rest(1500), "");
  });
});

Deno.test("TunnelEngine passes a half-close on and the answer back", async () => {
  await withBed({
    pods: {
      a: async (stream) => {
        let size = 0;
        for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
          size += bytes.length;
        }
        await stream.write(`${size}\n`);
        await stream.end();
      },
    },
  }, async ({ connect, listener }) => {
    const client = await connect();
    await client.write(new Uint8Array(200_000));
    await client.end();
    assert.equal(await client.rest(), "200000\n");
    await until(() => listener.stats.connections === 0, "the connection is gone");
  });
});

Deno.test("TunnelEngine spreads connections over ready pods, terminating ones only at need", async () => {
  await withBed({
    pods: { a: named("a"), b: named("b"), c: named("c") },
    endpoints: [
      endpoint("a"),
      endpoint("b"),
      endpoint("c", { ready: false, terminating: true }),
    ],
  }, async ({ connect, listener }) => {
    const clients = await Promise.all([1, 2, 3, 4, 5, 6].map(() => connect()));
    const names = await Promise.all(clients.map((client) => client.line()));
    assert.deepEqual(names.toSorted(), ["a", "a", "a", "b", "b", "b"]);
    listener.update([endpoint("c", { ready: false, terminating: true })]);
    assert.equal(await (await connect()).line(), "c");
    // The earlier ones go on.
    await echoes(clients[0]!, "still");
  });
});

Deno.test("TunnelEngine keeps a client on its pod with affinity", async () => {
  await withBed({
    pods: { a: named("a"), b: named("b"), c: named("c") },
    affinitySeconds: 60,
  }, async ({ connect }) => {
    const names = new Set<string>();
    for (let i = 0; i < 6; i++) names.add(await (await connect()).line());
    assert.equal(names.size, 1);
  });
});

Deno.test("TunnelEngine ends only the connection that failed", async () => {
  let turn = 0;
  await withBed({
    pods: {
      a: async (stream) => {
        const mine = turn++;
        // The first of all: a pod that had answered would be given time.
        if (mine === 0) return await stream.fail(REFUSED);
        if (mine === 5) {
          await stream.read();
          return await stream.fail(RESET);
        }
        await echo(stream);
      },
    },
  }, async ({ connect, peer }) => {
    const clients = [];
    for (let i = 0; i < 20; i++) {
      const client = await connect();
      clients.push(client);
      await client.write("a\n");
      if (i === 0 || i === 5) await client.over();
      else assert.equal(await client.line(), "a");
    }
    for (const [i, client] of clients.entries()) {
      if (i === 0 || i === 5) continue;
      await echoes(client, "b");
    }
    assert.equal(peer.accepted, 1);
  });
});

Deno.test("TunnelEngine refreshes refused credentials once", async () => {
  let refreshed = 0;
  await withBed({
    pods: { a: echo },
    answer: (request) =>
      request.includes("Bearer new")
        ? undefined
        : "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
  }, async ({ peer, engine: _, listener }) => {
    void listener;
    const { TunnelEngine } = await import("../../src/tunnel/engine.ts");
    const { silentLogger } = await import("../../src/model/log.ts");
    const { systemClock } = await import("../../src/platform/clock.ts");
    const { Client } = await import("./support.ts");
    const own = new TunnelEngine({
      targets: (options) => {
        if (options?.refresh) refreshed++;
        return Promise.resolve({
          host: "127.0.0.1",
          port: peer.port,
          basePath: "",
          headers: { authorization: refreshed > 0 ? "Bearer new" : "Bearer old" },
        });
      },
      log: silentLogger,
      clock: systemClock,
    });
    const other = await own.listen({
      address: "127.0.0.1",
      port: 0,
      service: { namespace: "default", name: "web" },
      portName: "",
    });
    other.update([endpoint("a")]);
    const client = await Client.connect(other.boundPort);
    await client.write(text("hi\n"));
    assert.equal(await client.line(), "hi");
    client.close();
    await own.close();
    assert.equal(refreshed, 1);
  });
});

/**
 * Thinks for a while, then sends for a while. As containerd does, the connection ends a second after
 * the client's end of output, of which the program hears nothing.
 */
const slowAnswer: Pod = async (stream) => {
  let endsAt = Infinity;
  void (async () => {
    while (await stream.read() !== null);
    endsAt = performance.now() + 1000;
  })();
  for (let tick = 0; tick < 26 && performance.now() < endsAt && !stream.gone; tick++) {
    if (tick >= 6) await stream.write("x".repeat(1000));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stream.end();
};

for (const [asks, question] of [["asks and", "all of it\n"], ["only", ""]] as const) {
  Deno.test(`A program that ${asks} ends its output gets what takes longer than the second there is`, async () => {
    await withBed({ pods: { a: slowAnswer } }, async ({ connect }) => {
      const client = await connect();
      await client.write(question);
      await client.end();
      assert.equal((await client.rest(10_000)).length, 20_000);
    });
  });
}

Deno.test("A program that has its answer is ended at once", async () => {
  await withBed({ pods: { a: echo } }, async ({ connect, engine, peer }) => {
    const client = await connect();
    await echoes(client, "all of it");
    client.close();
    const [link] = peer.links;
    await until(() => link!.seen.includes("DATA 3 0 FIN"), "its end is passed on", 200);
    await until(() => engine.stats().streams === 0, "it is over");
  });
});
