import assert from "node:assert/strict";
import fc from "fast-check";
import { echo, failing, GONE, named } from "./peer.ts";
import type { Pod, PodStream } from "./peer_link.ts";
import { dataHead, frame, join, text, words } from "./wire.ts";
import { ManualClock } from "./manual_clock.ts";
import { atRest, Client, echoes, endpoint, until, withBed, within } from "./support.ts";

Deno.test("A link in use that answers nothing is retired within 15 s", async () => {
  const clock = new ManualClock();
  await withBed({ pods: { a: echo }, engine: { clock } }, async ({ connect, engine, peer }) => {
    const client = await connect();
    await echoes(client, "x");
    await clock.advance(20_000);
    assert.equal(engine.stats().links, 1, "a healthy one stays");
    assert.ok([...peer.links][0]!.pings >= 3);
    for (const link of peer.links) link.silent = true;
    await clock.advance(15_000);
    assert.equal(await client.over(), 0);
    assert.equal(engine.stats().links, 0);
    const next = await connect();
    await echoes(next, "y");
  });
});

Deno.test("A link with traffic is not asked", async () => {
  const clock = new ManualClock();
  await withBed({ pods: { a: echo }, engine: { clock } }, async ({ connect, peer }) => {
    const client = await connect();
    for (let i = 0; i < 10; i++) {
      await echoes(client, "x");
      await clock.advance(1000);
    }
    assert.equal([...peer.links][0]!.pings, 0);
  });
});

Deno.test("After the machine slept a link is asked before it is used", async () => {
  const clock = new ManualClock();
  await withBed({ pods: { a: echo }, engine: { clock } }, async ({ connect, peer }) => {
    const client = await connect();
    await echoes(client, "x");
    client.close();
    for (const link of peer.links) link.silent = true;
    clock.slept += 3_600_000;
    await clock.advance(1000);
    const next = await connect();
    await next.write("y\n");
    // Nothing is sent over the dead link; two seconds later there is a new one.
    const answer = next.line(8000);
    await clock.advance(2500);
    assert.equal(await answer, "y");
    assert.equal(peer.accepted, 2);
  });
});

Deno.test("A link that does not answer at once after sleep keeps its connections", async () => {
  const clock = new ManualClock();
  await withBed({ pods: { a: echo }, engine: { clock } }, async ({ connect, engine, peer }) => {
    const idle = await connect();
    await echoes(idle, "x");
    // The network takes a while to come back.
    const [link] = peer.links;
    link!.silent = true;
    clock.slept += 600_000;
    await clock.advance(1000);
    const next = await connect();
    await next.write("y\n");
    await clock.advance(2500);
    assert.equal(await next.line(), "y");
    link!.silent = false;
    await echoes(idle, "still there");
    assert.equal(peer.accepted, 2);
    // One that stays silent is ended as ever.
    link!.silent = true;
    await clock.advance(15_000);
    assert.equal(await idle.over(), 0);
    assert.equal(engine.stats().links, 1);
  });
});

Deno.test("An unused link is closed after idleMs, and nothing is left", async () => {
  const clock = new ManualClock();
  await withBed(
    { pods: { a: echo }, engine: { clock, idleMs: 60_000 } },
    async ({ connect, engine, listener, peer }) => {
      const client = await connect();
      await echoes(client, "x");
      client.close();
      await until(() => engine.stats().streams === 0, "the stream has ended");
      await clock.advance(6000);
      await until(() => listener.stats.connections === 0, "the connection has ended");
      await clock.advance(50_000, 1000);
      assert.equal(engine.stats().links, 1);
      await clock.advance(10_000, 1000);
      assert.equal(engine.stats().links, 0);
      await until(() => peer.links.size === 0, "the server has seen it go");
      assert.equal(clock.pending, 0, "no timer is left");
    },
  );
});

Deno.test("Beyond maxLinks the idle link unused for longest is closed", async () => {
  const pods: Record<string, Pod> = { a: named("a"), b: named("b"), c: named("c") };
  await withBed({ pods, engine: { maxLinks: 2 } }, async ({ connect, engine, listener, peer }) => {
    for (const name of ["a", "b", "c"]) {
      listener.update([endpoint("a"), endpoint("b"), endpoint("c")].map((one) => ({
        ...one,
        ready: one.podName === name,
      })));
      const client = await connect();
      assert.equal(await client.line(), name);
      client.close();
      await until(() => engine.stats().streams === 0, "the stream has ended");
    }
    assert.equal(engine.stats().links, 2);
    await until(() => peer.links.size === 2, "the server has seen one go");
    assert.deepEqual([...peer.links].map((link) => link.pod).toSorted(), ["b", "c"]);
  });
});

Deno.test("A link to a pod no Service has any more goes with its last connection", async () => {
  await withBed(
    { pods: { a: named("a"), b: named("b") }, endpoints: [endpoint("a")] },
    async ({ connect, engine, listener }) => {
      const client = await connect();
      await client.line();
      listener.update([endpoint("b")]);
      const other = await connect();
      assert.equal(await other.line(), "b");
      await echoes(client, "still");
      assert.equal(engine.stats().links, 2);
      client.close();
      await until(() => engine.stats().links === 1, "its link is closed");
    },
  );
});

Deno.test("A held-up link takes no new connections, and who holds others up is ended", async () => {
  const flood: Pod = async (stream) => {
    const block = new Uint8Array(64 * 1024);
    while (!stream.gone) await stream.write(block);
  };
  let turn = 0;
  const pod: Pod = (stream) => (turn++ === 1 ? flood(stream) : echo(stream));
  await withBed(
    { pods: { a: pod }, engine: { stallMs: 1000 } },
    async ({ connect, engine, peer }) => {
      const before = await connect();
      await echoes(before, "x");
      const stuck = await connect();
      await until(() => {
        const [link] = peer.links;
        return link !== undefined && link.seen.filter((one) => one.includes("SYN")).length === 4;
      }, "the flood has begun");
      // Every buffer is full.
      await atRest(() => engine.stats().bytesDown, 0, 200);
      const after = await connect();
      await echoes(after, "y");
      assert.equal(engine.stats().links, 2);
      // The one from before waits for its echo: now somebody is held up.
      await echoes(before, "z");
      assert.equal(
        engine.stats().streams,
        2,
        "the one that is held up and the one that came after",
      );
      await stuck.over();
    },
  );
});

for (const [lastId, what] of [[0, "what was not taken up"], [1, "half a pair"]] as const) {
  Deno.test(`GOAWAY moves ${what} to a new link`, async () => {
    const takesUp = (turn: number) => turn > 0;
    await withBed({ pods: { a: echo }, takesUp }, async ({ connect, peer }) => {
      const client = await connect();
      await client.write("kept\n");
      await until(() => [...peer.links][0]?.seen.includes("DATA 3 5") ?? false, "it was sent");
      await [...peer.links][0]!.send(frame(7, 0, words(lastId, 0)));
      assert.equal(await client.line(), "kept");
      assert.equal(peer.accepted, 2);
      assert.equal(peer.opened.a, 1);
    });
  });
}

Deno.test("A connection not taken up is held up, too: who reads nothing is ended for it", async () => {
  const flooding = Promise.withResolvers<void>();
  const flood: Pod = async (stream) => {
    const block = new Uint8Array(64 * 1024);
    await flooding.promise;
    while (!stream.gone) await stream.write(block);
  };
  await withBed(
    { pods: { a: flood }, takesUp: (turn) => turn === 0, engine: { stallMs: 1000 } },
    async ({ connect, engine, peer }) => {
      const stuck = await connect();
      await until(() => peer.opened.a === 1, "the first one is taken up");
      await connect();
      const [link] = peer.links;
      await until(() => link!.seen.includes("SYN 7 data"), "the second one is asked for");
      flooding.resolve();
      await until(() => engine.stats().streams === 1, "the first one is ended", 10_000);
      await within(5000, stuck.over(), "the end of the flood");
    },
  );
});

Deno.test("One that waits for the pod's first word is held up, too: who reads nothing is ended for it", async () => {
  const flooding = Promise.withResolvers<void>();
  let turn = 0;
  const pod: Pod = async (stream) => {
    if (turn++ > 0) {
      // As a database does; its word lies behind the flood.
      await flooding.promise;
      await new Promise((resolve) => setTimeout(resolve, 100));
      await stream.write(text("welcome\n"));
      return;
    }
    const block = new Uint8Array(64 * 1024);
    await flooding.promise;
    while (!stream.gone) await stream.write(block);
  };
  await withBed(
    { pods: { a: pod }, engine: { stallMs: 1000 } },
    async ({ connect, engine, peer }) => {
      const stuck = await connect();
      const waiting = await connect();
      await until(() => peer.opened.a === 2, "both are taken up");
      flooding.resolve();
      assert.equal(await waiting.line(10_000), "welcome");
      assert.equal(peer.accepted, 1);
      await within(5000, stuck.over(), "the end of the flood");
      assert.ok(engine.stats().streams <= 1);
    },
  );
});

Deno.test("A link that takes up nothing more is left, though it still brings something", async () => {
  const clock = new ManualClock();
  const streams: PodStream[] = [];
  const pod: Pod = async (stream) => {
    streams.push(stream);
    await echo(stream);
  };
  await withBed({ pods: { a: pod }, engine: { clock } }, async ({ connect, engine, peer }) => {
    const first = await connect();
    await until(() => streams.length === 1, "the first one is taken up");
    for (const link of peer.links) link.deaf = true;
    const others = [await connect(), await connect()];
    await until(() => engine.stats().streams === 3, "they are on the same link");
    for (let second = 0; second < 15 && engine.stats().streams === 3; second++) {
      await streams[0]!.write("still here\n");
      assert.equal(await first.line(), "still here");
      await clock.advance(1000);
    }
    // They have sent nothing yet, so they are moved.
    await clock.advance(1000);
    await Promise.all(others.map((other) => echoes(other, "elsewhere")));
    assert.equal(await first.over(), 0);
    assert.equal(peer.accepted, 2);
  });
});

Deno.test("A broken link ends what was sent over it, and only that", async () => {
  await withBed({ pods: { a: echo } }, async ({ connect, peer }) => {
    const client = await connect();
    await echoes(client, "x");
    for (const link of peer.links) link.close();
    assert.equal(await client.over(), 0);
    const silent = await connect();
    await echoes(silent, "y");
  });
});

Deno.test("A connection that has sent nothing survives the loss of its link", async () => {
  await withBed({ pods: { a: echo } }, async ({ connect, peer }) => {
    const client = await connect();
    await until(() => peer.opened.a === 1, "its stream is open");
    for (const link of [...peer.links]) link.close();
    await until(() => peer.opened.a === 2, "it has another one");
    await echoes(client, "x");
  });
});

Deno.test("Hostile frames end their link cleanly, and the next connection works", async () => {
  const attacks: Uint8Array[] = [
    frame(1, 0, words(2, 0, 0)), // a stream of the server's own
    join([dataHead(2, 5, false), new Uint8Array(5)]), // an even id
    join([dataHead(0x7ffffff1, 5, true), new Uint8Array(5)]), // never opened
    frame(2, 0, new Uint8Array(70_000)),
    frame(99, 0, new Uint8Array(4)),
    text("HTTP/1.1 400 Bad Request\r\n\r\n"),
  ];
  for (const attack of attacks) {
    await withBed({ pods: { a: echo } }, async ({ connect, peer }) => {
      const client = await connect();
      await echoes(client, "x");
      await [...peer.links][0]!.send(attack);
      assert.equal(await client.over(), 0);
      const next = await connect();
      await echoes(next, "y");
    });
  }
});

Deno.test("Random bytes from the server never hang or break the engine", async () => {
  await withBed({ pods: { a: echo } }, async ({ connect, peer }) => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (noise) => {
        const client = await connect();
        await echoes(client, "x");
        for (const link of peer.links) {
          await link.send(noise).catch(() => {});
          link.close();
        }
        await client.over();
        client.close();
      }),
      { numRuns: 40 },
    );
  });
});

Deno.test("A server's PING is answered by the same frame", async () => {
  await withBed({ pods: { a: echo } }, async ({ connect, peer }) => {
    const client = await connect();
    await echoes(client, "x");
    const [link] = peer.links;
    await link!.send(frame(6, 0, words(42)));
    await until(() => link!.seen.includes("PING 42"), "the answer has come");
  });
});

Deno.test("A retired pod's links drain, and a gone pod is not dialled", async () => {
  await withBed(
    { pods: { a: named("a"), b: named("b") }, endpoints: [endpoint("a")] },
    async (bed) => {
      const client = await bed.connect();
      assert.equal(await client.line(), "a");
      bed.engine.retirePod("uid-a");
      await echoes(client, "goes on");
      const held = await bed.connect();
      bed.listener.update([endpoint("b")]);
      assert.equal(await held.line(), "b");
      assert.equal(bed.peer.opened.a, 1);
    },
  );
});

Deno.test("A pod that says its sandbox is gone gets no second connection over that link", async () => {
  let turn = 0;
  await withBed({
    pods: { a: (stream) => (turn++ === 0 ? failing(GONE)(stream) : echo(stream)) },
    engine: { holdMs: 5000 },
  }, async ({ connect, peer }) => {
    const client = await connect();
    await echoes(client, "x");
    assert.equal(peer.accepted, 2);
  });
});

Deno.test("A reset of the error stream is a reset, also without a text", async () => {
  // containerd 1.6.22 to 1.7, pkg/cri/streaming/portforward/httpstream.go: EPIPE and ECONNRESET.
  const pod: Pod = (stream) => stream.write("part\n");
  await withBed({ pods: { a: pod } }, async ({ connect, listener, peer }) => {
    const client = await connect();
    assert.equal(await client.line(), "part");
    const [link] = peer.links;
    await link!.send(join([dataHead(3, 0, true), frame(3, 0, words(1, 5))]));
    // After an orderly end the program would be given time to close, too.
    await until(() => listener.stats.connections === 0, "it has been closed at once", 2000);
  });
});

Deno.test("WebSocket channels dialled at once for two ports are not mixed up", async () => {
  const pod: Pod = async (stream) => {
    await stream.write(`${stream.port}\n`);
    await echo(stream);
  };
  await withBed({ pods: { a: pod }, ways: ["channels"] }, async ({ connect, engine }) => {
    const other = await engine.listen({
      address: "127.0.0.1",
      port: 0,
      service: { namespace: "default", name: "other" },
      portName: "",
    });
    other.update([endpoint("a", { ports: { "": 9090 } })]);
    const clients = await Promise.all([
      ...[1, 2, 3].map(() => connect()),
      ...[1, 2, 3].map(() => Client.connect(other.boundPort)),
    ]);
    const ports = await Promise.all(clients.map((client) => client.line()));
    for (const client of clients) client.close();
    assert.deepEqual(ports, ["8081", "8081", "8081", "9090", "9090", "9090"]);
  });
});

Deno.test("A held-up link does not keep back what came for others in the same read", async () => {
  // One stream floods until its program holds the link up; the other gets a little every time.
  let turn = 0;
  const pod: Pod = async (stream) => {
    if (turn++ > 0) return await echo(stream);
    const block = new Uint8Array(64 * 1024);
    while (!stream.gone) await stream.write(block);
  };
  await withBed({ pods: { a: pod } }, async ({ connect, engine, peer }) => {
    const stuck = await connect();
    await until(() => peer.opened.a === 1, "the flood has begun");
    const beside = await connect();
    await beside.write("x\n");
    assert.equal(await beside.line(10_000), "x");
    stuck.close();
    await until(() => engine.stats().streams === 1, "the flood is over");
  });
});

Deno.test("WebSocket channels cut nothing off that a program which has ended its output reads slowly", async () => {
  const clock = new ManualClock();
  const bytes = 20_000_000;
  const pod: Pod = async (stream) => {
    await stream.read();
    const block = new Uint8Array(64 * 1024);
    for (let left = bytes; left > 0; left -= block.length) {
      await stream.write(block.subarray(0, Math.min(left, block.length)));
    }
    await stream.end();
  };
  await withBed(
    { pods: { a: pod }, ways: ["channels"], engine: { clock } },
    async ({ connect, engine }) => {
      const client = await connect();
      await client.write("all of it\n");
      await client.end();
      await atRest(() => engine.stats().bytesDown, 0, 200);
      await clock.advance(20_000);
      assert.equal(await client.over(), bytes);
    },
  );
});
