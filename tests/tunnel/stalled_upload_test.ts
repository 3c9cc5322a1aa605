import assert from "node:assert/strict";
import { deployment } from "../cluster/mod.ts";
import { Ground, NS } from "./test_cluster.ts";
import { type Client, until, within } from "./support.ts";

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`;

/** Writes until nothing is taken any more. */
async function fill(ground: Ground, client: Client): Promise<void> {
  void (async () => {
    try {
      for (const piece = new Uint8Array(64 * 1024);;) await client.write(piece);
    } catch {
      // Closed at the end of the test.
    }
  })();
  let last = 0;
  let since = performance.now();
  await until(
    () => {
      const now = ground.engine.stats().bytesUp;
      if (now !== last) since = performance.now();
      last = now;
      return now > 1_000_000 && performance.now() - since > 500;
    },
    "nothing moves any more",
    20_000,
  );
}

Deno.test("TunnelEngine: an upload its pod does not take disturbs nobody who only receives or has asked before", async () => {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "one", { programs: ["stall=8086", "http=8080"] })],
  });
  try {
    const web = await ground.listen("one", 8080);
    const stall = await ground.listen("one", 8086);
    // Two long polls, one that trickles all the time, and a connection kept alive.
    const idle = await ground.connect(web);
    await idle.write(get("/status?code=204"));
    await idle.line();
    const poll = await ground.connect(web);
    await poll.write(get("/delay?ms=17000"));
    const trickle = await ground.connect(web);
    await trickle.write(get("/chunks?n=2000&ms=10"));
    await trickle.line();
    // Asked after 3 s: by then it is certain that the question has arrived.
    await new Promise((resolve) => setTimeout(resolve, 4500));
    const upload = await ground.connect(stall);
    await fill(ground, upload);
    assert.equal(ground.engine.stats().links, 1);
    const answer = await within(25_000, poll.line(25_000), "the answer to the long poll");
    assert.equal(answer, "HTTP/1.1 200 OK");
    assert.equal(ground.engine.stats().streams, 4, "the upload waits, the others are there");
  } finally {
    await ground.close();
  }
});
