/**
 * Pods on their way out, as a Kubernetes 1.36 with containerd 2.1 was seen to handle them: their
 * programs refuse connections for up to two seconds while they are still named, and connections
 * opened while their network is taken down (CNI sets its `lo` down) wait for good, the bytes of
 * whoever comes later behind them.
 */
import assert from "node:assert/strict";
import { echo, failing, named, REFUSED } from "./peer.ts";
import type { Pod } from "./peer_link.ts";
import { ManualClock } from "./manual_clock.ts";
import { type Client, echoes, endpoint, until, withBed } from "./support.ts";

const LEAVES = { ready: false, serving: true, terminating: true };

Deno.test("TunnelEngine holds a connection that every leaving pod refuses, and asks each once", async () => {
  await withBed({
    pods: { a: failing(REFUSED), b: failing(REFUSED), c: named("c") },
    endpoints: [endpoint("a", LEAVES), endpoint("b", LEAVES)],
  }, async ({ connect, listener, peer }) => {
    const clients = [await connect()];
    await until(() => peer.opened.a === 1 && peer.opened.b === 1, "both have been asked");
    for (let i = 0; i < 4; i++) clients.push(await connect());
    await until(() => listener.stats.connections === 5, "all are held");
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.deepEqual(peer.opened, { a: 1, b: 1 });
    listener.update([endpoint("a", LEAVES), endpoint("b", LEAVES), endpoint("c")]);
    for (const client of clients) assert.equal(await client.line(), "c");
    assert.equal(listener.stats.failed, 0);
  });
});

Deno.test("TunnelEngine asks a pod again that had refused while it left, once it is ready", async () => {
  let up = false;
  const pod: Pod = (stream) => up ? named("a")(stream) : stream.fail(REFUSED);
  await withBed({ pods: { a: pod }, endpoints: [endpoint("a", LEAVES)] }, async (bed) => {
    const client = await bed.connect();
    await until(() => bed.peer.opened.a === 1, "it has been asked");
    up = true;
    bed.listener.update([endpoint("a")]);
    assert.equal(await client.line(), "a");
    // And when it leaves anew.
    bed.listener.update([endpoint("a", LEAVES)]);
    assert.equal(await (await bed.connect()).line(), "a");
  });
});

Deno.test("TunnelEngine holds a connection that a pod refuses which has just answered", async () => {
  let up = true;
  const pod: Pod = (stream) => up ? echo(stream) : stream.fail(REFUSED);
  await withBed({ pods: { a: pod, b: named("b") }, endpoints: [endpoint("a")] }, async (bed) => {
    await echoes(await bed.connect(), "there");
    up = false;
    const client = await bed.connect();
    await until(() => bed.peer.opened.a === 2, "it has refused");
    // The cluster tells a moment later.
    bed.listener.update([endpoint("a", { ...LEAVES, serving: false })]);
    bed.listener.update([endpoint("b")]);
    assert.equal(await client.line(), "b");
  });
});

Deno.test("TunnelEngine holds a connection whose port has worked, whichever pod refuses now", async () => {
  await withBed({
    pods: { a: named("a"), b: failing(REFUSED), c: named("c") },
    endpoints: [endpoint("a")],
  }, async ({ connect, listener, peer }) => {
    assert.equal(await (await connect()).line(), "a");
    listener.update([endpoint("b")]);
    const client = await connect();
    await until(() => peer.opened.b === 1, "the other has refused");
    listener.update([endpoint("c")]);
    assert.equal(await client.line(), "c");
  });
});

Deno.test("TunnelEngine takes a refusal for the answer where the cluster says nothing for 2 s", async () => {
  const clock = new ManualClock();
  let up = true;
  const pod: Pod = (stream) => up ? echo(stream) : stream.fail(REFUSED);
  await withBed({ pods: { a: pod }, engine: { clock } }, async ({ connect, peer }) => {
    await echoes(await connect(), "there");
    up = false;
    const first = await connect();
    let ended = false;
    const end = first.over(20_000).then(() => ended = true);
    await until(() => peer.opened.a === 2, "it has refused");
    await clock.advance(1400);
    assert.equal(ended, false);
    for (let i = 0; i < 10 && !ended; i++) await clock.advance(250);
    await end;
    // From then on it is refused at once, until it has answered again.
    assert.equal(await (await connect()).over(), 0);
    up = true;
    await echoes(await connect(), "again");
    up = false;
    const tried = peer.opened.a!;
    const held = await connect();
    await until(() => peer.opened.a! > tried, "it has refused again");
    up = true;
    await held.write("held\n");
    for (let i = 0; i < 4; i++) await clock.advance(250);
    assert.equal(await held.line(), "held");
  });
});

Deno.test("What a server has not taken up goes to another pod when its own has died", async () => {
  await withBed({
    pods: { a: echo, b: named("b") },
    takesUp: (turn) => turn !== 1,
    endpoints: [endpoint("a")],
  }, async ({ connect, engine, listener, peer }) => {
    await echoes(await connect(), "up");
    const client = await connect();
    await client.write("sent\n");
    await until(() => peer.links.values().next().value!.seen.includes("DATA 7 5"), "it was sent");
    listener.update([endpoint("a", LEAVES)]);
    engine.retirePod("uid-a");
    listener.update([endpoint("b")]);
    assert.equal(await client.line(), "b");
    assert.equal(await client.line(), "sent");
    assert.equal(listener.stats.failed, 0);
  });
});

for (const way of ["spdy", "channels"] as const) {
  Deno.test(`Connections to a pod that has died end 3 s after its last byte, over ${way}`, async () => {
    const clock = new ManualClock();
    let speak = () => {};
    const silent: Pod = async (stream) => {
      await stream.read();
    };
    const talks: Pod = async (stream) => {
      await stream.read();
      speak = () => void stream.write("late\n");
    };
    let turn = 0;
    await withBed({
      pods: { a: (stream) => turn++ === 0 ? silent(stream) : talks(stream) },
      ways: [way],
      engine: { clock },
    }, async ({ connect, engine, listener, peer }) => {
      const quiet = await connect();
      await quiet.write("x\n");
      await until(() => turn === 1, "the first is taken up");
      const talking = await connect();
      await talking.write("y\n");
      await until(() => turn === 2, "the second is taken up");
      listener.update([endpoint("a", LEAVES)]);
      engine.retirePod("uid-a");
      listener.update([]);
      await clock.advance(2000);
      speak();
      assert.equal(await talking.line(), "late");
      assert.equal(listener.stats.connections, 2);
      await clock.advance(2000);
      assert.equal(await quiet.over(), 0);
      assert.equal(listener.stats.connections, 1);
      await clock.advance(3000);
      assert.equal(await talking.over(), 0);
      await until(() => peer.links.size === 0, "no link is left");
      assert.match(listener.stats.lastFailure!.reason, /is gone/);
    });
  });
}

Deno.test("A pod that has only left a Service's selector keeps its connections", async () => {
  const clock = new ManualClock();
  const silent: Pod = async (stream) => {
    await stream.read();
  };
  await withBed(
    { pods: { a: silent }, engine: { clock } },
    async ({ connect, engine, listener }) => {
      const client = await connect();
      await client.write("x\n");
      await until(() => engine.stats().streams === 1, "it is open");
      engine.retirePod("uid-a");
      listener.update([]);
      await clock.advance(8000);
      assert.equal(listener.stats.connections, 1);
    },
  );
});

/**
 * An API server that starts answers 403 to everybody until its authorizer has read the roles ("RBAC:
 * clusterrole ... not found"): about a second, seen on 1.36.2.
 */
Deno.test("Rights that were there before may be back in a moment, for eight seconds", async () => {
  const clock = new ManualClock();
  const body = JSON.stringify({ kind: "Status", message: 'cannot create resource "x"', code: 403 });
  let denied = true;
  const answer = () =>
    denied ? `HTTP/1.1 403 X\r\nContent-Length: ${body.length}\r\n\r\n${body}` : undefined;
  await withBed({ pods: { a: echo }, answer, engine: { clock } }, async ({ connect, peer }) => {
    assert.equal(await (await connect()).over(), 0, "never had them: at once");
    denied = false;
    await echoes(await connect(), "granted");
    denied = true;
    for (const link of [...peer.links]) link.close();
    const held = await connect();
    await held.write("held\n");
    const asked = peer.requests.length;
    await until(() => peer.requests.length > asked, "it was refused");
    denied = false;
    for (let i = 0; i < 4; i++) await clock.advance(250);
    assert.equal(await held.line(), "held");

    denied = true;
    for (const link of [...peer.links]) link.close();
    const last = await connect();
    let ended = false;
    const end = last.over(20_000).then(() => ended = true);
    await clock.advance(7000);
    assert.equal(ended, false);
    await clock.advance(2500);
    await end;
    assert.equal(await (await connect()).over(), 0, "from then on at once");
  });
});

// ---- kept-alive connections

/** An HTTP server that answers every head with its name. */
function http(name: string): Pod {
  return async (stream) => {
    let text = "";
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
      text += new TextDecoder().decode(bytes);
      for (let at = text.indexOf("\r\n\r\n"); at >= 0; at = text.indexOf("\r\n\r\n")) {
        text = text.slice(at + 4);
        await stream.write(
          `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-pod: ${name}\r\n\r\n${name}\n`,
        );
      }
    }
    if (!stream.gone) await stream.end();
  };
}

async function answered(client: Client): Promise<string> {
  let pod = "";
  for (let line = await client.line(); line !== ""; line = await client.line()) {
    pod = /^x-pod: (.*)/.exec(line)?.[1] ?? pod;
  }
  await client.bytes(2);
  return pod;
}

const GET = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

Deno.test("A kept-alive connection goes on with another pod when its own leaves", async () => {
  await withBed({
    pods: { a: http("a"), b: http("b") },
    endpoints: [endpoint("a")],
  }, async ({ connect, engine, listener, peer }) => {
    const client = await connect();
    await client.write(GET);
    assert.equal(await answered(client), "a");
    // Nothing else is ready: it stays.
    listener.update([endpoint("a", LEAVES)]);
    await client.write(GET);
    assert.equal(await answered(client), "a");
    listener.update([endpoint("a", LEAVES), endpoint("b")]);
    await client.write("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n");
    assert.equal(await answered(client), "b");
    await until(() => engine.stats().streams === 1, "the old stream has ended");
    await client.write(GET);
    assert.equal(await answered(client), "b");
    assert.deepEqual(peer.opened, { a: 1, b: 1 });
    assert.equal(listener.stats.connections, 1);
    assert.equal(listener.stats.accepted, 1);
  });
});

Deno.test("A kept-alive connection that moves fares like a fresh one", async () => {
  const clock = new ManualClock();
  let up = false;
  await withBed({
    pods: {
      a: http("a"),
      b: (stream) => up ? http("b")(stream) : stream.fail(REFUSED),
      c: http("c"),
    },
    endpoints: [endpoint("a")],
    engine: { clock },
  }, async ({ connect, engine, listener, peer }) => {
    const client = await connect();
    // Nearly as much as is kept for a second try.
    const body = "x".repeat(60_000);
    await client.write(`POST / HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n`);
    assert.equal(await answered(client), "a");
    await client.write(body);
    // Long after it was accepted.
    await clock.advance(20_000);
    engine.podLeaves("default/web", "uid-a", true);
    listener.update([endpoint("a"), endpoint("b")]);
    const post = `POST / HTTP/1.1\r\nContent-Length: ${body.length / 6}\r\n\r\n`;
    await client.write(post + body.slice(0, body.length / 6));
    await until(() => peer.opened.b! > 0, "the new pod has refused");
    await clock.advance(1000);
    up = true;
    await clock.advance(1000);
    assert.equal(await answered(client), "b");
    // And on from there.
    up = false;
    listener.update([endpoint("a"), endpoint("b", LEAVES), endpoint("c")]);
    await client.write(GET);
    assert.equal(await answered(client), "c");
    assert.equal(listener.stats.accepted, 1);
  });
});

Deno.test("A kept-alive connection that moves is shown as another one", async () => {
  const seen: string[] = [];
  const tap = {
    watching: true,
    open: ({ pod }: { pod: string }) => ({
      up: (bytes: Uint8Array) => void seen.push(`${pod} up ${bytes.length}`),
      down: () => {},
      close: (reason?: string) => void seen.push(`${pod} ${reason}`),
    }),
  };
  await withBed({
    pods: { a: http("a"), b: http("b") },
    endpoints: [endpoint("a")],
    engine: { tap },
  }, async ({ connect, listener }) => {
    const client = await connect();
    await client.write(GET);
    assert.equal(await answered(client), "a");
    listener.update([endpoint("a", LEAVES), endpoint("b")]);
    await client.write(GET);
    assert.equal(await answered(client), "b");
    const up = `up ${GET.length}`;
    assert.deepEqual(seen, [`a ${up}`, "a its pod leaves", `b ${up}`]);
  });
});

/** Says the next of `answers` each time it gets something, and keeps what it got. */
function scripted(answers: readonly string[], got: string[]): Pod {
  return async (stream) => {
    const left = [...answers];
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
      got.push(new TextDecoder().decode(bytes));
      const answer = left.shift();
      if (answer !== undefined) await stream.write(answer);
    }
  };
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POST = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
const MAIL = `POST / HTTP/1.1\r\nContent-Length: ${GET.length}\r\n`;

Deno.test("Anything but a whole new HTTP request stays with its pod", async () => {
  /** What the program sends, what its pod answers to that, and what the program sends then. */
  const cases: Record<string, readonly [first: string, answer: string, then: string]> = {
    "another protocol": ["hello\n", OK, GET],
    "a tunnel": ["CONNECT x:80 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", GET],
    "another protocol from here on": [
      "POST /attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\n",
      "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n",
      GET,
    ],
    "a request's body": [GET, OK, "not a head\r\n\r\n"],
    "a body that was asked for": [
      `${MAIL}Expect: 100-continue\r\n\r\n`,
      "HTTP/1.1 100 Continue\r\n\r\n",
      GET,
    ],
    "a body that is answered already": [`${MAIL}\r\n`, OK, GET],
    "requests sent ahead": [GET + GET, OK, GET],
    "requests with bodies sent ahead": [`${POST}${POST}`, OK, GET],
    "a request while an answer is still coming": [
      GET,
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok",
      GET,
    ],
  };
  for (const [what, [first, answer, then]] of Object.entries(cases)) {
    const got: string[] = [];
    await withBed({
      pods: { a: scripted([answer, "more"], got), b: named("b") },
      endpoints: [endpoint("a")],
    }, async ({ connect, listener, peer }) => {
      const client = await connect();
      await client.write(first);
      await client.bytes(answer.length);
      listener.update([endpoint("a", LEAVES), endpoint("b")]);
      await client.write(then);
      assert.equal(new TextDecoder().decode(await client.bytes(4)), "more", what);
      assert.deepEqual(got, [first, then], what);
      assert.equal(peer.opened.b, undefined, what);
    });
  }
});
