import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import {
  type Head,
  MAX_HEAD,
  MessageReader,
  requestFraming,
  responseFraming,
} from "../../src/inspector/http1.ts";

interface Read {
  heads: Head[];
  bodies: string[];
  /** Messages that ended. */
  ended: number;
  stops: string[];
}

/** Feeds bytes in the given pieces and says what was read. */
function read(kind: Head["kind"], pieces: readonly Uint8Array[], finish = false): Read {
  const found: Read = { heads: [], bodies: [], ended: 0, stops: [] };
  const reader = new MessageReader(kind, {
    head(head) {
      found.heads.push(head);
      found.bodies.push("");
      return head.kind === "request" ? requestFraming(head) : responseFraming(head, "GET");
    },
    body: (bytes) =>
      found.bodies.push((found.bodies.pop() ?? "") + Buffer.from(bytes).toString("latin1")),
    end: () => found.ended++,
    stop: (reason) => found.stops.push(reason),
  });
  for (const piece of pieces) {
    // Lent only: what the parser keeps it must copy. A Buffer, as node:net gives.
    const lent = Buffer.from(piece);
    reader.feed(lent);
    lent.fill(0x58);
  }
  if (finish) reader.finish();
  return found;
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** The same bytes cut at the given places. */
function cut(whole: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...places.map((place) => place % (whole.length + 1)), whole.length]
    .sort((a, b) => a - b);
  let from = 0;
  return ends.map((end) => whole.subarray(from, from = end));
}

const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,12}$/);
const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
const content = fc.uint8Array({ maxLength: 60 });

/** One request as text, beside what a reader should find in it. */
const request = fc.record({
  method: token,
  target: fc.stringMatching(/^\/[!-~]{0,20}$/),
  headers: fc.array(fc.tuple(token.map((name) => `x-${name}`), value), { maxLength: 5 }),
  body: content,
  chunks: fc.option(fc.integer({ min: 1, max: 9 })),
  newline: fc.constantFrom("\r\n", "\n"),
}).map(({ method, target, headers, body, chunks, newline }) => {
  const text = Buffer.from(body).toString("latin1");
  const all: [string, string][] = [...headers];
  let payload = text;
  if (chunks !== null) {
    all.push(["Transfer-Encoding", "chunked"]);
    payload = "";
    for (let at = 0; at < text.length; at += chunks) {
      const part = text.slice(at, at + chunks);
      payload += `${part.length.toString(16)};ext=1${newline}${part}${newline}`;
    }
    payload += `0${newline}Trailer: x${newline}${newline}`;
  } else if (text.length > 0) all.push(["Content-Length", String(text.length)]);
  const lines = all.map(([name, text]) => `${name}: ${text}${newline}`).join("");
  return {
    wire: `${method} ${target} HTTP/1.1${newline}${lines}${newline}${payload}`,
    head: { kind: "request" as const, method, target, version: "1.1", headers: all },
    body: text,
  };
});

const places = fc.array(fc.nat(), { maxLength: 12 });

Deno.test("MessageReader reads any pipeline of requests, however it is cut", () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 4 }), places, (requests, places) => {
      const wire = bytes(requests.map((request) => request.wire).join(""));
      const found = read("request", cut(wire, places), true);
      assert.deepEqual(found.heads, requests.map((request) => request.head));
      assert.deepEqual(found.bodies, requests.map((request) => request.body));
      assert.equal(found.ended, requests.length);
      assert.deepEqual(found.stops, ["closed"]);
    }),
    { numRuns: 400 },
  );
});

Deno.test("MessageReader finds the same in damaged bytes however they are cut, and never throws", () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
  fc.assert(
    fc.property(
      fc.array(request, { minLength: 1, maxLength: 3 }),
      damage,
      places,
      fc.constantFrom("request" as const, "response" as const),
      (requests, damage, places, kind) => {
        const prefix = kind === "response" ? "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" : "";
        const wire = bytes(prefix + requests.map((request) => request.wire).join(""));
        for (const [at, byte] of damage) wire[at % wire.length] = byte;
        assert.deepEqual(read(kind, cut(wire, places), true), read(kind, [wire], true));
      },
    ),
    { numRuns: 400 },
  );
});

Deno.test("MessageReader survives anything, stops once, and then says nothing more", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 200 })),
      fc.constantFrom("request" as const, "response" as const),
      (pieces, kind) => {
        const found = read(kind, pieces, true);
        assert.equal(found.stops.length, 1);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("MessageReader stops at what is not HTTP/1.1, and says what it is", () => {
  const cases: [string, string][] = [
    ["\x16\x03\x01\x02\x00", "TLS"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"],
    ["\x00\x00\x00\x08\x04\xd2\x16\x2f", "not HTTP/1.1"],
    ["GET /\r\n", "not HTTP/1.1"],
    ["GET / HTTP/3.0\r\n", "not HTTP/1.1"],
    ["*1\r\n$4\r\nPING\r\n", "not HTTP/1.1"],
    ["GET / HTTP/1.1\r\nno colon\r\n", "a header has no name"],
    ["GET / HTTP/1.1\r\nname : x\r\n", "a header has no name"],
    ["GET / HTTP/1.1\r\n folded\r\n", "the first header is folded"],
    ["GET / HTTP/1.1\r\nA: x\0y\r\n", "a header holds a control character"],
    ["GET / HTTP/1.1\r\nA: x\ry\r\n", "a header holds a control character"],
    ["GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "the content length makes no sense"],
    ["GET / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n", "the content length makes no sense"],
    [
      "GET / HTTP/1.1\r\nContent-Length: 9999999999999999\r\n\r\n",
      "the content length makes no sense",
    ],
    ["GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "the transfer encoding is unknown"],
    ["GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "a chunk has no size"],
    [
      "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
      "a chunk has no size",
    ],
    [
      "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
      "a chunk is longer than it says",
    ],
  ];
  for (const [wire, reason] of cases) {
    assert.deepEqual(read("request", [bytes(wire)]).stops, [reason], JSON.stringify(wire));
  }
});

Deno.test("MessageReader is bounded: long lines, many headers, endless trailers", () => {
  const endless = (start: string, more: string) => {
    const pieces = [bytes(start)];
    for (let size = 0; size < 3 * MAX_HEAD; size += more.length) pieces.push(bytes(more));
    return read("request", pieces).stops;
  };
  const line = "a".repeat(1000);
  assert.deepEqual(endless("GET /", line), ["a line is too long"]);
  assert.deepEqual(endless("GET / HTTP/1.1\r\n", `${line}: x\r\n`), ["a line is too long"]);
  assert.deepEqual(endless("GET / HTTP/1.1\r\n", "a:\n"), ["there are too many headers"]);
  const chunked = "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  assert.deepEqual(
    endless(chunked, line),
    ["a chunk has no size"].slice(1).concat("a line is too long"),
  );
  assert.deepEqual(endless(`${chunked}0\r\n`, `${line}: x\r\n`), ["the trailers are too long"]);
  assert.deepEqual(endless("", "\r\n"), ["not HTTP/1.1"]);
});

Deno.test("responses without a body, with one until the end, and with equal lengths are framed", () => {
  const framing = (status: number, headers: [string, string][], method = "GET") =>
    responseFraming({ kind: "response", status, reason: "", version: "1.1", headers }, method);
  assert.deepEqual(framing(200, [["Content-Length", "5"]], "HEAD"), { kind: "none" });
  for (const status of [100, 204, 304]) {
    assert.deepEqual(framing(status, [["Content-Length", "5"]]), { kind: "none" });
  }
  assert.deepEqual(framing(200, []), { kind: "until-close" });
  assert.deepEqual(framing(200, [["content-length", "5"], ["Content-Length", "5"]]), {
    kind: "length",
    length: 5,
  });
  // Both: the chunks win (RFC 9112, 6.3).
  const both: [string, string][] = [["Content-Length", "5"], [
    "Transfer-Encoding",
    "gzip, Chunked",
  ]];
  assert.deepEqual(framing(200, both), { kind: "chunked" });
  assert.deepEqual(framing(200, [["Transfer-Encoding", "gzip"]]), { kind: "until-close" });
  const found = read("response", [bytes("HTTP/1.0 200 OK\r\n\r\nall of it")], true);
  assert.deepEqual([found.bodies, found.ended, found.stops], [["all of it"], 1, ["closed"]]);
});

Deno.test("bytes above ASCII in a head survive as they are", () => {
  const found = read("request", [bytes("GET /\x80\xff HTTP/1.1\r\nX: \x80\x9f\xff\r\n\r\n")]);
  const [head] = found.heads;
  assert.ok(head?.kind === "request");
  assert.equal(head.target, "/\x80\xff");
  assert.deepEqual(head.headers, [["X", "\x80\x9f\xff"]]);
});
