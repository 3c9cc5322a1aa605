/** How the bytes of a link travel: straight on the TLS socket, or as WebSocket messages. */
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { frameHead, FrameReader, OPCODE } from "./websocket.ts";

export interface Wire {
  /** False: full, `drain` follows on the socket. */
  write(head: Buffer, body?: Buffer): boolean;
  /** Length of the head of a large piece (8 to 64 KiB), in bytes. */
  readonly headLength: number;
  /** Writes the head of `length` bytes that begin in `block` at `at` in front of them; its length. */
  head(block: Buffer, at: number, length: number): number;
  /**
   * Writes `block` from `from` to `to`, heads included. Calls `written` when the block is free
   * again, be it that the connection has ended. False only when the kernel takes no more for now.
   */
  writeBlock(block: Buffer, from: number, to: number, written: () => void): boolean;
  end(): void;
}

function writeBlock(socket: Duplex, block: Buffer, from: number, to: number, written: () => void) {
  const more = socket.write(block.subarray(from, to), written);
  // `write` says false for every block above its high-water mark, also when all of it has left.
  return more || socket.writableLength === 0;
}

export function rawWire(socket: Duplex): Wire {
  return {
    write(head, body) {
      if (body === undefined) return socket.write(head);
      // Two buffers in one write of the kernel and one TLS record, without joining them.
      socket.cork();
      socket.write(head);
      const more = socket.write(body);
      socket.uncork();
      return more;
    },
    headLength: 0,
    head: () => 0,
    writeBlock: (block, from, to, written) => writeBlock(socket, block, from, to, written),
    end: () => void socket.end(),
  };
}

export function websocketWire(socket: Duplex): Wire {
  return {
    write(head, body) {
      socket.cork();
      socket.write(frameHead(OPCODE.binary, head.length + (body?.length ?? 0)));
      let more = socket.write(head);
      if (body !== undefined) more = socket.write(body);
      socket.uncork();
      return more;
    },
    headLength: 4,
    head(block, at, length) {
      const head = frameHead(OPCODE.binary, length);
      head.copy(block, at - head.length);
      return head.length;
    },
    writeBlock: (block, from, to, written) => writeBlock(socket, block, from, to, written),
    end() {
      // 1000: normal closure.
      const code = Buffer.from([0x03, 0xe8]);
      socket.end(Buffer.concat([frameHead(OPCODE.close, 2), code]));
    },
  };
}

/** Unwraps messages; answers pings and closes. */
export function websocketReader(
  socket: Duplex,
  onData: (payload: Buffer, last: boolean, first: boolean) => void,
): FrameReader {
  return new FrameReader(
    (payload, last, _opcode, first) => onData(payload, last, first),
    (opcode, payload) => {
      if (opcode === OPCODE.ping) {
        socket.write(Buffer.concat([frameHead(OPCODE.pong, payload.length), payload]));
      } else if (opcode === OPCODE.close) {
        socket.end(Buffer.concat([frameHead(OPCODE.close, payload.length), payload]));
      }
    },
  );
}
