import assert from "node:assert/strict";
import { UpstreamWatch } from "../../src/tunnel/upstream_watch.ts";
import { ManualClock } from "./manual_clock.ts";
import { echo, type Peer, REFUSED } from "./peer.ts";
import type { PeerLink, Pod } from "./peer_link.ts";
import { frame, words } from "./wire.ts";
import { type Client, echoes, until, withBed } from "./support.ts";

/**
 * Makes the server's end behave as moby/spdystream when the workers of these
 * lanes wait for a program: nothing comes back from them. PINGs take turns.
 */
function stick(link: PeerLink, ...lanes: number[]): void {
  const send = link.send.bind(link);
  let pings = link.pings;
  link.send = (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const type = view.getUint16(0) === 0x8003 ? view.getUint16(2) : 0;
    const id = type === 0 ? view.getUint32(0) : view.getUint32(8);
    const lane = (type === 6 ? pings++ : id) % 5;
    return lanes.includes(lane) ? Promise.resolve() : send(bytes);
  };
}

for (const [asked, also] of [[0, ""], [1, ", though the server has sent a PING"]] as const) {
  Deno.test(`Who waits in a lane that is held up is ended; the link's other connections do not notice${also}`, async () => {
    const clock = new ManualClock();
    await withBed({ pods: { a: echo }, engine: { clock } }, async ({ connect, engine, peer }) => {
      // Data streams 3, 7, 11, 15, 19, 23: the first and the last are in lane 3.
      const clients: Client[] = [];
      for (let i = 0; i < 6; i++) {
        clients.push(await connect());
        await echoes(clients[i]!, "hello");
      }
      const [link] = peer.links;
      for (let ping = 0; ping < asked; ping++) await link!.send(frame(6, 0, words(2 + 2 * ping)));
      await until(() => link!.pings === asked, "the server's own have been answered");
      const [stalled, ...rest] = clients;
      const innocent = rest.pop()!;
      stick(link!, 3);
      await stalled!.write("x".repeat(1000));
      await innocent.write("y\n");
      let ended = false;
      const end = innocent.over(60_000).then(() => ended = true);
      for (let second = 0; second < 13; second++) {
        await clock.advance(1000);
        for (const client of rest) await echoes(client, `${second}`);
      }
      await until(() => ended, "who waits in the same lane has been ended");
      await end;
      // The likely reason waits on, as does everything else; new ones go elsewhere.
      assert.equal(engine.stats().streams, 5);
      assert.equal(peer.accepted, 1);
      await echoes(await connect(), "new");
      assert.equal(peer.accepted, 2);
    });
  });
}

Deno.test("New connections are opened in other lanes than a large upload's", async () => {
  const sink: Pod = async (stream) => {
    while (await stream.read() !== null);
  };
  let turn = 0;
  const pod: Pod = (stream) => (turn++ === 0 ? sink(stream) : echo(stream));
  await withBed({ pods: { a: pod } }, async ({ connect, engine, peer }) => {
    const upload = await connect();
    await upload.write(new Uint8Array(200_000));
    await until(() => engine.stats().bytesUp === 200_000, "it is on its way");
    for (let i = 0; i < 5; i++) await echoes(await connect(), "hello");
    const ids = [...peer.links][0]!.seen.filter((one) => one.startsWith("SYN"))
      .map((one) => Number(one.split(" ")[1]));
    assert.equal(ids.length, 12);
    const [, large, ...others] = ids;
    assert.deepEqual(others.filter((id) => id % 5 === large! % 5), []);
  });
});

Deno.test("Two lanes held up do not make a link look dead", async () => {
  const clock = new ManualClock();
  await withBed({ pods: { a: echo }, engine: { clock } }, async ({ connect, engine, peer }) => {
    const client = await connect();
    await echoes(client, "hello");
    const [link] = peer.links;
    // Those that the next two PINGs are for.
    stick(link!, link!.pings % 5, (link!.pings + 1) % 5);
    await clock.advance(30_000);
    assert.equal(engine.stats().streams, 1);
    // Asked after sleep, too.
    clock.slept += 3_600_000;
    await clock.advance(1000);
    await echoes(await connect(), "again");
    assert.equal(peer.accepted, 1);
  });
});

/**
 * A server that leaves the data stream of a refused connection to itself, as
 * containerd before 2.1 and cri-dockerd do: the worker of its lane waits for good
 * for somebody who takes the first frame. Nothing that comes in there is looked at.
 */
function leavesRefused(): { readonly pod: Pod; takesUp(): boolean; watch(peer: Peer): void } {
  const refuse = Promise.withResolvers<void>();
  let peer: Peer | undefined;
  let turn = 0;
  let blocked = false;
  const DATA_LANE = 3;
  return {
    pod: async (stream) => {
      if (turn++ > 0) return await echo(stream);
      const [link] = peer!.links;
      const send = link!.send.bind(link);
      let pings = link!.pings;
      link!.send = (bytes) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        const isPing = view.getUint32(0) === 0x80030006;
        return isPing && pings++ % 5 === DATA_LANE ? Promise.resolve() : send(bytes);
      };
      await stream.read();
      blocked = true;
      await refuse.promise;
      await stream.fail(REFUSED);
    },
    // By the error stream's id, which comes first.
    takesUp: () => {
      const [link] = peer?.links ?? [];
      const id = Number(link?.seen.at(-1)?.split(" ")[1]);
      return !blocked || peer!.links.size > 1 || id % 5 !== DATA_LANE;
    },
    watch: (watched) => {
      peer = watched;
      // Long after the first frame: whatever is opened meanwhile cannot know.
      setTimeout(refuse.resolve, 100);
    },
  };
}

Deno.test("After a refused connection that had sent something new ones are opened in other lanes", async () => {
  const server = leavesRefused();
  await withBed(
    { pods: { a: server.pod }, takesUp: () => server.takesUp() },
    async ({ connect, peer }) => {
      server.watch(peer);
      const refused = await connect();
      await refused.write("x\n");
      assert.equal(await refused.over(), 0);
      // Without that the third one's error stream is in the lane of what was refused.
      for (let i = 0; i < 3; i++) await echoes(await connect(), "hello");
      assert.equal(peer.accepted, 1);
      // And soon they go over another link.
      await until(async () => {
        const client = await connect();
        await echoes(client, "later");
        client.close();
        return peer.accepted === 2;
      }, "there is another link");
    },
  );
});

Deno.test("Who was opened in the lane of a refused connection is ended, if nobody else waits", async () => {
  const clock = new ManualClock();
  const server = leavesRefused();
  await withBed(
    { pods: { a: server.pod }, takesUp: () => server.takesUp(), engine: { clock } },
    async ({ connect, engine, peer }) => {
      server.watch(peer);
      const refused = await connect();
      await refused.write("x\n");
      const others = [await connect(), await connect()];
      for (const other of others) await echoes(other, "hello");
      const victim = await connect();
      await victim.write("y\n");
      const [link] = peer.links;
      await until(() => link!.seen.includes("DATA 15 2"), "it was opened in the meantime");
      // Its data stream is in another lane, and is taken up; its error stream (13) is not.
      await link!.send(frame(2, 0, words(15)));
      await until(() => link!.seen.some((frame) => frame.startsWith("RST 3 ")), "it was refused");
      refused.close();
      let ended = false;
      const end = victim.over(60_000).then(() => ended = true);
      for (let second = 0; second < 13 && !ended; second++) {
        await clock.advance(1000);
        for (const other of others) await echoes(other, `${second}`);
      }
      await until(() => ended, "it has been ended");
      await end;
      assert.equal(engine.stats().streams, 2);
    },
  );
});

Deno.test("Who waits alone in a lane that is held up, and was never taken up, is ended", async () => {
  const clock = new ManualClock();
  let held = false;
  await withBed({
    pods: { a: echo },
    takesUp: () => !held,
    engine: { clock },
  }, async ({ connect, engine, peer }) => {
    const before = await connect();
    await echoes(before, "hello");
    stick([...peer.links][0]!, 2);
    held = true;
    // Data stream 7.
    const alone = await connect();
    await alone.write("x\n");
    let ended = false;
    const end = alone.over(60_000).then(() => ended = true);
    for (let second = 0; second < 13 && !ended; second++) {
      await clock.advance(1000);
      await echoes(before, `${second}`);
    }
    await until(() => ended, "it has been ended");
    await end;
    assert.equal(engine.stats().streams, 1);
  });
});

Deno.test("What a connection left is out of the way once its own lane has answered", () => {
  const pings: { lane: number; done: () => void }[] = [];
  const watch = new UpstreamWatch((done) => {
    const lane = pings.length % 5;
    pings.push({ lane, done });
    return lane;
  });
  watch.orphaned(0, 1);
  assert.deepEqual(watch.orphanLanes, [1]);
  // An upload whose pod pauses is in the third: it may, as long as it is the only one.
  for (const { lane, done } of pings) if (lane !== 3 && lane !== 1) done();
  assert.equal(watch.hasOrphans, true);
  assert.equal(watch.overdue(6000), 6000);
  pings[1]!.done();
  assert.equal(watch.hasOrphans, false);
  assert.deepEqual(watch.orphanLanes, []);
  assert.equal(watch.overdue(100_000), 0);
  assert.deepEqual(watch.tick(100_000, 1, 1), new Map());
});
