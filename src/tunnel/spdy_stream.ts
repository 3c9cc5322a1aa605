import { classifyErrorText, TunnelError } from "./errors.ts";
import { FRAME_HEAD, writeDataHead } from "./frames.ts";
import { LANES } from "./lanes.ts";
import {
  HEAD_ROOM,
  type Lease,
  type Link,
  type LinkStream,
  type StreamEvents,
} from "./transport.ts";

/** Most error text kept, in bytes; real ones are below 600. */
const MAX_ERROR_TEXT = 4096;
/** A connection that sent this much, in bytes, may have sent, or leave behind, more than its pod takes. */
const MUCH = 64 * 1024;
/** How long the reason may come after a data stream was reset, in ms. */
const REASON_MS = 250;

/** What came so long before a link is held up, in ms, would have gone on. */
const LATELY_MS = 1000;

const NOTHING = new Uint8Array(0);

/** What a stream needs of its link. */
export interface SpdyHost extends Link {
  /** Bytes handed to the connection's write call, and bytes queued or written, since it began. */
  readonly writtenBytes: number;
  readonly queuedBytes: number;
  /** Monotonic time, in ms. */
  now(): number;
  after(ms: number, callback: () => void): () => void;
  /** Sends a frame of `length` bytes that lies in `buffer` at `at`. */
  sendFrame(buffer: Uint8Array, at: number, length: number): Promise<void> | undefined;
  sendFin(id: number): void;
  sendReset(id: number): void;
  choke(stream: SpdyStream, choked: boolean): void;
  /** A stream has ended whose bytes may still be under way, or have found nobody to take them. */
  orphaned(lane: number): void;
  /** A stream has sent much since it last got something: its lane may become stuck. */
  heavy(stream: SpdyStream, heavy: boolean): void;
  forget(stream: SpdyStream): void;
  /** The error text says that the pod is gone. */
  podGone(): void;
}

/** One forwarded connection: a data stream and the error stream that tells how it ended. */
export class SpdyStream implements LinkStream {
  readonly link: SpdyHost;
  readonly errorId: number;
  readonly dataId: number;
  /** When the program last took something while its connection was choked, in ms. */
  progressAt = 0;

  readonly #events: StreamEvents;
  #sentFin = false;
  #gotFin = false;
  #errorDone = false;
  #errorText: Uint8Array | undefined;
  #over = false;
  #cancelGrace: (() => void) | undefined;
  /** Where in the link's output the first payload begins. */
  #payloadAt = Number.POSITIVE_INFINITY;
  /** Frames given to the connection and not yet taken. */
  #unsent = 0;
  #sentBytes = 0;
  /** Bytes sent since the pod's last. */
  unanswered = 0;
  /** True while it has sent much without an answer. */
  isHeavy = false;
  #upAt = Number.NEGATIVE_INFINITY;
  #downAt = Number.NEGATIVE_INFINITY;
  /** The first bytes sent since the pod's last. */
  #askedAt = Number.POSITIVE_INFINITY;
  readonly #openedAt: number;
  /** The far end has taken the stream up: both of the pair, which may be in different lanes. */
  #replied = false;
  #repliedHalf: number | undefined;
  /** When the pod's output ended. */
  #finAt = Number.POSITIVE_INFINITY;

  constructor(link: SpdyHost, errorId: number, dataId: number, events: StreamEvents) {
    this.link = link;
    this.errorId = errorId;
    this.dataId = dataId;
    this.#events = events;
    this.#openedAt = link.now();
  }

  get wrotePayload(): boolean {
    return this.link.writtenBytes > this.#payloadAt;
  }

  send(buffer: Uint8Array, length: number): Promise<void> | undefined {
    if (this.#over || this.#sentFin) return undefined;
    if (this.#payloadAt === Number.POSITIVE_INFINITY) this.#payloadAt = this.link.queuedBytes;
    const now = this.link.now();
    if (this.#upAt <= this.#downAt || this.#sentBytes === 0) this.#askedAt = now;
    this.#upAt = now;
    this.#sentBytes += length;
    this.unanswered += length;
    if (this.unanswered >= MUCH) this.#weigh(true);
    const at = HEAD_ROOM - FRAME_HEAD;
    writeDataHead(buffer, at, this.dataId, length, false);
    const sent = this.link.sendFrame(buffer, at, FRAME_HEAD + length);
    if (sent === undefined) return undefined;
    this.#unsent++;
    return sent.then(() => {
      this.#unsent--;
    });
  }

  /** True while bytes of it wait for the connection to take them. */
  get blocked(): boolean {
    return this.#unsent > 0;
  }

  end(): void {
    if (this.#over || this.#sentFin) return;
    this.#sentFin = true;
    this.link.sendFin(this.dataId);
  }

  abort(): void {
    if (this.#over) return;
    this.#leave();
    this.link.sendReset(this.dataId);
    if (this.#sentBytes >= MUCH) this.link.orphaned(this.lane);
    this.link.forget(this);
  }

  choke(choked: boolean): void {
    if (this.#over) return;
    if (choked) this.progressAt = this.link.now();
    this.link.choke(this, choked);
  }

  /**
   * True when this connection expects bytes: it asked after it last got some, or was getting them at
   * `since`, or had just been opened then: many pods speak first.
   */
  waitsSince(since: number): boolean {
    const lately = Math.max(this.#downAt, this.#openedAt);
    return !this.#replied || this.#upAt > this.#downAt || lately > since - LATELY_MS;
  }

  /** True when it expects an answer to what it sent after `time`. */
  sentSince(time: number): boolean {
    return !this.#replied || this.#upAt > this.#downAt && this.#upAt >= time;
  }

  /** True when nothing was heard of the stream opened, or of what it was sent, before `time`. */
  unansweredBefore(time: number): boolean {
    if (!this.#replied) return this.#openedAt < time;
    return this.#upAt > this.#downAt && this.#askedAt < time;
  }

  /** True when nothing has come from the pod since `time`. */
  silentSince(time: number): boolean {
    return this.#downAt < time;
  }

  /** When it last sent something: when it was opened, as long as that is not taken up. */
  get sentAt(): number {
    return this.#replied ? this.#upAt : Math.max(this.#openedAt, this.#upAt);
  }

  /** Where the server works on what it sends. */
  get lane(): number {
    return this.dataId % LANES;
  }

  /** False while the far end has not even looked at it: then it is not what holds up its lane. */
  get takenUp(): boolean {
    return this.#replied;
  }

  /** False when what it sent last, or its opening, has been read for certain. `readUntil` tells by lane. */
  mayBeUnread(readUntil: (lane: number) => number): boolean {
    return this.sentAt >= readUntil(this.lane) ||
      (!this.#replied && this.sentAt >= readUntil(this.errorId % LANES));
  }

  /** True when what it sends, or its opening, is in this lane. */
  isIn(lane: number): boolean {
    return this.lane === lane || (!this.#replied && this.errorId % LANES === lane);
  }

  // ---- from the link

  podSent(bytes: Uint8Array, lease: Lease, more: boolean): void {
    if (this.#over || this.#gotFin) return;
    this.unanswered = 0;
    this.#weigh(false);
    this.#downAt = this.link.heardAt;
    this.#replied = true;
    this.#events.data(bytes, lease, more);
  }

  /** `id`: of the data or of the error stream. */
  replied(id: number): void {
    if (this.#repliedHalf !== undefined && this.#repliedHalf !== id) this.#replied = true;
    this.#repliedHalf = id;
  }

  flush(): void {
    if (!this.#over) this.#events.flush();
  }

  podEnded(): void {
    if (this.#over || this.#gotFin) return;
    this.#gotFin = true;
    this.#finAt = this.link.now();
    this.#events.end();
    this.#finishIfComplete();
  }

  podReset(): void {
    if (this.#over) return;
    this.#gotFin = true;
    if (this.#errorDone) return this.#failed(this.#resetError());
    this.#cancelGrace ??= this.link.after(REASON_MS, () => this.#failed(this.#resetError()));
  }

  errorBytes(bytes: Uint8Array, last: boolean): void {
    if (this.#over) return;
    const have = this.#errorText?.length ?? 0;
    const take = Math.min(bytes.length, MAX_ERROR_TEXT - have);
    if (take > 0) {
      const text = new Uint8Array(have + take);
      if (this.#errorText !== undefined) text.set(this.#errorText);
      text.set(bytes.subarray(0, take), have);
      this.#errorText = text;
    }
    if (!last) return;
    this.#errorDone = true;
    if (this.#errorText !== undefined) {
      const error = classifyErrorText(new TextDecoder().decode(this.#errorText));
      if (error.fault === "pod_gone") this.link.podGone();
      if (!this.#gotFin || !this.#sentFin) this.link.sendReset(this.dataId);
      return this.#failed(error);
    }
    if (this.#cancelGrace !== undefined) return this.#failed(this.#resetError());
    this.#finishIfComplete();
  }

  /**
   * containerd 1.6.22 to 1.7 tells of a reset and of a broken pipe this way alone,
   * without a text; after an orderly end it closes the error stream.
   */
  errorReset(): void {
    // One that has ended already has told all there is.
    if (this.#over || this.#errorDone) return;
    if (this.#errorText !== undefined) return this.errorBytes(NOTHING, true);
    this.#errorDone = true;
    this.podReset();
  }

  /**
   * Servers before containerd 2.1 and CRI-O 1.33, and cri-dockerd, leave the data
   * stream of a refused connection to itself: the first frame for it, which was on
   * its way already, holds up its lane for as long as the link lives. Whether this
   * is such a server shows in the answers to PINGs sent behind it.
   */
  #failed(error: TunnelError): void {
    if (this.#over) return;
    if (this.#sentBytes > 0) this.link.orphaned(this.lane);
    this.finish(error);
  }

  /** Ends it and tells the connection, once. */
  finish(error: TunnelError | undefined): void {
    if (this.#over) return;
    this.#leave();
    this.link.forget(this);
    this.#events.closed(error);
  }

  /** Tells the connection of an end after `abort`. */
  tell(error: TunnelError): void {
    this.#events.closed(error);
  }

  #leave(): void {
    this.#over = true;
    this.#weigh(false);
    this.#cancelGrace?.();
  }

  #weigh(heavy: boolean): void {
    if (this.isHeavy === heavy) return;
    this.isHeavy = heavy;
    this.link.heavy(this, heavy);
  }

  #finishIfComplete(): void {
    if (!this.#gotFin || !this.#errorDone) return;
    // Half of the pair may still be open on our side; the far end has let go of both.
    if (!this.#sentFin) {
      this.#sentFin = true;
      this.link.sendFin(this.dataId);
    }
    // Sent to a pod that had ended its output: it may have closed, and then nobody takes it.
    if (this.#upAt > this.#finAt) this.link.orphaned(this.lane);
    this.finish(undefined);
  }

  #resetError(): TunnelError {
    return new TunnelError("reset", "Connection reset by the pod");
  }
}
