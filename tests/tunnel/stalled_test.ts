/** A pod that takes nothing of what it is sent stands in the way of all that is sent over its link. */
import assert from "node:assert/strict";
import { deployment } from "../cluster/mod.ts";
import { Ground, NS } from "./test_cluster.ts";
import { atRest, type Client, echoes, until, upload, within } from "./support.ts";

const PIECE = new Uint8Array(64 * 1024);
/** Bytes: more than the pod's own socket holds, less than all sockets on the way do. */
const UNREAD = 4_000_000;

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`;

/** One pod that reads nothing on one of its ports. */
async function stalling() {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "one", { programs: ["echo=8081", "stall=8086", "http=8080"] })],
  });
  return {
    ground,
    echo: await ground.listen("one", 8081),
    stall: await ground.listen("one", 8086),
    [Symbol.asyncDispose]: () => ground.close(),
  };
}

/** Sends UNREAD bytes that the pod does not read, all of which leave the program. */
async function leaveUnread(ground: Ground, stuck: Client): Promise<void> {
  const begun = ground.engine.stats().bytesUp;
  for (let sent = 0; sent < UNREAD; sent += PIECE.length) {
    await within(5000, stuck.write(PIECE), "the sockets on the way take it");
  }
  await until(
    () => ground.engine.stats().bytesUp - begun >= UNREAD,
    "the engine has taken it all",
  );
}

for (const gone of [false, true]) {
  const whose = gone ? "an upload whose program is gone" : "an upload";
  Deno.test(`TunnelEngine: a pod that takes nothing of ${whose} holds up nobody else for long`, async () => {
    await using scene = await stalling();
    const { ground, echo, stall } = scene;
    const old = await ground.connect(echo);
    await echoes(old, "before");

    const stuck = await ground.connect(stall);
    const begun = ground.engine.stats().bytesUp;
    const uploading = upload(stuck);
    await atRest(() => ground.engine.stats().bytesUp, begun, 1_000, 20_000);
    // New connections go elsewhere.
    await echoes(await ground.connect(echo), "fresh");
    assert.equal(ground.engine.stats().links, 2);
    if (gone) stuck.close();
    // One that waits behind the upload is ended rather than left hanging; a large piece waits in
    // the engine, as the upload's own do, a small one is taken at once.
    await old.write(gone ? `${"x".repeat(20_000)}\n` : "anybody?\n");
    await old.over(15_000);
    await uploading;
    await echoes(await ground.connect(echo), "after");
  });
}

Deno.test("TunnelEngine: an upload its pod does not take disturbs nobody who only receives or has asked before", async () => {
  await using scene = await stalling();
  const { ground, stall } = scene;
  const web = await ground.listen("one", 8080);
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
  void upload(await ground.connect(stall));
  await atRest(() => ground.engine.stats().bytesUp, 1_000_000, 500, 20_000);
  assert.equal(ground.engine.stats().links, 1);
  const answer = await within(25_000, poll.line(25_000), "the answer to the long poll");
  assert.equal(answer, "HTTP/1.1 200 OK");
  assert.equal(ground.engine.stats().streams, 4, "the upload waits, the others are there");
});

Deno.test("TunnelEngine: who waits behind bytes that are taken but not passed on is ended, though others bring some", async () => {
  await using scene = await stalling();
  const { ground, echo, stall } = scene;
  const web = await ground.listen("one", 8080);
  // One for each of the server's workers (decisions/0135): the seventh has the second one's.
  const old: Client[] = [];
  for (let i = 0; i < 5; i++) {
    old.push(await ground.connect(echo));
    await echoes(old[i]!, "before");
  }
  // Keeps the link's other direction alive.
  const trickle = await ground.connect(web);
  await trickle.write(get("/chunks?n=3000&ms=10"));
  const stuck = await ground.connect(stall);
  await leaveUnread(ground, stuck);
  stuck.close();
  const [behind] = old.splice(1, 1);
  await behind!.write("anybody?\n");
  const ended = behind!.over(18_000);
  await Promise.all(old.map((one) => echoes(one, "not behind")));
  assert.equal(await ended, 0);
  await echoes(await ground.connect(echo), "after");
  await Promise.all(old.map((one) => echoes(one, "still there")));
  const { bytesDown } = ground.engine.stats();
  await until(() => ground.engine.stats().bytesDown > bytesDown + 1000, "the trickle goes on");
  trickle.close();
});

Deno.test("TunnelEngine: a link with nothing but what a connection given up has left unread is closed, and takes nobody before", async () => {
  await using scene = await stalling();
  const { ground, echo, stall } = scene;
  await leaveUnread(ground, await ground.connect(stall));
  // As a reset by the program would, this gives the connection up in both directions.
  await stall.close();
  // Were the whole link held up, whoever comes within the first moments may be caught; nobody later.
  const attempt = async () => {
    const client = await ground.connect(echo);
    const answered = await echoes(client, "elsewhere", 200).then(() => true, () => false);
    client.close();
    return answered;
  };
  await until(attempt, "a new connection is answered", 3_000);
  for (let i = 0; i < 5; i++) assert.ok(await attempt(), "and so is each one after it");
  await until(() => ground.engine.stats().links === 1, "the stuck link is closed", 15_000);
});
