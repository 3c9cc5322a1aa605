/**
 * One forwarded connection: what the kubelet and containerd do with a pair of
 * streams. Sources: k8s.io/kubelet/pkg/cri/streaming/portforward/httpstream.go
 * and containerd internal/cri/server/sandbox_portforward_linux.go; texts and
 * order of frames from recordings of containerd 2.1.9.
 */
import { connect, type Socket } from "node:net";
import { Buffer } from "node:buffer";
import { clearImmediate, setImmediate } from "node:timers";
import { backingPort } from "./pod_protocol.ts";
import type { ForwardTarget } from "./target.ts";

/** Most bytes a head takes: WebSocket 10, SPDY 8. */
const HEADROOM = 18;
/** What containerd copies at a time (Go's io.Copy): no data frame of a real server is larger. */
const PIECE = 32 * 1024;
const RECORD = 16 * 1024;
/** Pieces that go out in one write: what the pod has ready goes through TLS at once. */
const PIECES = 8;
/** Up to here a copy is cheaper than a block. */
const SMALL = 8_192;
/**
 * Where every connection reads first, all into the same: what is read is copied before anything else
 * is. A block for each would be held until its second of lingering is over, and a thousand
 * connections a second would cost ten full garbage collections of 4 ms.
 */
const shared = Buffer.allocUnsafeSlow(SMALL);
/** Blocks not in use, all connections together: fresh memory costs more than filling it. */
const spare: Block[] = [];
const SPARES = 16;

/** Memory a connection's bytes are read into, piece behind piece. */
class Block {
  readonly bytes = Buffer.allocUnsafeSlow(PIECES * (HEADROOM + PIECE));
  sent = 0;
  filled = 0;
  /** Who reads into it, and writes under way. */
  #users = 1;

  static take(): Block {
    const block = spare.pop();
    if (block === undefined) return new Block();
    block.sent = block.filled = 0;
    block.#users = 1;
    return block;
  }

  retain(): void {
    this.#users++;
  }

  readonly release = (): void => {
    if (--this.#users === 0 && spare.length < SPARES) spare.push(this);
  };
}

/** The link's side of a connection. */
export interface ForwardPeer {
  /** Length of the head of a large piece, in bytes. */
  readonly headLength: number;
  /**
   * `length` bytes from the pod lie in `block` at `at`: writes their head right in front, so that
   * head and data go out as one without being joined. Returns the head's length.
   */
  head(block: Buffer, at: number, length: number): number;
  /**
   * Sends `block` from `from` to `to`, heads and all; false: stop until `resume`. `written` must be
   * called once the block may be filled again.
   */
  data(block: Buffer, from: number, to: number, written: () => void): boolean;
  /** The connection is over; `error` is the text for the error stream. */
  finish(error?: string): void;
  /** The program takes nothing more for now, or does again: its worker waits for it. */
  congested(full: boolean): void;
}

export class Forward {
  /** Everything a pod sends leaves in pieces of one TLS record, each in a write of its own. */
  static recordByRecord = false;
  #socket: Socket | undefined;
  #connected = false;
  #early: Buffer[] = [];
  #upDone = false;
  #downDone = false;
  #error: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;
  #full = false;
  /** The last read was full: the next ones go into a block, piece behind piece. */
  #bulk = false;
  #block: Block | undefined;
  #flushing: ReturnType<typeof setImmediate> | undefined;

  constructor(
    readonly target: ForwardTarget,
    readonly port: number,
    readonly lingerMs: number,
    readonly peer: ForwardPeer,
  ) {}

  start(): void {
    const { target } = this;
    if (target.state === "removed") {
      return this.#finish(`failed to find sandbox "${target.sandbox}" in store: not found`);
    }
    if (target.state === "closed") {
      return this.#finish(`network namespace for sandbox "${target.sandbox}" is closed`);
    }
    const socket = connect({
      host: target.address,
      port: backingPort(this.port),
      allowHalfOpen: true,
      noDelay: true,
      onread: {
        buffer: () => {
          if (!this.#bulk) return shared;
          const { bytes, filled } = this.#block ??= Block.take();
          const from = filled + this.peer.headLength;
          return bytes.subarray(from, from + (Forward.recordByRecord ? RECORD : PIECE));
        },
        callback: (length) => this.#data(length),
      },
    });
    this.#socket = socket;
    socket.on("connect", () => {
      this.#connected = true;
      for (const chunk of this.#early.splice(0)) this.#write(chunk);
      // What waits for its worker comes after what was early.
      if (!socket.writableNeedDrain) this.#congested(false);
    });
    socket.on("end", () => {
      this.#downDone = true;
      this.#linger();
    });
    socket.on("drain", () => this.#congested(false));
    socket.on("error", (error: Error & { code?: string }) => this.#failed(error, socket));
  }

  #data(length: number): boolean {
    if (this.#over) return true;
    const { peer } = this;
    const block = this.#block;
    if (block === undefined) {
      this.#copied(shared, 0, length);
      this.#bulk = length === SMALL;
      return true;
    }
    const from = block.filled + peer.headLength;
    if (length <= SMALL) {
      this.#flush();
      this.#copied(block.bytes, from, length);
      this.#retire();
      this.#bulk = false;
      return true;
    }
    peer.head(block.bytes, from, length);
    block.filled = from + length;
    const full = block.bytes.length - block.filled < HEADROOM + PIECE;
    // What else the pod has ready is read before it is sent.
    if (full || Forward.recordByRecord) this.#flush();
    else this.#flushing ??= setImmediate(() => this.#flush());
    if (full) this.#retire();
    return true;
  }

  /** Sends a piece from memory that is used again at once. */
  #copied(from: Buffer, at: number, length: number): void {
    const copy = Buffer.allocUnsafe(HEADROOM + length);
    from.copy(copy, HEADROOM, at, at + length);
    const head = this.peer.head(copy, HEADROOM, length);
    this.#send(copy, HEADROOM - head, copy.length, () => {});
  }

  /** Sends the pieces gathered. The next read may have its place behind them already. */
  #flush(): void {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    const block = this.#block;
    if (block === undefined || block.sent === block.filled) return;
    const from = block.sent;
    block.sent = block.filled;
    block.retain();
    this.#send(block.bytes, from, block.filled, block.release);
  }

  /** Nothing more is read into the block. */
  #retire(): void {
    this.#block?.release();
    this.#block = undefined;
  }

  #send(block: Buffer, from: number, to: number, written: () => void): void {
    if (!this.peer.data(block, from, to, written)) this.#socket?.pause();
  }

  #failed(error: Error & { code?: string }, socket: Socket): void {
    const { target, port } = this;
    const netns = `failed to execute portforward in network namespace "${target.netns}"`;
    // A reset right after the handshake can be heard before the connect.
    if (!this.#connected && error.code !== "ECONNRESET") {
      return this.#finish(
        `${netns}: failed to connect to localhost:${port} inside namespace "${target.sandbox}", ` +
          `IPv4: dial tcp4 127.0.0.1:${port}: connect: connection refused ` +
          "IPv6 dial tcp6: address localhost: no suitable address found ",
      );
    }
    const ends = `127.0.0.1:${socket.localPort ?? 43_664}->127.0.0.1:${port}`;
    const reason = error.code === "EPIPE" ? "write: broken pipe" : "read: connection reset by peer";
    this.#error ??= `${netns}: writeto tcp4 ${ends}: read tcp4 ${ends}: ${reason}`;
    this.#congested(false);
    if (this.#downDone) return this.#finish(this.#error);
    this.#downDone = true;
    this.#linger();
  }

  /** After one direction has ended the other gets one more second, no matter what it does. */
  #linger(): void {
    if (this.#over) return;
    if (this.#upDone && this.#downDone) return this.#finish(this.#error);
    this.#timer ??= setTimeout(() => this.#finish(this.#error), this.lingerMs);
  }

  #congested(full: boolean): void {
    if (this.#full === full) return;
    this.#full = full;
    this.peer.congested(full);
  }

  #write(chunk: Buffer): void {
    const socket = this.#socket!;
    if (!socket.writable) return;
    if (!socket.write(chunk)) this.#congested(true);
  }

  /** Bytes from the client; lent, so kept as a copy where they must wait. */
  write(chunk: Buffer): void {
    if (this.#over) return;
    if (this.#connected) return this.#write(chunk);
    this.#early.push(Buffer.from(chunk));
    // Nobody reads a stream before there is somebody to write to.
    this.#congested(true);
  }

  /** The client's FIN (or RST) on the data stream: containerd does not pass it on to the pod. */
  end(): void {
    if (this.#upDone || this.#over) return;
    this.#upDone = true;
    this.#linger();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** The kernel closes the program's sockets; a connection that is not up yet is refused by itself. */
  podGone(): void {
    if (this.#connected) this.abort();
  }

  /** The link is gone. */
  abort(): void {
    if (!this.#over) this.#finish(undefined);
  }

  #finish(error: string | undefined): void {
    if (this.#over) return;
    // The block is left to the garbage collector: a read may still go into it.
    this.#flush();
    this.#over = true;
    clearTimeout(this.#timer);
    this.#congested(false);
    const socket = this.#socket;
    if (socket && !socket.destroyed) {
      // As Go's Close: what is written still goes out, what arrives is not read any more.
      socket.removeAllListeners("error");
      socket.on("error", () => {});
      if (socket.writableLength === 0) socket.destroy();
      else socket.destroySoon();
    }
    const { port, target } = this;
    this.peer.finish(
      error && `error forwarding port ${port} to pod ${target.sandbox}, uid : ${error}`,
    );
  }
}
