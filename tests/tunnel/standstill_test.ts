import assert from "node:assert/strict";
import { ManualClock } from "./manual_clock.ts";
import { echo } from "./peer.ts";
import type { Pod } from "./peer_link.ts";
import { atRest, type Bed, type Client, drain, echoes, until, withBed } from "./support.ts";

/** A manual clock does not run while nobody advances it: so `ms` pass as for a stopped process. */
async function standStill(clock: ManualClock, ms: number): Promise<void> {
  await clock.advance(ms, ms);
}

/** A connection whose program does not read, and one beside it that waits for an answer. */
async function stalled(
  { connect, engine }: Bed,
): Promise<{ slow: Client; waiting: Client }> {
  const waiting = await connect();
  await echoes(waiting, "x");
  const slow = await connect();
  // Every buffer is full.
  await atRest(() => engine.stats().bytesDown, 2, 200);
  await waiting.write("y\n");
  return { slow, waiting };
}

const BYTES = 40_000_000;

function pods(): Record<string, Pod> {
  let turn = 0;
  const large: Pod = async (stream) => {
    const block = new Uint8Array(65_536);
    for (let sent = 0; sent < BYTES && !stream.gone; sent += block.length) {
      await stream.write(block.subarray(0, Math.min(block.length, BYTES - sent)));
    }
  };
  return { a: (stream) => (turn++ === 1 ? large(stream) : echo(stream)) };
}

Deno.test("A process that stood still does not take it for a program's stall", async () => {
  const clock = new ManualClock();
  await withBed({ pods: pods(), engine: { clock } }, async (bed) => {
    const { slow, waiting } = await stalled(bed);
    await standStill(clock, 60_000);
    // It was czctl that did not run: the program reads on, and gets everything.
    const got = drain(slow, BYTES, 10_000);
    assert.equal(await waiting.line(), "y");
    await got;
    assert.equal(bed.peer.accepted, 1);
  });
});

Deno.test("A process that stood still does not take it for a pod's stall", async () => {
  const clock = new ManualClock();
  let turn = 0;
  const sink: Pod = async (stream) => {
    let got = 0;
    while (got < BYTES) got += (await stream.read())!.length;
    await stream.write("all\n");
  };
  const pod: Pod = (stream) => (turn++ === 1 ? sink(stream) : echo(stream));
  await withBed({ pods: { a: pod }, engine: { clock } }, async ({ connect, peer }) => {
    const waiting = await connect();
    await echoes(waiting, "x");
    const goOn = holdReading([...peer.links][0]!.conn);
    const upload = await connect();
    let sent = false;
    const sending = upload.write(new Uint8Array(BYTES)).then(() => sent = true);
    await waiting.write("y\n");
    await clock.advance(1000);
    assert.ok(!sent, "nothing is taken");
    await standStill(clock, 60_000);
    goOn();
    await sending;
    assert.equal(await upload.line(20_000), "all");
    assert.equal(await waiting.line(), "y");
    assert.equal(peer.accepted, 1);
  });
});

/** Keeps a connection from being read, from its next read on. */
function holdReading(conn: Deno.Conn): () => void {
  const read = conn.read.bind(conn);
  const { promise, resolve } = Promise.withResolvers<void>();
  conn.read = async (into) => {
    const count = await read(into);
    await promise;
    return count;
  };
  return resolve;
}

Deno.test("A pod that pauses for a while ends none of its uploads, one that is gone for good does", async () => {
  const clock = new ManualClock();
  const sink: Pod = async (stream) => {
    let got = 0;
    while (got < BYTES) got += (await stream.read())!.length;
    await stream.write("all\n");
  };
  await withBed({ pods: { a: sink }, engine: { clock } }, async ({ connect, engine, peer }) => {
    for (const seconds of [15, 50]) {
      const uploads = [await connect(), await connect()];
      await until(() => peer.links.size === 1, "there is a link");
      const goOn = holdReading([...peer.links][0]!.conn);
      const before = engine.stats().bytesUp;
      const sending = uploads.map((upload) => upload.write(new Uint8Array(BYTES)).catch(() => {}));
      await until(() => engine.stats().bytesUp > before + 1_000_000, "it is under way");
      await clock.advance(seconds * 1000, 500);
      const { streams } = engine.stats();
      goOn();
      assert.equal(streams, seconds < 30 ? 2 : 0);
      await Promise.all(sending);
      if (seconds > 30) break;
      for (const upload of uploads) assert.equal(await upload.line(20_000), "all");
    }
  });
});
