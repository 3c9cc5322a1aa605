import assert from "node:assert/strict";
import fc from "fast-check";
import { HttpMessage } from "../../src/tunnel/http_message.ts";
import { HttpTurns } from "../../src/tunnel/http_turns.ts";
import { text } from "./wire.ts";

/** What `up` says of each piece; one that begins with `<` comes from the pod. */
function turns(...pieces: string[]): boolean[] {
  const http = new HttpTurns();
  const said: boolean[] = [];
  for (const piece of pieces) {
    if (piece.startsWith("<")) http.down(text(piece.slice(1)));
    else said.push(http.up(text(piece)));
  }
  return said;
}

/** What it says of a request sent at the end. */
function moves(...pieces: string[]): boolean {
  return turns(...pieces, GET).at(-1)!;
}

const GET = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const POST = "POST /a?b=c HTTP/1.0\r\nContent-Length: 4\r\n\r\n";
const HEAD = "HEAD / HTTP/1.1\r\nHost: web\r\n\r\n";
const CHUNKED_POST = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK = "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED = "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

Deno.test("HttpTurns sees a request that begins after the last one's answer", () => {
  assert.deepEqual(turns(GET, OK, GET, OK, POST + "body", OK, GET), [false, true, true, true]);
  // In pieces: what begins it counts.
  assert.deepEqual(turns("GET / HTTP/1.1\r\nHo", "st: web\r\n\r\n", OK, GET), [
    false,
    false,
    true,
  ]);
  assert.deepEqual(turns(POST, "body", OK, GET), [false, false, true]);
  assert.deepEqual(turns(POST, "bo", OK, "dy", GET), [false, false, false, true]);
});

Deno.test("HttpTurns knows where an answer ends", () => {
  const whole = [
    [CHUNKED + "2\r\nok\r\n0\r\n\r\n"],
    [CHUNKED + "2;a=b\r\nok\r\n00\r\nx-sum: 1\r\n", "<\r", "<\n"],
    ["<HTTP/1.1 204 No Content\r\n\r\n"],
    ["<HTTP/1.0 304 Not Modified\r\nContent-Length: 70\r\n\r\n"],
    ["<HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK],
    ["<HTTP/1.1 100 Continue\r\n\r\n" + OK.slice(1)],
    ["<HTTP/1.1 200 OK\r\ncontent-LENGTH:2 \r\n\r\no", "<k"],
    ["<HTTP/1.1 200 OK\nContent-Length: 2\n\nok"],
    ["<HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"],
  ];
  for (const answer of whole) assert.equal(moves(GET, ...answer), true, answer.join());
  assert.equal(moves(HEAD, "<HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"), true);
  const notYet = [
    ["<HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"],
    ["<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"],
    ["<HTTP/1.1 100 Continue\r\n\r\n"],
    [CHUNKED + "2\r\nok\r\n"],
    [CHUNKED + "2\r\nok\r\n0\r\nx: y\r\n"],
    [CHUNKED + "5\r\n0\r\n\r\n"],
    ["<HTTP/1.0 200 OK\r\n\r\nuntil the end"],
  ];
  for (const answer of notYet) assert.equal(moves(GET, ...answer), false, answer.join());
});

Deno.test("HttpTurns: what was asked for before the answer ends it for good", () => {
  const ahead = [
    [GET, GET, OK, OK],
    [GET, OK, GET + GET, OK, OK],
    [GET + GET, OK, OK],
    // Behind a body, where the next one cannot be seen but by its length.
    [POST + "body" + POST + "body", OK, OK],
    [CHUNKED_POST + "4\r\nbody\r\n0\r\n\r\n" + GET, OK, OK],
    // While an answer is still coming.
    [GET, "<HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo", GET, "<dy", OK],
    [GET, CHUNKED + "2\r\nok\r\n", GET, "<0\r\n\r\n", OK],
  ];
  for (const pieces of ahead) assert.equal(moves(...pieces), false, pieces.join());
});

Deno.test("HttpTurns takes no request's body for the next request", () => {
  const mail = GET;
  const head = (more: string) => `POST / HTTP/1.1\r\nContent-Length: ${mail.length}\r\n${more}\r\n`;
  assert.deepEqual(turns(head(""), mail, OK), [false, false]);
  // Asked for, and answered, before it has left.
  const asked = [head("Expect: 100-continue\r\n"), "<HTTP/1.1 100 Continue\r\n\r\n", mail];
  assert.deepEqual(turns(...asked), [false, false]);
  assert.equal(moves(...asked, OK), true);
  assert.deepEqual(turns(head(""), OK, mail), [false, false]);
  assert.equal(moves(head(""), OK, mail), true);
  assert.deepEqual(turns(CHUNKED_POST, OK, `${mail.length.toString(16)}\r\n`, mail, "\r\n"), [
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("HttpTurns: what is HTTP no more never moves again", () => {
  const switched = "<HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\n\r\n";
  assert.equal(moves("GET /x HTTP/1.1\r\nUpgrade: tcp\r\n\r\n", switched, "<hello"), false);
  assert.equal(moves("GET /x HTTP/1.1\r\nUpgrade: tcp\r\n\r\n", switched), false);
  // A proxy behind a Service, asked for a tunnel second.
  const tunnel = [
    "CONNECT web:80 HTTP/1.1\r\n\r\n",
    "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
  ];
  assert.equal(moves(GET, OK, ...tunnel), false);
  assert.deepEqual(turns(GET, OK, ...tunnel, GET, OK, GET), [false, false, false, false]);
});

Deno.test("HttpTurns stays away from what does not say clearly how long it is", () => {
  const doubtful = [
    "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "<HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
    "<HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 2\r\n\r\nok",
    "<HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    CHUNKED + "x\r\n\r\n",
    CHUNKED + "\r\n\r\n",
    CHUNKED + "0000000000000\r\n\r\n",
    "<ok",
    "<SSH-2.0-x\r\n\r\n",
    // More than was asked for.
    OK + OK.slice(1),
    OK + "\r\n",
  ];
  for (const answer of doubtful) assert.equal(moves(GET, answer), false, answer);
  const endless = "<HTTP/1.1 200 OK\r\nX: " + "y".repeat(20_000);
  assert.equal(moves(GET, endless, "<\r\nContent-Length: 0\r\n\r\n"), false);
  assert.equal(moves("GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", OK), false);
  assert.equal(moves(GET, OK, "GET / HTTP/1.1", OK), false);
});

Deno.test("HttpTurns knows nothing else", () => {
  for (
    const other of [
      "hello",
      "\x16\x03\x01",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "CONNECT x:80 HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1",
      "get / HTTP/1.1\r\n\r\n",
      "GET HTTP/1.1\r\n\r\n",
      "QUIT\r\n",
    ]
  ) assert.deepEqual(turns(other, OK, GET, OK, GET), [false, false, false], other);
});

Deno.test("HttpTurns takes any bytes", () => {
  fc.assert(fc.property(
    fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }),
    (pieces) => {
      const http = new HttpTurns();
      http.up(text(GET));
      for (const piece of pieces) {
        assert.equal(http.up(piece), false);
        http.down(piece);
      }
    },
  ));
});

Deno.test("HttpMessage ends at the same byte, however it is cut", () => {
  const body = fc.uint8Array({ maxLength: 300 });
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 5 });
  const latin = (bytes: Uint8Array) => String.fromCharCode(...bytes);
  const whole = fc.oneof(
    body.map((bytes) =>
      `HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: ${bytes.length}\r\n\r\n${latin(bytes)}`
    ),
    fc.tuple(chunks, fc.constantFrom("", "A: b\r\nC: d\r\n")).map(([pieces, trailer]) =>
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n${
        pieces.map((one) => `${one.length.toString(16)}\r\n${latin(one)}\r\n`).join("")
      }0\r\n${trailer}\r\n`
    ),
  );
  fc.assert(fc.property(whole, fc.array(fc.integer({ min: 0, max: 400 })), (message, cuts) => {
    const bytes = Uint8Array.from(message + "behind", (char) => char.charCodeAt(0));
    const at = [
      ...cuts.filter((cut) => cut < bytes.length).toSorted((a, b) => a - b),
      bytes.length,
    ];
    const answer = new HttpMessage("answer");
    let used = 0;
    let from = 0;
    for (const to of at) {
      used += answer.push(bytes.subarray(from, to));
      assert.equal(answer.state === "done", to >= message.length);
      from = to;
    }
    assert.equal(used, message.length);
    assert.equal(answer.status, 200);
  }));
});
