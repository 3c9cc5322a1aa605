/** How the bytes of a link travel: straight on the TLS socket, or as WebSocket messages. */
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { frameHead, FrameReader, OPCODE } from "./websocket.ts";

export interface Wire {
  /** False: full, `drain` follows on the socket. */
  write(head: Buffer, body?: Buffer): boolean;
  /**
   * Writes `block` from `from` to `to`; the bytes before `from` are free for a head. Calls
   * `written` when the block is free again, be it that the connection has ended.
   */
  writeBlock(block: Buffer, from: number, to: number, written: () => void): boolean;
  end(): void;
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
    writeBlock: (block, from, to, written) => socket.write(block.subarray(from, to), written),
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
    writeBlock(block, from, to, written) {
      const head = frameHead(OPCODE.binary, to - from);
      const start = from - head.length;
      head.copy(block, start);
      return socket.write(block.subarray(start, to), written);
    },
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
