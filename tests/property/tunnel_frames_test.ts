import assert from "node:assert/strict";
import fc from "fast-check";
import {
  finFrame,
  FrameError,
  FrameParser,
  type FrameSink,
  goAwayFrame,
  HeaderWriter,
  MAX_CONTROL,
  pingFrame,
  resetFrame,
  writeDataHead,
} from "../../src/tunnel/frames.ts";
import {
  CLIENT_HEAD,
  frameInPlace,
  OP_BINARY,
  WebSocketError,
  WebSocketParser,
} from "../../src/tunnel/websocket_frames.ts";
import { dataHead, frame, join, text, words } from "../tunnel/wire.ts";

/** Everything a parser tells, DATA of one frame put together again. */
class Record implements FrameSink {
  readonly events: string[] = [];
  #data = "";
  #size = 0;
  largest = 0;
  onData(id: number, bytes: Uint8Array, last: boolean): void {
    this.largest = Math.max(this.largest, bytes.length);
    const key = `data ${id}`;
    if (this.#data !== key) {
      this.#flush();
      this.#data = key;
    }
    this.#size += bytes.length;
    if (last) {
      this.#flush();
      this.events.push(`fin ${id}`);
    }
  }
  #flush(): void {
    if (this.#size > 0) this.events.push(`${this.#data} ${this.#size}`);
    this.#size = 0;
    this.#data = "";
  }
  #tell(event: string): void {
    this.#flush();
    this.events.push(event);
  }
  onReply(id: number, fin: boolean): void {
    this.#tell(`reply ${id} ${fin}`);
  }
  onReset(id: number, status: number): void {
    this.#tell(`reset ${id} ${status}`);
  }
  onPing(id: number): void {
    this.#tell(`ping ${id}`);
  }
  onGoAway(lastId: number, status: number): void {
    this.#tell(`goaway ${lastId} ${status}`);
  }
  onSyn(id: number): void {
    this.#tell(`syn ${id}`);
  }
  end(): string[] {
    this.#flush();
    return this.events;
  }
}

const id = fc.integer({ min: 1, max: 0x7fffffff });

/** A legal frame and what it must be understood as. */
const legalFrame: fc.Arbitrary<{ bytes: Uint8Array; events: string[] }> = fc.oneof(
  fc.tuple(id, fc.integer({ min: 0, max: 3000 }), fc.boolean()).map(([id, size, fin]) => ({
    bytes: join([dataHead(id, size, fin), new Uint8Array(size)]),
    events: [...(size > 0 ? [`data ${id} ${size}`] : []), ...(fin ? [`fin ${id}`] : [])],
  })),
  fc.tuple(id, fc.boolean(), fc.uint8Array({ maxLength: 200 })).map(([id, fin, block]) => ({
    bytes: frame(2, fin ? 1 : 0, join([words(id), block])),
    events: [`reply ${id} ${fin}`],
  })),
  fc.tuple(id, fc.integer({ min: 0, max: 0xffffffff })).map(([id, status]) => ({
    bytes: frame(3, 0, words(id, status)),
    events: [`reset ${id} ${status}`],
  })),
  fc.integer({ min: 0, max: 0xffffffff }).map((id) => ({
    bytes: frame(6, 0, words(id)),
    events: [`ping ${id}`],
  })),
  fc.tuple(id, fc.integer({ min: 0, max: 2 })).map(([id, status]) => ({
    bytes: frame(7, 0, words(id, status)),
    events: [`goaway ${id} ${status}`],
  })),
  fc.constantFrom(4, 8, 9).chain((type) =>
    fc.uint8Array({ maxLength: 300 }).map((payload) => ({
      bytes: frame(type, 0, payload),
      events: [],
    }))
  ),
);

/** Cuts bytes into pieces of the given sizes, round and round. */
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    pieces.push(bytes.slice(at, at + size));
    at += size;
  }
  return pieces;
}

const sizes = fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 8 });

/** Joins neighbouring DATA of one stream, as Record cannot tell them apart. */
function merged(events: readonly string[]): string[] {
  const out: string[] = [];
  for (const event of events) {
    const now = /^data (\d+) (\d+)$/.exec(event);
    const before = /^data (\d+) (\d+)$/.exec(out.at(-1) ?? "");
    if (now && before && now[1] === before[1]) {
      out[out.length - 1] = `data ${now[1]} ${Number(before[2]) + Number(now[2])}`;
    } else out.push(event);
  }
  return out;
}

Deno.test("FrameParser understands legal frames however they are cut", () => {
  fc.assert(fc.property(fc.array(legalFrame, { maxLength: 12 }), sizes, (frames, sizes) => {
    const record = new Record();
    const parser = new FrameParser(record);
    for (const piece of cut(join(frames.map((one) => one.bytes)), sizes)) parser.push(piece);
    assert.deepEqual(merged(record.end()), merged(frames.flatMap((one) => one.events)));
  }));
});

Deno.test("FrameParser passes DATA on unchanged", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 5000 }), sizes, (payload, sizes) => {
    const parts: Uint8Array[] = [];
    const record = new Record();
    record.onData = (_id, bytes) => parts.push(bytes.slice());
    const parser = new FrameParser(record);
    const bytes = join([dataHead(3, payload.length, false), payload]);
    for (const piece of cut(bytes, sizes)) parser.push(piece);
    assert.deepEqual(join(parts), payload);
  }));
});

Deno.test("FrameParser ends with FrameError or goes on, whatever it is fed", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(legalFrame.map((one) => one.bytes), fc.uint8Array({ maxLength: 64 })), {
        maxLength: 20,
      }),
      sizes,
      (parts, sizes) => {
        const record = new Record();
        const parser = new FrameParser(record);
        try {
          for (const piece of cut(join(parts), sizes)) parser.push(piece);
        } catch (error) {
          assert.ok(error instanceof FrameError, String(error));
          assert.throws(() => parser.push(pingFrame(2)), FrameError, "broken for good");
        }
        assert.ok(record.largest <= 70, "no piece is larger than what was read");
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("FrameParser keeps nothing of a DATA frame that claims 16 MB", () => {
  const record = new Record();
  const parser = new FrameParser(record);
  parser.push(dataHead(3, 0xffffff, false));
  for (let i = 0; i < 100; i++) parser.push(new Uint8Array(1000));
  assert.equal(record.largest, 1000);
});

Deno.test("FrameParser refuses oversized and short control frames, unknown types and stream 0", () => {
  const refuse = (bytes: Uint8Array) =>
    assert.throws(() => new FrameParser(new Record()).push(bytes), FrameError);
  refuse(frame(2, 0, new Uint8Array(MAX_CONTROL + 1)));
  refuse(frame(3, 0, words(1)));
  refuse(frame(6, 0, new Uint8Array(3)));
  refuse(frame(77, 0, words(1)));
  refuse(dataHead(0, 5, false));
  refuse(Uint8Array.of(0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1));
});

Deno.test("Frame writers and FrameParser agree", () => {
  fc.assert(fc.property(id, fc.integer({ min: 0, max: 0xffffff }), (id, status) => {
    const record = new Record();
    const parser = new FrameParser(record);
    parser.push(finFrame(id));
    parser.push(resetFrame(id, status));
    parser.push(pingFrame(id));
    parser.push(goAwayFrame(id));
    assert.deepEqual(record.end(), [
      `fin ${id}`,
      `reset ${id} ${status}`,
      `ping ${id}`,
      `goaway ${id} 0`,
    ]);
    const head = new Uint8Array(10);
    writeDataHead(head, 1, id, status, true);
    assert.deepEqual(head.slice(1, 9), dataHead(id, status, true));
  }));
});

Deno.test("HeaderWriter writes zlib's head once and stored blocks after it", () => {
  const writer = new HeaderWriter();
  const first = writer.synStream(1, [["streamtype", "error"], ["port", "80"], ["requestid", "0"]]);
  const second = writer.synStream(3, [["streamtype", "data"], ["port", "80"], ["requestid", "0"]]);
  assert.deepEqual([...first.slice(18, 24)], [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2]);
  assert.equal(first[24], 0);
  assert.equal(second[18], 0);
  for (const one of [first, second]) {
    assert.deepEqual([...one.slice(-5)], [0, 0, 0, 0xff, 0xff]);
    assert.ok(new TextDecoder().decode(one).includes("streamtype"));
  }
});

// ---- WebSocket

function serverFrame(opcode: number, payload: Uint8Array, fin: boolean): Uint8Array {
  const { length } = payload;
  const head = length < 126
    ? [length]
    : length < 65536
    ? [126, length >> 8, length & 255]
    : [127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255];
  return join([Uint8Array.from([(fin ? 0x80 : 0) | opcode, ...head]), payload]);
}

Deno.test("WebSocketParser passes messages on however they are cut and fragmented", () => {
  const message = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ minLength: 66_000, maxLength: 66_010 }),
    ),
    { minLength: 1, maxLength: 3 },
  );
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 4 }),
      fc.integer({ min: 1, max: 9000 }),
      (messages, size) => {
        const bytes = join(messages.flatMap((fragments) =>
          fragments.flatMap((payload, i) => [
            serverFrame(i === 0 ? OP_BINARY : 0, payload, i === fragments.length - 1),
            serverFrame(9, text("ping"), true),
          ])
        ));
        const got: Uint8Array[] = [];
        let current: Uint8Array[] = [];
        let pings = 0;
        const parser = new WebSocketParser({
          onPiece: (piece, last) => {
            current.push(piece.slice());
            if (last) got.push(join(current.splice(0)));
          },
          onControl: (opcode, payload) => {
            assert.equal(opcode, 9);
            assert.equal(new TextDecoder().decode(payload), "ping");
            pings++;
          },
        });
        for (const piece of cut(bytes, [size])) parser.push(piece);
        current = [];
        assert.deepEqual(got, messages.map(join));
        assert.equal(pings, messages.flat().length);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("WebSocketParser ends with WebSocketError or goes on, whatever it is fed", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), sizes, (bytes, sizes) => {
      let largest = 0;
      const parser = new WebSocketParser({
        onPiece: (piece) => largest = Math.max(largest, piece.length),
        onControl: (_opcode, payload) => assert.ok(payload.length <= 125),
      });
      try {
        for (const piece of cut(bytes, sizes)) parser.push(piece);
      } catch (error) {
        assert.ok(error instanceof WebSocketError, String(error));
      }
      assert.ok(largest <= 70);
    }),
    { numRuns: 500 },
  );
});

Deno.test("WebSocketParser refuses masked frames, long control frames and lengths out of range", () => {
  const refuse = (bytes: number[]) =>
    assert.throws(
      () =>
        new WebSocketParser({ onPiece: () => {}, onControl: () => {} }).push(
          Uint8Array.from(bytes),
        ),
      WebSocketError,
    );
  refuse([0x82, 0x81, 0, 0, 0, 0, 1]);
  refuse([0x89, 126, 0, 200]);
  refuse([0x09, 1, 1]);
  refuse([0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
  refuse([0x80, 1, 1]);
  refuse([0xc2, 1, 1]);
  refuse([0x83, 1, 1]);
});

Deno.test("frameInPlace masks so that a server reads the same bytes", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ minLength: 65_530, maxLength: 65_540 }),
      ),
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.integer({ min: 0, max: 7 }),
      (payload, mask, shift) => {
        const buffer = new Uint8Array(CLIENT_HEAD + shift + payload.length + 3);
        const at = CLIENT_HEAD + shift;
        buffer.set(payload, at);
        const start = frameInPlace(buffer, at, payload.length, OP_BINARY, mask);
        const sent = buffer.subarray(start, at + payload.length);
        assert.equal(sent[0], 0x82);
        const short = sent[1]! & 0x7f;
        assert.ok((sent[1]! & 0x80) !== 0);
        const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
        const key = sent.subarray(2 + extra, 6 + extra);
        const plain = sent.slice(6 + extra).map((byte, i) => byte ^ key[i & 3]!);
        assert.deepEqual(plain, payload);
        assert.deepEqual([...buffer.slice(at + payload.length)], [0, 0, 0]);
      },
    ),
    { numRuns: 100 },
  );
});
