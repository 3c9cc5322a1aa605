import assert from "node:assert/strict";
import type { ByteConn } from "../../src/platform/net.ts";
import { LinkReader, type Receiver } from "../../src/tunnel/link_reader.ts";
import { Pace } from "../../src/tunnel/pace.ts";
import { until } from "./support.ts";

const RECORD = 16 * 1024;

/** 100 MB/s for a while. */
function fastPace(): Pace {
  const pace = new Pace();
  for (let ms = 0; ms < 100; ms++) pace.count(100_000, ms);
  assert.equal(pace.fast, true);
  pace.waited();
  return pace;
}

Deno.test("Pace tells a large transfer from a short one and a slow one", () => {
  const pace = new Pace();
  pace.count(1_000_000, 1000);
  assert.equal(pace.fast, false, "what came first is no rate");
  for (let ms = 1001; ms < 1020; ms++) pace.count(500_000, ms);
  assert.equal(pace.fast, false, "too short");
  pace.count(500_000, 1020);
  assert.equal(pace.fast, true);
  for (let ms = 1021; ms <= 1060; ms++) pace.count(10_000, ms);
  assert.equal(pace.fast, false, "10 MB/s");
  for (let ms = 1061; ms <= 1200; ms++) pace.count(500_000, ms);
  assert.equal(pace.fast, true);
  pace.count(RECORD, 9000);
  assert.equal(pace.fast, false, "after a pause");
});

Deno.test("Pace asks for a rest when a transfer trickles in, not when it comes in large pieces", () => {
  const pace = fastPace();
  pace.count(RECORD, 100);
  assert.equal(pace.waited(), false, "once is nothing");
  pace.count(10 * RECORD, 100);
  assert.equal(pace.waited(), false, "a large piece");
  pace.count(RECORD, 100);
  assert.equal(pace.waited(), false);
  pace.count(RECORD, 100);
  assert.equal(pace.waited(), true, "two little ones in a row");
});

Deno.test("Pace asks for fewer rests when they were too long, and for more again when not", () => {
  const pace = fastPace();
  /** Little pieces until it asks for a rest, after which `bytes` come. */
  const trickles = (bytes: number) => {
    for (let count = 1;; count++) {
      pace.count(RECORD, 100);
      if (!pace.waited()) continue;
      pace.count(bytes, 100);
      assert.equal(pace.waited(), false);
      return count;
    }
  };
  const large = 4 * 1024 * 1024;
  assert.deepEqual(Array.from({ length: 7 }, () => trickles(large)), [2, 4, 8, 16, 32, 64, 64]);
  const middle = 256 * 1024;
  assert.deepEqual(Array.from({ length: 7 }, () => trickles(middle)), [64, 32, 16, 8, 4, 2, 2]);
});

/** A connection whose reads the test answers; and a link reader on it, within a fast transfer. */
async function fastReader() {
  let waiting: { into: Uint8Array; done: (count: number) => void } | undefined;
  let quick = 400;
  let ms = 0;
  const sent: number[] = [];
  const rests: (() => void)[] = [];
  const stream: Receiver = {
    podSent: (bytes) => void sent.push(bytes.length),
    flush: () => {},
  };
  const conn = {
    read(into: Uint8Array) {
      if (quick-- > 0) return Promise.resolve(Math.min(into.length, RECORD));
      return new Promise<number>((done) => waiting = { into, done });
    },
  } as ByteConn;
  const reader: LinkReader = new LinkReader({
    conn,
    readSize: 256 * 1024,
    holdSize: 128 * 1024,
    now: () => ms += 0.1,
    after: (_ms, callback) => {
      rests.push(callback);
      return () => {};
    },
    parse: (bytes) => reader.hold(stream, bytes),
    heard: () => {},
  });
  const run = reader.run(new Uint8Array(0));
  await until(() => waiting !== undefined, "a read waits");
  const come = (count: number) => {
    const { done } = waiting!;
    waiting = undefined;
    done(count);
  };
  const total = () => sent.reduce((sum, count) => sum + count, 0);
  return { reader, run, rests, come, total, waits: () => waiting !== undefined };
}

Deno.test("LinkReader leaves a link that trickles alone for a moment, with nothing held back", async () => {
  const { reader, run, rests, come, total, waits } = await fastReader();
  assert.equal(total(), 400 * RECORD, "a read that waits holds nothing back");
  for (let i = 1; rests.length === 0; i++) {
    assert.ok(i <= 3);
    come(RECORD);
    await until(() => waits() || rests.length > 0, "it goes on");
    await until(() => total() === (400 + i) * RECORD, "all is passed on");
  }
  assert.equal(waits(), false, "nothing is read meanwhile");
  rests[0]!();
  await until(waits, "it reads again");
  come(0);
  await run;
  reader.close();
});

Deno.test("LinkReader closed while it leaves the link alone ends", async () => {
  const { reader, run, rests, come, waits } = await fastReader();
  while (rests.length === 0) {
    come(RECORD);
    await until(() => waits() || rests.length > 0, "it goes on");
  }
  reader.close();
  rests[0]!();
  await run;
  assert.equal(waits(), false);
});
