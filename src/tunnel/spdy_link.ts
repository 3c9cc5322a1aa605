import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/log.ts";
import { messageOf } from "../model/errors.ts";
import type { ByteConn } from "../platform/net.ts";
import { type Carrier, type CarrierSink, plainCarrier, webSocketCarrier } from "./carrier.ts";
import { TunnelError } from "./errors.ts";
import {
  finFrame,
  FrameError,
  FrameParser,
  type FrameSink,
  goAwayFrame,
  HeaderWriter,
  pingFrame,
  resetFrame,
  STATUS_CANCEL,
} from "./frames.ts";
import { StreamIds } from "./lanes.ts";
import { LinkHealth } from "./link_health.ts";
import { LinkReader } from "./link_reader.ts";
import { LinkWriter } from "./link_writer.ts";
import { endedByUnread, stuckLinkIsLost } from "./not_taken.ts";
import { type SpdyHost, SpdyStream } from "./spdy_stream.ts";
import { ASK_MS, UpstreamWatch } from "./upstream_watch.ts";
import type {
  Link,
  LinkState,
  LinkStream,
  PodRef,
  StreamEvents,
  TransportKind,
} from "./transport.ts";

export interface SpdyLinkOptions {
  readonly pod: PodRef;
  readonly kind: Extract<TransportKind, "spdy" | "spdy_websocket">;
  readonly conn: ByteConn;
  /** Bytes that came behind the upgrade's header block. */
  readonly rest: Uint8Array;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called once, with the first that comes over the link. */
  readonly onHeard?: () => void;
  /** Called once, when the link is closed. */
  readonly onClosed: (link: Link) => void;
  /** Size of a read buffer, in bytes. */
  readonly readSize: number;
  /** Bytes of one stream gathered from several reads before they are passed on, at most. */
  readonly holdSize: number;
  /** How long a program that does not read may hold up others of its link, in ms. */
  readonly stallMs: number;
}

/** One that ends this soon without a word was never carried to the pod, in ms: real servers answer each stream. */
const AT_ONCE_MS = 1000;
/** A link whose connection has taken nothing for this long takes no new streams, in ms. */
const STUCK_MS = 500;
/** Bytes for connections given up that a link may bring within a second before it is left. */
const WASTE = 256 * 1024;
const WASTE_MS = 1000;
/** How long after a pod's end its last bytes may take, in ms: containerd keeps an end back for a second. */
const LAST_BYTES_MS = 3000;
/** How long after it was held up a link takes no new streams, in ms. */
const STALL_MEMORY_MS = 1000;

/** Many forwarded connections to one pod over one connection, as SPDY streams. */
export class SpdyLink implements SpdyHost, FrameSink, CarrierSink {
  readonly pod: PodRef;
  readonly kind: TransportKind;
  usedAt: number;
  state: LinkState = "open";
  mute = false;

  readonly #options: SpdyLinkOptions;
  readonly #conn: ByteConn;
  readonly #carrier: Carrier;
  readonly #writer: LinkWriter;
  readonly #headers = new HeaderWriter();
  readonly #parser: FrameParser;
  readonly #reader: LinkReader;
  readonly #health: LinkHealth;
  readonly #upstream = new UpstreamWatch((done) => this.#health.ping(this.now(), done));
  /** By the id of the data stream. */
  readonly #byData = new Map<number, SpdyStream>();
  /** By the id of the error stream: stays until that one has ended. */
  readonly #byError = new Map<number, SpdyStream>();
  readonly #ids = new StreamIds();
  /** Names the pair of streams of one connection. */
  #requestId = 0;
  readonly #choked = new Set<SpdyStream>();
  #chokedAt = Number.NEGATIVE_INFINITY;
  #diedAt = Number.POSITIVE_INFINITY;
  readonly #openedAt: number;
  #heardAny = false;
  /** Bytes that came for connections given up, since `#wasteFrom`. */
  #waste = 0;
  #wasteFrom = 0;

  constructor(options: SpdyLinkOptions) {
    this.#options = options;
    this.pod = options.pod;
    this.kind = options.kind;
    this.#conn = options.conn;
    this.usedAt = this.#openedAt = options.clock.monotonic();
    this.#carrier = options.kind === "spdy" ? plainCarrier(this) : webSocketCarrier(this);
    this.#parser = new FrameParser(this);
    this.#reader = new LinkReader({
      conn: options.conn,
      readSize: options.readSize,
      holdSize: options.holdSize,
      after: (ms, callback) => this.after(ms, callback),
      parse: (bytes) => this.#carrier.open(bytes),
      now: () => this.now(),
      heard: (now) => {
        if (!this.#heardAny) {
          this.#heardAny = true;
          options.onHeard?.();
        }
        this.#health.heard(now);
      },
    });
    this.#writer = new LinkWriter(
      options.conn,
      (error) => this.#lost(messageOf(error), error),
      () => options.clock.monotonic(),
    );
    this.#health = new LinkHealth(this.usedAt, (id) => this.#control(pingFrame(id)));
    queueMicrotask(() => void this.#read(options.rest));
  }

  get streams(): number {
    return this.#byData.size;
  }

  get takesStreams(): boolean {
    const now = this.#options.clock.monotonic();
    return this.state === "open" && this.#choked.size === 0 && !this.#health.suspect &&
      !this.#ids.usedUp && now - this.#chokedAt > STALL_MEMORY_MS &&
      this.#writer.stuckFor(now) < STUCK_MS && this.#upstream.overdue(now) < STUCK_MS;
  }

  get bulky(): boolean {
    return this.#ids.bulky;
  }

  open(port: number, events: StreamEvents): LinkStream {
    const avoid = this.#upstream.orphanLanes;
    const errorId = this.#ids.take(avoid);
    const dataId = this.#ids.take(avoid);
    const rest = [["port", String(port)], ["requestid", String(this.#requestId++)]] as const;
    const stream = new SpdyStream(this, errorId, dataId, events);
    if (this.state === "closed") {
      // The caller hears of it as of any other end, after it has the stream in hand.
      queueMicrotask(() => stream.finish(lostError("it was closed", undefined, true)));
      return stream;
    }
    this.#byData.set(dataId, stream);
    this.#byError.set(errorId, stream);
    this.usedAt = this.#options.clock.monotonic();
    this.#control(this.#headers.synStream(errorId, [["streamtype", "error"], ...rest]));
    this.#control(finFrame(errorId));
    this.#control(this.#headers.synStream(dataId, [["streamtype", "data"], ...rest]));
    return stream;
  }

  probe(ms: number): Promise<boolean> {
    const { clock } = this.#options;
    if (this.state === "closed") return Promise.resolve(false);
    return new Promise((resolve) => {
      const cancel = clock.after(ms, () => resolve(false));
      this.#health.pingAll(clock.monotonic(), () => {
        cancel();
        resolve(true);
      });
    });
  }

  get heardAt(): number {
    return this.#health.heardAt;
  }

  tick(now: number): void {
    if (this.state === "closed") return;
    const stuckMs = this.#writer.stuckFor(now);
    const { hasOrphans } = this.#upstream;
    if (stuckLinkIsLost([...this.#byData.values()], stuckMs, now, hasOrphans)) {
      return this.#lost(NOT_TAKEN);
    }
    if (this.#choked.size > 0) {
      this.#endStalled(now);
      // Nothing is read, so nothing can be heard: silence means nothing.
      this.#health.heard(now);
      return;
    }
    if (now - this.#diedAt >= LAST_BYTES_MS) {
      this.#endOfPod((stream) => stream.silentSince(now - LAST_BYTES_MS), false);
      if (this.streams === 0) return;
    }
    const waiting = [...this.#byData.values()].filter((stream) =>
      stream.unansweredBefore(now - ASK_MS) &&
      stream.mayBeUnread((lane) => this.#upstream.readUntil(lane))
    );
    const stuck = this.#upstream.tick(now, waiting.length, this.streams);
    if (stuck.size > 0 && this.#notRead(stuck, waiting, now)) return;
    const verdict = this.#health.tick(now, this.#byData.size > 0, this.#writer.busy);
    if (verdict === "dead") this.#lost("it no longer answers");
  }

  stoodStill(now: number): void {
    for (const stream of this.#choked) stream.progressAt = now;
    this.#writer.restartStuck(now);
    this.#health.stoodStill(now);
    this.#upstream.forget();
    this.#upstream.resumed(now);
  }

  drain(reason: string): void {
    if (this.state !== "open") return;
    this.state = "draining";
    this.#options.log.debug("Link drains", { pod: this.pod.name, reason, streams: this.streams });
    this.#closeIfDrained();
  }

  podDied(): void {
    if (this.state === "closed") return;
    this.drain("its pod is gone");
    this.#diedAt = this.now();
    // Not even taken up by the server, and there is no program left that could get their bytes.
    this.#endOfPod((stream) => !stream.takenUp, true);
  }

  #endOfPod(which: (stream: SpdyStream) => boolean, nothingDelivered: boolean): void {
    const ended = [...this.#byData.values()].filter(which);
    for (const stream of ended) {
      stream.finish(new TunnelError("pod_gone", "The pod is gone", { nothingDelivered }));
    }
  }

  close(error?: TunnelError): void {
    if (this.state === "closed") return;
    this.state = "closed";
    const streams = [...this.#byData.values()];
    this.#byData.clear();
    this.#byError.clear();
    for (const stream of streams) {
      stream.finish(
        error ?? lostError("it was closed", undefined, !stream.wrotePayload),
      );
    }
    this.#writer.close();
    this.#choked.clear();
    this.#reader.close();
    this.#health.close();
    this.#conn.close();
    this.#options.onClosed(this);
  }

  // ---- for the streams

  /** How many bytes have been handed to the connection's write call. */
  get writtenBytes(): number {
    return this.#writer.written;
  }

  /** How many bytes have been queued or written. */
  get queuedBytes(): number {
    return this.#writer.queued;
  }

  now(): number {
    return this.#options.clock.monotonic();
  }

  after(ms: number, callback: () => void): () => void {
    return this.#options.clock.after(ms, callback);
  }

  /** Sends a frame of `length` bytes that lies in `buffer` at `at`, with head room before it. */
  sendFrame(buffer: Uint8Array, at: number, length: number): Promise<void> | undefined {
    return this.#writer.write(this.#carrier.seal(buffer, at, length));
  }

  sendFin(id: number): void {
    this.#control(finFrame(id));
  }

  sendReset(id: number): void {
    this.#control(resetFrame(id, STATUS_CANCEL));
  }

  choke(stream: SpdyStream, choked: boolean): void {
    if (choked) {
      if (this.#choked.size === 0) this.#chokedAt = this.now();
      // An answer may now lie behind what nobody reads.
      this.#upstream.forget();
      this.#choked.add(stream);
      this.#reader.pause(true);
    } else if (this.#choked.delete(stream)) {
      this.#chokedAt = this.now();
      if (this.#choked.size > 0) return;
      // What has not been read meanwhile was no silence of the pod's.
      if (this.#diedAt < this.#chokedAt) this.#diedAt = this.#chokedAt;
      this.#upstream.resumed(this.#chokedAt);
      this.#reader.pause(false);
    }
  }

  orphaned(lane: number): void {
    if (this.state !== "closed") this.#upstream.orphaned(this.now(), lane);
  }

  heavy(stream: SpdyStream, heavy: boolean): void {
    this.#ids.weigh(stream, heavy);
  }

  /** A stream has ended: forget it, and the link too when it was the last of a draining one. */
  forget(stream: SpdyStream): void {
    this.#byData.delete(stream.dataId);
    this.#byError.delete(stream.errorId);
    this.#reader.forget(stream);
    this.choke(stream, false);
    this.usedAt = this.now();
    this.#closeIfDrained();
  }

  // ---- reading

  async #read(rest: Uint8Array): Promise<void> {
    try {
      await this.#reader.run(rest);
      this.#brokenOff("the API server closed it");
    } catch (error) {
      this.#brokenOff(messageOf(error), error);
    }
  }

  #brokenOff(reason: string, cause?: unknown): void {
    this.mute = this.state === "open" && !this.#heardAny &&
      this.now() - this.#openedAt < AT_ONCE_MS;
    this.#lost(reason, cause);
  }

  inner(bytes: Uint8Array): void {
    this.#parser.push(bytes);
  }

  answer(frame: Uint8Array): void {
    if (!this.#writer.backlogged) this.#writer.write(frame);
  }

  ended(): void {
    this.#lost("the API server closed it");
  }

  onData(id: number, bytes: Uint8Array, last: boolean): void {
    const stream = this.#byData.get(id);
    if (stream === undefined) {
      this.#reader.pass();
      const failing = this.#byError.get(id);
      if (failing !== undefined) return failing.errorBytes(bytes, last);
      this.#checkId(id);
      return this.#wasted(bytes.length);
    }
    if (bytes.length > 0) this.#reader.hold(stream, bytes);
    if (last) {
      this.#reader.pass();
      stream.podEnded();
    }
  }

  /**
   * The far end goes on sending for a second after a connection was given up
   * (containerd, whatever it is told): at full speed, before all that new
   * connections get. So they go elsewhere, and the link ends with its last one.
   */
  #wasted(bytes: number): void {
    const now = this.#health.heardAt;
    if (now - this.#wasteFrom > WASTE_MS) {
      this.#wasteFrom = now;
      this.#waste = 0;
    }
    this.#waste += bytes;
    if (this.#waste > WASTE) this.drain("it still brings what nobody reads any more");
  }

  onReply(id: number, fin: boolean): void {
    this.#checkId(id);
    (this.#byData.get(id) ?? this.#byError.get(id))?.replied(id);
    if (!fin) return;
    this.#reader.pass();
    this.#byData.get(id)?.podEnded();
    this.#byError.get(id)?.errorBytes(NOTHING, true);
  }

  onReset(id: number): void {
    this.#checkId(id);
    this.#reader.pass();
    this.#byData.get(id)?.podReset();
    this.#byError.get(id)?.errorReset();
  }

  onPing(id: number): void {
    if ((id & 1) === 1) this.#health.answered(id);
    else if (!this.#writer.backlogged) this.#health.answer(id);
  }

  onGoAway(lastId: number): void {
    this.#reader.pass();
    // Streams above the last one taken up were never looked at, and the pod is connected for a pair only.
    for (const stream of [...this.#byData.values()]) {
      if (stream.dataId > lastId) {
        // Not one that was taken up all the same, whatever the number says.
        const untouched = !stream.takenUp || !stream.wrotePayload;
        stream.finish(lostError("the API server ends it", undefined, untouched));
      }
    }
    this.drain("the API server ends it");
  }

  onSyn(id: number): void {
    throw new FrameError(`Stream ${id} opened by the server`);
  }

  /** Frames for a stream that has ended may still be under way; any other id is a lie. */
  #checkId(id: number): void {
    if (!this.#ids.isKnown(id)) throw new FrameError(`Unknown stream ${id}`);
  }

  // ---- ends

  /** The pod is gone, says the error text of one of its streams. */
  podGone(): void {
    this.drain("its pod is gone");
  }

  #lost(reason: string, cause?: unknown): void {
    if (this.state === "closed") return;
    this.#reader.passAll();
    this.#options.log.debug("Link lost", { pod: this.pod.name, reason, streams: this.streams });
    for (const stream of [...this.#byData.values()]) {
      stream.finish(lostError(reason, cause, !stream.wrotePayload));
    }
    this.close();
  }

  #closeIfDrained(): void {
    if (this.state !== "draining" || this.#byData.size > 0) return;
    this.#control(goAwayFrame(0));
    // One turn for the frames queued (a last RST, GOAWAY) to leave.
    queueMicrotask(() => queueMicrotask(() => this.close()));
  }

  #control(frame: Uint8Array): void {
    this.#writer.write(this.#carrier.sealSmall(frame));
  }

  /**
   * The far end reads no more in these lanes: ends whom it costs. New streams
   * go elsewhere. True when the link is closed.
   */
  #notRead(
    stuck: ReadonlyMap<number, boolean>,
    waiting: readonly SpdyStream[],
    now: number,
  ): boolean {
    const ended = endedByUnread({
      stuck,
      waiting,
      streams: this.streams,
      overdueMs: this.#upstream.overdue(now),
      orphans: this.#upstream.hasOrphans,
    });
    if (ended === "link") {
      this.#lost(NOT_TAKEN);
      return true;
    }
    for (const stream of ended) {
      this.drain("the pod takes nothing of some of what it is sent");
      this.sendReset(stream.dataId);
      stream.finish(lostError(NOT_TAKEN, undefined, !stream.wrotePayload));
    }
    return false;
  }

  /**
   * Ends a stream whose program has read nothing for `stallMs` while another
   * connection of the same link waits for an answer: SPDY here knows no
   * flow control, so it is that one or all others.
   */
  #endStalled(now: number): void {
    const { stallMs } = this.#options;
    for (const stalled of [...this.#choked]) {
      if (now - stalled.progressAt < stallMs) continue;
      const waiting = [...this.#byData.values()].some((other) =>
        !this.#choked.has(other) && other.waitsSince(this.#chokedAt)
      );
      if (!waiting) return;
      this.#options.log.warn("Connection ended: its program reads nothing and holds up others", {
        pod: this.pod.name,
        stalledMs: Math.round(now - stalled.progressAt),
      });
      stalled.abort();
      stalled.tell(new TunnelError("reset", "The program read nothing while others waited"));
    }
  }
}

const NOTHING = new Uint8Array(0);
const NOT_TAKEN = "the pod takes nothing of what it is sent";

function lostError(reason: string, cause: unknown, nothingDelivered: boolean): TunnelError {
  return new TunnelError("link_lost", `Connection to the pod lost: ${reason}`, {
    nothingDelivered,
    ...(cause === undefined ? {} : { cause }),
  });
}
