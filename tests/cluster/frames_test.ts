import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { DICTIONARY, HeaderInflater, parseHeaders } from "./server/spdy_headers.ts";
import { FrameReader } from "./server/websocket.ts";
import { headerBlock } from "./spdy_client.ts";

function masked(payload: Buffer, mask: readonly number[]): Buffer {
  const length = payload.length;
  const head = length < 126
    ? [0x82, 0x80 | length]
    : length < 65_536
    ? [0x82, 0xfe, length >> 8, length & 255]
    : [
      0x82,
      0xff,
      0,
      0,
      0,
      0,
      length >>> 24,
      (length >> 16) & 255,
      (length >> 8) & 255,
      length & 255,
    ];
  const body = Buffer.from(payload.map((byte, i) => byte ^ mask[i & 3]!));
  return Buffer.concat([Buffer.from([...head, ...mask]), body]);
}

/** Cuts bytes into pieces of the given sizes, again and again. */
function pieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const result: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    // Each piece in memory of its own, at an odd place: unmasking works on words.
    const copy = Buffer.alloc(size + 3).subarray(i % 3);
    const length = bytes.copy(copy, 0, at, Math.min(at + size, at + copy.length));
    result.push(copy.subarray(0, length));
    at += length;
  }
  return result;
}

Deno.test("FrameReader gives the same messages however the bytes are cut", () => {
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 10 }),
    fc.uint8Array({ minLength: 120, maxLength: 300 }),
    fc.constant(new Uint8Array(70_000).fill(7)),
  );
  fc.assert(fc.property(
    fc.array(message, { minLength: 1, maxLength: 8 }),
    fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 5 }),
    fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)),
    (messages, sizes, mask) => {
      const bytes = Buffer.concat(messages.map((one) => masked(Buffer.from(one), mask)));
      const seen: Buffer[] = [];
      let open: Buffer[] = [];
      const reader = new FrameReader((payload, last, _opcode, first) => {
        if (first) open = [];
        open.push(Buffer.from(payload));
        if (last) seen.push(Buffer.concat(open));
      }, () => assert.fail("no control frame was sent"));
      for (const piece of pieces(bytes, sizes)) reader.push(piece);
      assert.deepEqual(seen.map((one) => [...one]), messages.map((one) => [...one]));
    },
  ));
});

/** Deflates header blocks as a client would; run by Node, whose zlib takes the dictionary. */
const DEFLATE = `
  const { createDeflate, constants } = require("zlib");
  const { once } = require("events");
  const { dictionary, samples } = JSON.parse(require("fs").readFileSync(0, "utf8"));
  (async () => {
    const result = [];
    for (const { level, blocks } of samples) {
      const deflate = createDeflate({ level, dictionary: Buffer.from(dictionary, "hex") });
      const all = [];
      for (const block of blocks) {
        let out = Buffer.alloc(0);
        const gather = (chunk) => out = Buffer.concat([out, chunk]);
        deflate.on("data", gather);
        deflate.write(Buffer.from(block, "hex"));
        deflate.flush(constants.Z_SYNC_FLUSH);
        while (!out.subarray(-4).equals(Buffer.from("0000ffff", "hex"))) await once(deflate, "data");
        deflate.off("data", gather);
        all.push(out.toString("hex"));
      }
      result.push(all);
    }
    process.stdout.write(JSON.stringify(result));
  })();
`;

Deno.test("HeaderInflater reads what zlib and what stored blocks say, block after block", async () => {
  const word = fc.constantFrom(
    "streamtype",
    "error",
    "data",
    "port",
    "8080",
    "requestid",
    "accept",
  );
  const name = fc.oneof(word, fc.stringMatching(/^[a-z]{1,12}$/));
  const value = fc.oneof(word, fc.string({ unit: "grapheme-ascii", maxLength: 40 }));
  const samples = fc.sample(
    fc.record({
      level: fc.constantFrom(0, 1, 6, 9),
      blocks: fc.array(fc.dictionary(name, value, { maxKeys: 6 }), { minLength: 1, maxLength: 8 }),
    }),
    80,
  );
  const plain = samples.map(({ blocks }) => {
    const inflater = new HeaderInflater();
    return blocks.map((headers, i) => {
      const block = inflater.inflate(headerBlock(headers, i === 0));
      assert.deepEqual(parseHeaders(block), new Map(Object.entries(headers)));
      return block.toString("hex");
    });
  });
  const child = new Deno.Command("node", {
    args: ["-e", DEFLATE],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(JSON.stringify({
    dictionary: DICTIONARY.toString("hex"),
    samples: samples.map(({ level }, i) => ({ level, blocks: plain[i] })),
  })));
  await input.close();
  const packed = JSON.parse(new TextDecoder().decode((await child.output()).stdout));
  assert.equal(packed.length, samples.length);
  packed.forEach((blocks: string[], i: number) => {
    const inflater = new HeaderInflater();
    assert.deepEqual(
      blocks.map((block) => inflater.inflate(Buffer.from(block, "hex")).toString("hex")),
      plain[i],
    );
  });
});
