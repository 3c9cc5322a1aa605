import assert from "node:assert/strict";
import fc from "fast-check";
import { HttpTurns } from "../../src/tunnel/http_turns.ts";
import { text } from "./wire.ts";

/** What `up` says of each piece; `<` stands for something from the pod. */
function turns(...pieces: string[]): boolean[] {
  const http = new HttpTurns();
  const said: boolean[] = [];
  for (const piece of pieces) {
    if (piece === "<") http.down();
    else said.push(http.up(text(piece)));
  }
  return said;
}

const GET = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const POST = "POST /a?b=c HTTP/1.0\r\nContent-Length: 4\r\n\r\n";

Deno.test("HttpTurns sees a request that begins after the last one's answer", () => {
  assert.deepEqual(turns(GET, "<", GET, "<", POST + "body", "<", GET), [false, true, true, true]);
  // In pieces: what begins it counts.
  assert.deepEqual(turns("GET / HTTP/1.1\r\nHo", "st: web\r\n\r\n", "<", GET), [
    false,
    false,
    true,
  ]);
  assert.deepEqual(turns(POST, "body", "<", GET), [false, false, true]);
});

Deno.test("HttpTurns: what was asked for before the answer ends it for good", () => {
  assert.deepEqual(turns(GET, GET, "<", GET, "<", GET), [false, false, false, false]);
  assert.deepEqual(turns(GET, "<", GET + GET, "<", GET), [false, false, false]);
  assert.deepEqual(turns(GET + GET, "<", GET), [false, false]);
  // An answer that came before the body had left.
  assert.deepEqual(turns(POST, "<", "body", GET, "<", GET), [false, false, false, false]);
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
  ) assert.deepEqual(turns(other, "<", GET, "<", GET), [false, false, false], other);
});

Deno.test("HttpTurns takes any bytes", () => {
  fc.assert(fc.property(
    fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }),
    (pieces) => {
      const http = new HttpTurns();
      for (const piece of pieces) {
        assert.equal(http.up(piece), false);
        http.down();
      }
    },
  ));
});
