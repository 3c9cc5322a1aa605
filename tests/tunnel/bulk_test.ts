import assert from "node:assert/strict";
import { ManualClock } from "./manual_clock.ts";
import { echo } from "./peer.ts";
import type { Pod } from "./peer_link.ts";
import { echoes, until, withBed } from "./support.ts";

const sink: Pod = async (stream) => {
  while (await stream.read() !== null);
  if (!stream.gone) await stream.end();
};

Deno.test("Beside a large upload there is a second link, which nobody waits for", async () => {
  let turn = 0;
  const pod: Pod = (stream) => (turn++ === 0 ? sink(stream) : echo(stream));
  const clock = new ManualClock();
  await withBed({ pods: { a: pod }, engine: { clock } }, async ({ connect, engine, peer }) => {
    const upload = await connect();
    await upload.write(new Uint8Array(500_000));
    await until(() => engine.stats().bytesUp === 500_000, "half a megabyte is on its way");
    await echoes(await connect(), "not large yet");
    assert.equal(peer.accepted, 1);

    await upload.write(new Uint8Array(1_000_000));
    await until(() => engine.stats().bytesUp > 1_500_000, "it is large");
    const [first] = peer.links;
    await echoes(await connect(), "at once, over the link that is there");
    assert.equal(first!.seen.filter((one) => one.startsWith("SYN")).length, 6);
    await until(() => engine.stats().links === 2, "there is another link");

    await clock.advance(20_000);
    for (let i = 0; i < 5; i++) {
      const client = await connect();
      await echoes(client, `${i}`);
      client.close();
    }
    assert.equal(peer.accepted, 2);
    assert.equal(first!.seen.filter((one) => one.startsWith("SYN")).length, 6);
    // Afterwards one is enough.
    upload.close();
    const isOver = async () => {
      await clock.advance(250);
      return engine.stats().streams === 2;
    };
    await until(isOver, "only those before are left");
    await clock.advance(7000);
    await until(() => engine.stats().links === 1, "the second link is closed");
  });
});

Deno.test("An upload that is answered has no link to itself", async () => {
  await withBed({ pods: { a: echo } }, async ({ connect, engine, peer }) => {
    const client = await connect();
    for (let i = 0; i < 40; i++) {
      const sending = client.write(new Uint8Array(100_000));
      await client.bytes(100_000);
      await sending;
    }
    await echoes(await connect(), "beside it");
    assert.equal(engine.stats().links, 1);
    assert.equal(peer.accepted, 1);
  });
});
