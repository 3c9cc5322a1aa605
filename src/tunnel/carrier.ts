import { randomFillSync } from "node:crypto";
import {
  frameInPlace,
  OP_BINARY,
  OP_CLOSE,
  OP_PING,
  OP_PONG,
  smallFrame,
  WebSocketParser,
} from "./websocket_frames.ts";

/** How a byte stream travels inside a connection: as it is, or in WebSocket messages. */
export interface Carrier {
  /**
   * Wraps `length` bytes that lie in `buffer` at `at`, in place, with CLIENT_HEAD
   * bytes free before them; the result is a view of `buffer`.
   */
  seal(buffer: Uint8Array, at: number, length: number): Uint8Array;
  /** Wraps a small frame that has no room in front. */
  sealSmall(bytes: Uint8Array): Uint8Array;
  /** Unwraps what was read; `inner` gets views of it. Throws when the framing is broken. */
  open(bytes: Uint8Array): void;
}

export interface CarrierSink {
  inner(bytes: Uint8Array): void;
  /** An answer the carrier itself owes the far end, ready to be written. */
  answer(frame: Uint8Array): void;
  /** The far end has closed the carrier in an orderly way. */
  ended(): void;
}

/** The connection itself carries the bytes. */
export function plainCarrier(sink: CarrierSink): Carrier {
  return {
    seal: (buffer, at, length) => buffer.subarray(at, at + length),
    sealSmall: (bytes) => bytes,
    open: (bytes) => sink.inner(bytes),
  };
}

/** Binary WebSocket messages, whose borders mean nothing. */
export function webSocketCarrier(sink: CarrierSink): Carrier {
  const mask = maskSource();
  const parser = new WebSocketParser({
    onPiece: (bytes) => {
      if (bytes.length > 0) sink.inner(bytes);
    },
    onControl: (opcode, payload) => {
      if (opcode === OP_PING) sink.answer(smallFrame(OP_PONG, payload, mask()));
      else if (opcode === OP_CLOSE) sink.ended();
    },
  });
  return {
    seal: (buffer, at, length) =>
      buffer.subarray(frameInPlace(buffer, at, length, OP_BINARY, mask()), at + length),
    sealSmall: (bytes) => smallFrame(OP_BINARY, bytes, mask()),
    open: (bytes) => parser.push(bytes),
  };
}

/** Unpredictable 32-bit masks (RFC 6455, 10.3), drawn in bulk. */
export function maskSource(): () => number {
  const pool = new Uint32Array(64);
  let at = pool.length;
  return () => {
    if (at === pool.length) {
      randomFillSync(pool);
      at = 0;
    }
    return pool[at++]!;
  };
}
