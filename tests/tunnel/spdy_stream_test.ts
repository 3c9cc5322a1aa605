import assert from "node:assert/strict";
import { type SpdyHost, SpdyStream } from "../../src/tunnel/spdy_stream.ts";
import { HEAD_ROOM } from "../../src/tunnel/transport.ts";

const NOTHING = new Uint8Array(0);
const LEASE = { size: 16, retain() {}, release() {} };

/** A stream on a link that only takes notes. */
function noted() {
  const notes: string[] = [];
  let now = 0;
  const host = {
    writtenBytes: 0,
    queuedBytes: 0,
    heardAt: 0,
    now: () => ++now,
    after: () => () => {},
    sendFrame: () => undefined,
    sendFin: () => {},
    sendReset: () => {},
    choke: () => {},
    orphaned: (lane: number) => notes.push(`left something in lane ${lane}`),
    heavy: () => {},
    forget: () => {},
    podGone: () => notes.push("pod gone"),
  } as unknown as SpdyHost;
  const stream = new SpdyStream(host, 1, 3, {
    data: (bytes) => notes.push(`${bytes.length} bytes`),
    flush: () => {},
    end: () => notes.push("end"),
    closed: (error) => notes.push(error === undefined ? "closed" : error.fault),
  });
  const send = () => void stream.send(new Uint8Array(HEAD_ROOM + 1), 1);
  return { stream, notes, send };
}

Deno.test("SpdyStream leaves nothing behind at an orderly end", () => {
  const { stream, notes, send } = noted();
  send();
  stream.podSent(new Uint8Array(5), LEASE, false);
  stream.podEnded();
  stream.errorBytes(NOTHING, true);
  assert.deepEqual(notes, ["5 bytes", "end", "closed"]);
});

Deno.test("SpdyStream may leave behind what it sent after the pod's end of output", () => {
  const { stream, notes, send } = noted();
  send();
  stream.podEnded();
  send();
  stream.errorBytes(NOTHING, true);
  assert.deepEqual(notes, ["end", "left something in lane 3", "closed"]);
});

Deno.test("SpdyStream takes a reset of the error stream without a text for one by the pod", () => {
  const { stream, notes } = noted();
  stream.podEnded();
  stream.errorReset();
  assert.deepEqual(notes, ["end", "reset"]);
});

Deno.test("SpdyStream goes on when its error stream is reset after that has ended", () => {
  const { stream, notes } = noted();
  stream.errorBytes(NOTHING, true);
  stream.errorReset();
  stream.podSent(new Uint8Array(7), LEASE, false);
  stream.podEnded();
  assert.deepEqual(notes, ["7 bytes", "end", "closed"]);
});
