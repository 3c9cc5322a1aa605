import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { Attention } from "../../src/inspector/attention.ts";
import { captureSource } from "../../src/inspector/capture.ts";
import { type Exchange, keptBytes } from "../../src/inspector/exchange.ts";
import { RequestStore, type StoreLimits } from "../../src/inspector/store.ts";
import type { Clock } from "../../src/model/clock.ts";
import { silentLogger } from "../../src/model/log.ts";
import type { ConnectionTap } from "../../src/model/tap.ts";

const INFO = { namespace: "shop", service: "web", port: 80, pod: "web-1" };
const GET = "GET / HTTP/1.1\r\n\r\n";

function bench(limits: Partial<StoreLimits> = {}) {
  let time = 1000;
  const clock: Clock = {
    now: () => 1_700_000_000_000 + time,
    monotonic: () => time,
    sleep: () => Promise.resolve(),
    after: () => () => {},
  };
  const attention = new Attention(clock);
  attention.mode = "on";
  const errors: string[] = [];
  const log = {
    ...silentLogger,
    error: (_: string, fields?: object) => errors.push(JSON.stringify(fields)),
  };
  const store = new RequestStore(
    { requests: 500, bytes: 16e6, body: 64 * 1024, ...limits },
    () => {},
    () => {},
  );
  const source = captureSource({ clock, log, attention, store, replayOf: () => undefined });
  const all = () => [...store.newest()].reverse();
  return {
    attention,
    store,
    source,
    errors,
    all,
    pass: (ms: number) => time += ms,
    open: () => source.open(INFO)!,
  };
}

/** Chunks are lent: what is kept must have been copied before the next line. */
function lend(text: string, use: (chunk: Uint8Array) => void) {
  const chunk = Buffer.from(text, "latin1");
  use(chunk);
  chunk.fill(0x58);
}

function up(tap: ConnectionTap, text: string) {
  lend(text, (chunk) => tap.up(chunk));
}

function down(tap: ConnectionTap, text: string) {
  lend(text, (chunk) => tap.down(chunk));
}

function told(exchange: Exchange) {
  return [
    exchange.request.method,
    exchange.request.target,
    exchange.response?.status,
    exchange.state,
    exchange.response && Buffer.from(keptBytes(exchange.response.body)).toString("latin1"),
  ];
}

Deno.test("keep-alive and pipelined requests meet their answers, in order", () => {
  const { open, all } = bench();
  const tap = open();
  up(
    tap,
    "GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nPOST /3 HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
  );
  down(tap, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
  down(tap, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 201 Created\r\n");
  down(tap, "Transfer-Encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n");
  up(tap, "GET /4 HTTP/1.1\r\n\r\n");
  down(tap, "HTTP/1.0 404 No\r\n\r\nuntil the end");
  assert.equal(all().at(-1)!.state, "receiving");
  tap.close();
  assert.deepEqual(all().map(told), [
    ["GET", "/1", 200, "done", "one"],
    ["HEAD", "/2", 200, "done", ""],
    ["POST", "/3", 201, "done", "three"],
    ["GET", "/4", 404, "done", "until the end"],
  ]);
});

Deno.test("first byte and end are timed from the request's head", () => {
  const { open, all, pass } = bench();
  const tap = open();
  up(tap, "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\no");
  pass(5);
  up(tap, "k");
  pass(10);
  down(tap, "HTTP/1.1 100 Continue\r\n\r\n");
  pass(7);
  down(tap, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
  pass(20);
  down(tap, "k");
  const [exchange] = all();
  assert.equal(exchange!.firstByteMs, 22);
  assert.equal(exchange!.totalMs, 42);
  assert.equal(exchange!.startedAt, 1_700_000_001_000);
});

Deno.test("an upgrade ends the reading; what follows is left alone", () => {
  const { open, all, store } = bench();
  const tap = open();
  up(tap, "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  down(tap, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n\x81\x05hello");
  up(tap, "\x81\x85....");
  down(tap, "\x81\x05hello");
  tap.close();
  const [exchange] = all();
  assert.deepEqual([exchange!.state, exchange!.upgraded, exchange!.response!.body.size], [
    "upgraded",
    "websocket",
    0,
  ]);
  assert.deepEqual(store.others, []);
  const tunnel = open();
  up(tunnel, "CONNECT db:5432 HTTP/1.1\r\n\r\n");
  down(tunnel, "HTTP/1.1 200 OK\r\n\r\n\0\0");
  assert.equal(all()[1]!.upgraded, "connect");
});

Deno.test("connections that are not HTTP/1.1 are counted with the reason and nothing else", () => {
  const { open, store } = bench();
  const tls = open();
  up(tls, "\x16\x03\x01");
  down(tls, "\x16\x03\x03");
  tls.close();
  up(open(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  up(open(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const mysql = open();
  down(mysql, "\x4a\0\0\0\x0a8.0.35\0");
  up(mysql, "\x20\0\0\x01");
  mysql.close();
  const silent = open();
  silent.close();
  assert.equal(store.size, 0);
  assert.deepEqual(store.others.map(({ reason, count }) => [reason, count]), [
    ["TLS", 1],
    ["HTTP/2", 2],
    ["not HTTP/1.1", 1],
  ]);
});

Deno.test("a connection that breaks leaves its request failed, with the reason", () => {
  const { open, all } = bench();
  const cut = open();
  up(cut, GET);
  down(cut, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour");
  cut.close();
  const reset = open();
  up(reset, GET);
  reset.close("connection reset by peer");
  const nonsense = open();
  up(nonsense, GET);
  down(nonsense, "SSH-2.0-OpenSSH_9.6\r\n");
  assert.deepEqual(all().map(({ state, error }) => [state, error]), [
    ["failed", "The answer cannot be followed: closed in the middle of a message"],
    ["failed", "connection reset by peer"],
    ["failed", "The answer cannot be followed: not HTTP/1.1"],
  ]);
});

Deno.test("with nobody looking nothing is captured, and what was open is let go", () => {
  const { open, all, attention, source, pass } = bench();
  const tap = open();
  up(tap, GET);
  attention.mode = "off";
  assert.equal(source.watching, false);
  assert.equal(source.open(INFO), undefined);
  down(tap, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  attention.mode = "on";
  up(tap, GET);
  assert.deepEqual(all().map(({ state, error }) => [state, error]), [
    ["failed", "Nobody was looking any more"],
  ]);
  attention.mode = "auto";
  assert.equal(source.watching, false);
  const leave = attention.enter();
  assert.equal(source.watching, true);
  leave();
  leave();
  pass(29_999);
  assert.equal(source.watching, true);
  pass(1);
  assert.equal(source.watching, false);
});

Deno.test("bodies are kept up to the limit and counted beyond it", () => {
  const { open, all } = bench({ body: 10 });
  const tap = open();
  up(tap, `POST / HTTP/1.1\r\nContent-Length: 25\r\n\r\n${"u".repeat(25)}`);
  down(tap, `HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n${"d".repeat(9)}`);
  const [{ request, response }] = all() as [Exchange];
  assert.deepEqual([request.body.size, request.body.keptSize], [25, 10]);
  assert.deepEqual([response!.body.size, response!.body.keptSize], [9, 9]);
});

Deno.test("the store stays within its limits whatever comes, and forgets the oldest", () => {
  const wire = fc.array(
    fc.record({
      connection: fc.nat(3),
      up: fc.boolean(),
      text: fc.oneof(
        fc.constantFrom(
          GET,
          "POST /p HTTP/1.1\r\nContent-Length: 400\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
          "40\r\n",
          "x".repeat(200),
          "HTTP/1.1 101 Up\r\n\r\n",
        ),
        fc.string({ maxLength: 30 }),
      ),
    }),
    { maxLength: 80 },
  );
  fc.assert(
    fc.property(wire, (steps) => {
      const limits = { requests: 6, bytes: 9000, body: 256 };
      const { open, store, all, errors } = bench(limits);
      const taps = new Map<number, ConnectionTap>();
      for (const step of steps) {
        const tap = taps.get(step.connection) ?? open();
        taps.set(step.connection, tap);
        if (step.up) up(tap, step.text);
        else down(tap, step.text);
        assert.ok(store.size <= limits.requests);
        assert.ok(store.bytes <= limits.bytes);
        const kept = all().reduce(
          (sum, { request, response }) =>
            sum + request.body.keptSize + (response?.body.keptSize ?? 0),
          0,
        );
        assert.ok(kept <= store.bytes);
        assert.equal(store.bytes, all().reduce((sum, { cost }) => sum + cost, 0));
      }
      for (const tap of taps.values()) tap.close();
      assert.ok(all().every(({ state }) => state !== "waiting" && state !== "receiving"));
      assert.deepEqual(errors, []);
    }),
    { numRuns: 300 },
  );
});

Deno.test("a flood of unanswered requests on one connection is not followed", () => {
  const { open, all, store } = bench();
  const tap = open();
  up(tap, GET.repeat(1000));
  assert.equal(store.size, 64);
  tap.close();
  assert.ok(all().every(({ state }) => state === "failed"));
});
