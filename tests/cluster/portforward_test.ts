import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { WebSocket } from "ws";
import { api, credentials, eventually, podOf, portForwardPath } from "./harness.ts";
import { type Cluster, startCluster } from "./mod.ts";
import { until } from "../until.ts";
import { type Frame, request, SpdyClient } from "./spdy_client.ts";

const RECORDINGS = new URL("../testdata/recordings/", import.meta.url);

/** Server frames of a recorded conversation: `DATA stream=3 FIN len=0`, and their times. */
function recorded(name: string): { frames: string[]; times: number[]; text: string } {
  const text = Deno.readTextFileSync(new URL(name, RECORDINGS));
  const lines = text.split("\n").filter((line) =>
    / ms s>c (DATA|SYN_REPLY|RST_STREAM|PING|GOAWAY)/.test(line)
  );
  const frames = lines.map((line) => {
    const [, kind] = /s>c (\w+)/.exec(line)!;
    const [, stream] = /stream=(\d+)/.exec(line)!;
    const status = /status=(\d+)/.exec(line)?.[1];
    return `${kind} ${stream}${/ FIN /.test(line) ? " FIN" : ""}${status ? ` ${status}` : ""}`;
  });
  return { frames, times: lines.map((line) => Number(/^\s*(\d+) ms/.exec(line)![1])), text };
}

function shape(frames: readonly Frame[]): string[] {
  return frames.map((frame) =>
    `${frame.kind} ${frame.stream}${frame.fin ? " FIN" : ""}` +
    (frame.kind === "RST_STREAM" ? ` ${frame.body.readUInt32BE(4)}` : "")
  );
}

async function open(cluster: Cluster, workload: string): Promise<SpdyClient> {
  const path = portForwardPath(await podOf(cluster, workload));
  return SpdyClient.open(await credentials(cluster, "admin"), path);
}

function withCluster(
  name: string,
  run: (cluster: Cluster) => Promise<void>,
  options: Parameters<typeof startCluster>[0] = {},
): void {
  Deno.test(name, async () => {
    const cluster = await startCluster(options);
    try {
      await run(cluster);
    } finally {
      await cluster.close();
    }
  });
}

/** Sandbox and network namespace ids, socket ports: what differs from run to run. */
function anonymous(text: string): string {
  return text.replace(/[0-9a-f]{64}/g, "SANDBOX").replace(/cni-[0-9a-f-]{36}/, "CNI")
    .replace(/127\.0\.0\.1:\d{5}/g, "LOCAL");
}

withCluster("portforward over SPDY goes as recorded", async (cluster) => {
  const echo = recorded("portforward-spdy-echo.txt");
  let client = await open(cluster, "echo");
  const opened = client.connect(8081);
  client.data(opened.data, "hello");
  await client.until((frame) => frame.kind === "DATA" && frame.body.toString() === "hello");
  const before = performance.now();
  client.data(opened.data, "", true);
  await client.until((frame) => frame.fin && frame.stream === opened.error);
  const cut = performance.now() - before;
  assert.deepEqual(shape(client.frames), echo.frames);
  const lengths = client.frames.filter((f) => f.kind === "SYN_REPLY").map((f) => f.length);
  assert.deepEqual(lengths, [20, 14], "header blocks as long as Go's");
  assert.ok(cut >= 990 && cut < 1_500, `one second after the half-close, not ${cut} ms`);

  // The same link is good for more, and answers PING.
  client.ping(1);
  await client.until((frame) => frame.kind === "PING" && frame.stream === 1);
  await client.close();

  const refused = recorded("portforward-spdy-refused.txt");
  client = await open(cluster, "echo");
  const closed = client.connect(9999);
  await client.until((frame) => frame.kind === "RST_STREAM");
  assert.deepEqual(shape(client.frames), refused.frames);
  const text = /DATA stream=1 len=\d+ b'(.*)'/.exec(refused.text)![1]!;
  assert.ok(anonymous(client.text(closed.error)).startsWith(anonymous(text)));
  const length = Number(/DATA stream=1 len=(\d+)/.exec(refused.text)![1]);
  assert.equal(client.text(closed.error).length, length);
  // Refused is no reason to give up the link.
  const again = client.connect(8081);
  client.data(again.data, "more");
  await client.until((frame) => frame.body.toString() === "more");
  await client.close();

  const reset = recorded("portforward-spdy-rst.txt");
  client = await open(cluster, "echo");
  const broken = client.connect(8084);
  const sent = performance.now();
  client.data(broken.data, "hello");
  await client.until((frame) => frame.kind === "RST_STREAM");
  const late = performance.now() - sent;
  assert.deepEqual(shape(client.frames), reset.frames);
  assert.ok(late >= 990 && late < 1_500, `one second after the reset, not ${late} ms`);
  const resetText = /DATA stream=1 len=\d+ b'(.*)'/.exec(reset.text)![1]!;
  assert.equal(anonymous(client.text(broken.error)), anonymous(resetText));
  await client.close();
});

withCluster("a pod that closes first is heard a second late", async (cluster) => {
  await cluster.control.apply({
    objects: [{
      kind: "Pod",
      metadata: { name: "closer", namespace: "sample-project" },
      spec: { containers: [{ name: "c", args: ["close=7000?text=bye"] }] },
    }],
  });
  const path = portForwardPath("closer");
  const client = await SpdyClient.open(await credentials(cluster, "admin"), path);
  const { data } = client.connect(7000);
  const word = await client.until((frame) => frame.kind === "DATA" && frame.length === 3);
  const fin = await client.until((frame) => frame.stream === data && frame.fin);
  assert.ok(fin.at - word.at >= 950 && fin.at - word.at < 1_500, `${fin.at - word.at} ms`);
  await client.close();
});

withCluster(
  "the link of a deleted pod is a zombie: up, answering PING, useless",
  async (cluster) => {
    const client = await open(cluster, "web");
    const name = await podOf(cluster, "web");
    const held = client.connect(8080);
    await client.until((frame) => frame.kind === "SYN_REPLY" && frame.stream === held.data);
    await cluster.control.remove({ resource: "pods", namespace: "sample-project", name });
    await client.until((frame) => frame.stream === held.data && frame.fin);
    await eventually(
      "the pod is gone",
      async () => !(await cluster.control.pods()).some((pod) => pod.name === name),
    );
    client.ping(3);
    await client.until((frame) => frame.kind === "PING" && frame.stream === 3);
    const next = client.connect(8080);
    await client.until((frame) => frame.kind === "RST_STREAM" && frame.stream === next.error);
    assert.match(
      client.text(next.error),
      /^error forwarding port 8080 to pod \w{64}, uid : failed to find sandbox "\w{64}" in store: not found$/,
    );
    assert.equal(client.closed, false);
    await client.close();
  },
);

withCluster("broken SPDY ends in GOAWAY", async (cluster) => {
  const unflushed = await open(cluster, "echo");
  unflushed.syn({ streamtype: "error", port: "8081", requestid: "0" }, false);
  await unflushed.until((frame) => frame.kind === "GOAWAY");
  await eventually("the connection ends", () => unflushed.closed);

  const garbage = await open(cluster, "echo");
  garbage.control(1, Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.alloc(40, 7)]));
  await garbage.until((frame) => frame.kind === "GOAWAY");
  await eventually("the connection ends", () => garbage.closed);
});

withCluster("streams without headers are reset, lonely ones time out", async (cluster) => {
  const client = await open(cluster, "echo");
  const bad = client.syn({ streamtype: "data", requestid: "9" });
  await client.until((frame) => frame.kind === "RST_STREAM" && frame.stream === bad);
  const lonely = client.syn({ streamtype: "error", port: "8081", requestid: "10" });
  await client.until((frame) => frame.kind === "DATA" && frame.stream === lonely);
  assert.match(client.text(lonely), /request=10\) timed out waiting for streams$/);
  await client.close();
}, { forward: { streamCreationMs: 100 } });

withCluster(
  "one stalled reader stalls its worker, then its link, and only that",
  async (cluster) => {
    await cluster.control.apply({
      objects: [{
        kind: "Pod",
        metadata: { name: "mixed", namespace: "sample-project" },
        spec: { containers: [{ name: "c", args: ["stall=7000", "echo=7001"] }] },
      }],
    });
    const options = await credentials(cluster, "admin");
    const path = portForwardPath("mixed");
    const client = await SpdyClient.open(options, path);
    const echoed = async (id: number, text: string, timeoutMs = 5_000) => {
      client.data(id, text);
      await client.until((frame) => frame.body.toString() === text, timeoutMs);
    };
    const stalled = client.connect(7000);
    const others = Array.from({ length: 5 }, () => client.connect(7001));
    for (const { data } of others) await echoed(data, `before ${data}`);
    const beside = others.filter(({ data }) => data % 5 !== stalled.data % 5);
    const behind = others.filter(({ data }) => data % 5 === stalled.data % 5);
    assert.deepEqual([beside.length, behind.length], [4, 1]);
    // More than every socket buffer on the way to the pod, in fewer frames than wait for a worker.
    const block = Buffer.alloc(1 << 20);
    for (let i = 0; i < 24; i++) client.data(stalled.data, block);
    for (const { data } of beside) await echoed(data, `beside ${data}`);
    await assert.rejects(echoed(behind[0]!.data, "behind", 700));
    // PINGs take turns.
    for (let i = 0; i < 5; i++) client.ping(101 + 2 * i);
    const pings = () => client.frames.filter((frame) => frame.kind === "PING").length;
    await until("four of five PINGs are answered", () => pings() === 4);
    for (let i = 0; i < 60; i++) client.data(stalled.data, "more");
    await assert.rejects(echoed(beside[0]!.data, "behind all", 700));
    assert.equal(pings(), 4);
    const other = await SpdyClient.open(options, path);
    const fine = other.connect(7001);
    other.data(fine.data, "other");
    await other.until((frame) => frame.body.toString() === "other");
    await client.close();
    await other.close();
  },
);

withCluster("what is sent before the pod is connected arrives in order", async (cluster) => {
  const client = await open(cluster, "echo");
  for (let round = 0; round < 20; round++) {
    const { data } = client.connect(8081);
    const text = Array.from({ length: 8 }, (_, i) => `${round}/${i};`);
    for (const piece of text) client.data(data, piece);
    const received = () =>
      client.frames.filter((frame) => frame.kind === "DATA" && frame.stream === data)
        .map((frame) => frame.body.toString()).join("");
    await until("all of it is back", () => received().length === text.join("").length);
    assert.equal(received(), text.join(""));
  }
  await client.close();
});

withCluster("refusals are the real ones", async (cluster) => {
  const pod = await podOf(cluster, "echo");
  const path = portForwardPath(pod);
  const upgrade = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n";
  const good = "X-Stream-Protocol-Version: portforward.k8s.io\r\n";
  const ask = async (context: string, head: string) =>
    (await request(await credentials(cluster, context), head)).answer;

  const plain = await api(cluster, "token", path, { method: "POST" });
  assert.equal(plain.status, 400);
  assert.equal((await plain.json()).message, "Upgrade request required");

  const protocol = await ask(
    "admin",
    `POST ${path} HTTP/1.1\r\n${upgrade}X-Stream-Protocol-Version: v9.k8s.io\r\n`,
  );
  assert.equal(protocol.status, 403);
  assert.match(protocol.body, /^unable to upgrade: unable to negotiate protocol/);

  const denied = await ask("none", `POST ${path} HTTP/1.1\r\n${upgrade}${good}`);
  assert.equal(denied.status, 403);
  assert.deepEqual(JSON.parse(denied.body), {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: `pods "${pod}" is forbidden: User "none-user" cannot create resource ` +
      '"pods/portforward" in API group "" in the namespace "sample-project"',
    reason: "Forbidden",
    details: { name: pod, kind: "pods" },
    code: 403,
  });

  const missing = await ask(
    "admin",
    `POST ${portForwardPath("nope")} HTTP/1.1\r\n${upgrade}${good}`,
  );
  assert.equal(missing.status, 404);
  assert.equal(JSON.parse(missing.body).message, 'pods "nope" not found');

  const { url, ca } = await credentials(cluster, "admin");
  const unknown = (await request(
    { url, ca, headers: { Authorization: "Bearer nobody" } },
    `POST ${path} HTTP/1.1\r\n${upgrade}${good}`,
  )).answer;
  assert.equal(unknown.status, 401);
  assert.equal(JSON.parse(unknown.body).message, "Unauthorized");

  // The WebSocket way asks for `get` and `create`; the least user has `create` only.
  const websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
    "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n";
  const least = await ask("least", `GET ${path} HTTP/1.1\r\n${websocket}`);
  assert.equal(least.status, 403);
  assert.match(JSON.parse(least.body).message, /cannot get resource "pods\/portforward"/);
  const spdy = await SpdyClient.open(await credentials(cluster, "least"), path);
  await spdy.close();
  await cluster.control.setRules({
    user: "none-user",
    rules: [{ verbs: ["get"], resources: ["pods/portforward"] }],
  });
  const reader = await ask("none", `GET ${path} HTTP/1.1\r\n${websocket}`);
  assert.equal(reader.status, 403);
  assert.equal(JSON.parse(reader.body).message, `pods "${pod}" is forbidden: `);
});

Deno.test("client certificates: trusted, expired, and of another authority", async () => {
  const users = [
    {
      context: "good",
      user: "good",
      via: "certificate",
      rules: [{ verbs: ["*"], resources: ["*"] }],
    },
    { context: "old", user: "old", via: "certificate", rules: [], certificateLifetimeMs: -60_000 },
  ] as const;
  await using cluster = await startCluster({ users });
  await using other = await startCluster({ fixtures: "empty" });
  const ask = async (from: Cluster, context: string) => {
    const { cert, key } = await credentials(from, context);
    const { url, ca } = await credentials(cluster, "good");
    const options = { url, ca, ...(cert && key ? { cert, key } : {}) };
    const head = "GET /api/v1/namespaces/sample-project/pods HTTP/1.1\r\n";
    return (await request(options, head)).answer.status;
  };
  assert.equal(await ask(cluster, "good"), 200);
  assert.equal(await ask(cluster, "old"), 401);
  assert.equal(await ask(other, "admin"), 401);
});

async function webSocket(cluster: Cluster, path: string, protocol: string): Promise<WebSocket> {
  const { url, ca, headers } = await credentials(cluster, "token");
  const socket = new WebSocket(`${url.replace("https", "wss")}${path}`, protocol, {
    ca,
    headers: headers ?? {},
  });
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  return socket;
}

withCluster("portforward over WebSocket channels", async (cluster) => {
  const path = `${portForwardPath(await podOf(cluster, "echo"))}?ports=8081`;
  const { url, ca, headers } = await credentials(cluster, "token");
  const socket = new WebSocket(`${url.replace("https", "wss")}${path}`, "v4.channel.k8s.io", {
    ca,
    headers: headers ?? {},
  });
  const messages: Buffer[] = [];
  socket.on("message", (message: Buffer) => messages.push(message));
  await eventually("two port messages", () => messages.length === 2);
  assert.deepEqual(messages.map((one) => one.toString("hex")), ["00911f", "01911f"]);
  socket.send(Buffer.from("\x00hello"));
  await eventually("an echo", () => messages.length === 3);
  assert.equal(messages[2]!.toString(), "\x00hello");
  socket.close();
  await eventually(
    "no link is left",
    async () => (await cluster.control.counters()).links.length === 0,
  );

  const refusing = await webSocket(cluster, path.replace("8081", "9999"), "v4.channel.k8s.io");
  const texts: string[] = [];
  refusing.on("message", (message: Buffer) => texts.push(message.toString()));
  await new Promise((resolve) => refusing.once("close", resolve));
  assert.equal(texts.at(-1)!.charCodeAt(0), 1);
  assert.match(texts.at(-1)!, /error forwarding port 9999 .* connection refused/);
});

/** A masked client frame with one byte. */
function tiny(byte: number): Buffer {
  const mask = [1, 2, 3, 4];
  return Buffer.from([0x82, 0x81, ...mask, byte ^ 1]);
}

withCluster("a large download is whole, in large writes and record by record", async (cluster) => {
  const size = 5_000_000;
  for (const single of [false, true]) {
    await cluster.control.records({ single });
    const client = await open(cluster, "web");
    const { data } = client.connect(8080);
    client.data(data, `GET /bytes?n=${size} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`);
    await client.until((frame) => frame.kind === "DATA" && frame.stream === data && frame.fin);
    const frames = client.frames.filter((frame) => frame.kind === "DATA" && frame.stream === data);
    const all = Buffer.concat(frames.map(({ body }) => body));
    const body = all.subarray(all.indexOf("\r\n\r\n") + 4);
    assert.equal(body.length, size);
    assert.ok(body.equals(Buffer.alloc(size, "0123456789abcdef")), "not one byte is out of place");
    const largest = Math.max(...frames.map((frame) => frame.body.length));
    assert.equal(largest, single ? 16_384 : 32_768);
    await client.close();
  }
});

withCluster("portforward over SPDY in WebSocket, whatever the message borders", async (cluster) => {
  const path = portForwardPath(await podOf(cluster, "echo"));
  const { answer, socket, rest } = await request(
    await credentials(cluster, "admin"),
    `GET ${path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: qPiQaCka/Cq1EHgCf0eXXA==\r\n" +
      "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n",
  );
  assert.equal(answer.status, 101);
  // Key and accept key of the recording.
  assert.equal(answer.headers.get("sec-websocket-accept"), "Y1R7IqErHGtCoqF3ocIcEF3GQFM=");
  assert.equal(answer.headers.get("sec-websocket-protocol"), "SPDY/3.1+portforward.k8s.io");
  let received = rest;
  socket.on("data", (chunk: Buffer) => received = Buffer.concat([received, chunk]));
  socket.resume();
  // A client that thinks it writes to a socket; its bytes go out one by one.
  const sent: Buffer[] = [];
  const client = new SpdyClient(
    {
      on() {},
      resume() {},
      write: (bytes: Buffer) => sent.push(bytes),
    } as unknown as typeof socket,
    Buffer.alloc(0),
  );
  const { data } = client.connect(8081);
  client.data(data, "hello");
  for (const byte of Buffer.concat(sent)) socket.write(tiny(byte));
  // The pod may answer in any number of frames.
  await eventually(
    "five bytes back",
    async () => (await cluster.control.counters()).links[0]?.bytesDown === 5,
  );
  await eventually("the last of them here", () => received.at(-1) === "o".charCodeAt(0));
  socket.destroy();
});
