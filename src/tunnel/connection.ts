import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import type { ServiceEndpoint } from "../model/service.ts";
import type { ConnectionTap } from "../model/tap.ts";
import type { AcceptedConn } from "../platform/net.ts";
import { DownPump } from "./down_pump.ts";
import { TunnelError } from "./errors.ts";
import { HttpTurns } from "./http_turns.ts";
import {
  HEAD_ROOM,
  type Lease,
  type Link,
  type LinkStream,
  type StreamEvents,
} from "./transport.ts";

/** What a connection needs of its listener. */
export interface ConnectionHost {
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a connection is held while no pod can be had, in ms. */
  readonly holdMs: number;
  pick(client: string, tried: ReadonlySet<string>): ServiceEndpoint | undefined;
  hasUntried(tried: ReadonlySet<string>): boolean;
  /** An open link to the pod, without waiting. */
  readyLink(endpoint: ServiceEndpoint): Link | undefined;
  /** A link to the pod; throws TunnelError. */
  link(endpoint: ServiceEndpoint, port: number): Promise<Link>;
  podPort(endpoint: ServiceEndpoint): number;
  /** No link to this pod could be had. */
  shun(uid: string): void;
  /** True for a pod that is no longer ready, or no longer there, while another is ready. */
  isReplaced(uid: string): boolean;
  /** True when missing rights may be there in a moment. */
  denialMayPass(): boolean;
  /** The pod has refused. True when that is no answer yet: it leaves, or its program may have just ended. */
  refused(uid: string): boolean;
  opened(client: string, uid: string): void;
  closed(client: string, uid: string): void;
  /** Resolves when the endpoints have changed, or after `ms`. */
  changed(ms: number): Promise<void>;
  tap(endpoint: ServiceEndpoint): ConnectionTap | undefined;
  addUp(bytes: number): void;
  addDown(bytes: number): void;
  /** A connection came to nothing, or broke; no error: there was no pod to try. */
  failed(error: TunnelError | undefined, endpoint: ServiceEndpoint | undefined): void;
  /** A pod has answered. */
  answered(): void;
  done(connection: Connection): void;
}

/**
 * Bytes of the program kept until the pod's first answer, so that they can be
 * sent again to another pod. Also the most that is read from a program whose
 * connection is held.
 */
export const EARLY_LIMIT = 64 * 1024;
/** First and largest size of the buffer a program is read into, in bytes. */
const READ_FIRST = 4 * 1024;
const READ_MAX = 64 * 1024;
/** First buffers kept for the next connections: each is memory of its own to the collector. */
const spareFirst: Uint8Array<ArrayBuffer>[] = [];
const SPARE_FIRST = 64;

/** Wait between rounds over all pods, in ms: doubled up to the second. */
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 1000;
/** How long a dial is waited for while there is another pod to try, in ms: far-away clusters take 1,000. */
const PATIENCE_MS = 4000;
/** The same for a further try, and for one after the loss of a link, where the time to hold the connection is over. */
const LAST_TRY_MS = 2000;
/** How long a program may take to close after the pod has, in ms. */
const LINGER_MS = 5000;
/** How long after the pod's end without a byte the reason may come, in ms. */
const VERDICT_MS = 1000;
/**
 * How long the end of a program's output is kept back while an answer to it is awaited, and between
 * two pieces of that answer, in ms (docs/decisions/0183).
 */
const ANSWER_MS = 1000;
const PIECE_MS = 250;
/** How long a program may take to read what came before a reset, in ms. */
const FLUSH_MS = 2000;

/** One accepted connection: finds it a pod, then relays until both sides have ended. */
export class Connection implements StreamEvents {
  readonly #local: AcceptedConn;
  readonly #host: ConnectionHost;
  readonly #down: DownPump;
  readonly #turns = new HttpTurns();
  #stream: LinkStream | undefined;
  #endpoint: ServiceEndpoint | undefined;
  readonly #tried = new Set<string>();
  #deadline: number;
  #extended = false;
  #lastError: TunnelError | undefined;
  #lastTried: ServiceEndpoint | undefined;
  #onlyRefusals = true;
  #tap: ConnectionTap | undefined;

  /** What the program has sent so far, while it can still be sent again. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #replayable = true;
  #sentAny = false;
  #gotAny = false;
  #localEnded = false;
  /** The pod has not said anything yet, or not since the program's last bytes. */
  #awaits = true;
  /** Something has come since the end of the program's output was last thought of. */
  #heard = false;
  #podEnded = false;
  /** The stream is over; what is left is to write out and close. */
  #over = false;
  #closed = false;
  #resume: (() => void) | undefined;
  /** Lets go who waits for a write on a stream that is over. */
  #left: (() => void) | undefined;
  #timers: (() => void)[] = [];
  #cancelLook: (() => void) | undefined;

  constructor(local: AcceptedConn, host: ConnectionHost) {
    this.#local = local;
    this.#host = host;
    this.#deadline = host.clock.monotonic() + host.holdMs;
    this.#down = new DownPump(local, {
      choke: (choked) => this.#stream?.choke(choked),
      idle: () => this.#written(),
      failed: () => this.#giveUp("the program is gone"),
    });
  }

  start(): void {
    void this.#readLocal();
    void this.#connect();
  }

  /** Ends both sides at once. */
  abort(reason: string): void {
    this.#giveUp(reason);
  }

  // ---- finding a pod

  async #connect(): Promise<void> {
    const host = this.#host;
    let backoff = BACKOFF_FIRST_MS;
    while (!this.#closed) {
      const endpoint = host.pick(this.#local.remoteAddress, this.#tried);
      if (endpoint === undefined) {
        // Every ready pod has refused: that is the answer, as it would be inside.
        if (this.#tried.size > 0 && this.#onlyRefusals) return this.#fail();
        const left = this.#deadline - host.clock.monotonic();
        if (left <= 0) return this.#fail();
        await host.changed(Math.min(left, this.#tried.size > 0 ? backoff : left));
        backoff = Math.min(backoff * 2, BACKOFF_MAX_MS);
        this.#tried.clear();
        this.#onlyRefusals = true;
        continue;
      }
      const port = host.podPort(endpoint);
      let link = host.readyLink(endpoint);
      if (link === undefined) {
        try {
          link = await this.#dialled(endpoint, port);
        } catch (error) {
          if (this.#closed) return;
          if (!(error instanceof TunnelError)) return this.#bug(error);
          this.#note(endpoint, error);
          if (error.fault === "unsupported") return this.#fail();
          if (error.fault === "denied" && !host.denialMayPass()) return this.#fail();
          if (error.fault === "timeout" || error.fault === "unreachable") {
            host.shun(endpoint.podUid);
            // With many pods, one dial after the other that nobody answers would take minutes.
            if (!error.answered && host.clock.monotonic() >= this.#deadline) return this.#fail();
          }
          continue;
        }
        if (this.#closed) {
          // One that carries a single connection is of no use to anybody else.
          if (link.kind === "channels") link.close();
          return;
        }
      }
      return this.#attach(link, endpoint, port);
    }
  }

  /**
   * A link to the pod, waited for not much longer than the connection may be
   * held; the dial itself goes on for whoever comes next.
   */
  async #dialled(endpoint: ServiceEndpoint, port: number): Promise<Link> {
    const { clock } = this.#host;
    const wait = Math.min(
      this.#host.hasUntried(new Set([...this.#tried, endpoint.podUid])) ? PATIENCE_MS : Infinity,
      this.#tried.size === 0 ? Infinity : Math.max(this.#deadline - clock.monotonic(), LAST_TRY_MS),
    );
    const dialing = this.#host.link(endpoint, port);
    if (wait === Infinity) return await dialing;
    const late = Promise.withResolvers<never>();
    const cancel = clock.after(wait, () => {
      late.reject(
        new TunnelError("timeout", "Cannot open a port-forward: no answer in time", {
          nothingDelivered: true,
        }),
      );
      // One that carries a single connection is of no use to anybody else.
      dialing.then((link) => link.kind === "channels" && link.close(), () => {});
    });
    try {
      return await Promise.race([dialing, late.promise]);
    } finally {
      cancel();
    }
  }

  /**
   * That a link takes nothing shows after 10 s, when the time to hold a
   * connection is over: once, it is given the time for another link.
   */
  #extend(): void {
    if (this.#extended || this.#lastError?.fault !== "link_lost") return;
    this.#extended = true;
    const { clock } = this.#host;
    this.#deadline = Math.max(this.#deadline, clock.monotonic() + LAST_TRY_MS);
  }

  #note(endpoint: ServiceEndpoint, error: TunnelError): void {
    this.#lastError = error;
    this.#lastTried = endpoint;
    this.#tried.add(endpoint.podUid);
    const isAnswer = error.fault === "refused" && !this.#host.refused(endpoint.podUid);
    if (!isAnswer) this.#onlyRefusals = false;
  }

  #attach(link: Link, endpoint: ServiceEndpoint, port: number): void {
    this.#endpoint = endpoint;
    this.#host.opened(this.#local.remoteAddress, endpoint.podUid);
    if (this.#tap === undefined) {
      this.#tap = this.#host.tap(endpoint);
      // What was read before a pod was found has not been shown yet.
      for (const bytes of this.#early) this.#tap?.up(bytes);
    }
    const stream = link.open(port, this);
    this.#stream = stream;
    for (const bytes of this.#early) {
      const buffer = new Uint8Array(HEAD_ROOM + bytes.length);
      buffer.set(bytes, HEAD_ROOM);
      this.#sentAny = this.#awaits = true;
      void stream.send(buffer, bytes.length);
    }
    if (this.#localEnded) this.#endOutput(stream);
    this.#resume?.();
  }

  #mayMove(): boolean {
    if (this.#stream === undefined || this.#podEnded || this.#over) return false;
    return this.#host.isReplaced(this.#endpoint!.podUid);
  }

  /**
   * A kept-alive connection whose pod leaves: the request about to be sent
   * begins anew with another pod, as on a fresh connection. The end of the old
   * pod would come a second late, after requests have been sent into nothing
   * (docs/decisions/0155).
   */
  #move(): void {
    this.#host.log.debug("Connection goes on with another pod", { pod: this.#endpoint!.podName });
    this.#stream!.abort();
    this.#detach();
    this.#tap?.close("its pod leaves");
    this.#tap = undefined;
    this.#replayable = true;
    this.#early = [];
    this.#earlyBytes = 0;
    this.#sentAny = false;
    this.#gotAny = false;
    this.#tried.clear();
    this.#onlyRefusals = true;
    this.#lastError = undefined;
    this.#extended = false;
    this.#deadline = this.#host.clock.monotonic() + this.#host.holdMs;
    void this.#connect();
  }

  #detach(): void {
    const endpoint = this.#endpoint;
    this.#stream = undefined;
    this.#endpoint = undefined;
    this.#left?.();
    if (endpoint !== undefined) this.#host.closed(this.#local.remoteAddress, endpoint.podUid);
  }

  // ---- from the program

  async #readLocal(): Promise<void> {
    const first = spareFirst.pop() ?? new Uint8Array(HEAD_ROOM + READ_FIRST);
    let buffer = first;
    // While one buffer is being written the next is filled.
    let other: Uint8Array<ArrayBuffer> | undefined;
    let writing: Promise<void> | undefined;
    let writingTo: LinkStream | undefined;
    try {
      for (;;) {
        const count = await this.#local.read(buffer.subarray(HEAD_ROOM));
        if (this.#closed) return;
        if (count === 0) break;
        const bytes = buffer.subarray(HEAD_ROOM, HEAD_ROOM + count);
        if (this.#turns.up(bytes) && this.#mayMove()) this.#move();
        const stream = this.#stream;
        if (stream !== writingTo) {
          // What is still being written belongs to the old link, and its memory to that.
          writing = other = undefined;
          writingTo = stream;
        }
        this.#keepEarly(buffer, count);
        this.#tap?.up(bytes);
        this.#host.addUp(count);
        if (this.#over) return this.#giveUp("the pod has closed already");
        if (stream === undefined) {
          // Held: kept in #early for whatever pod it will be.
          if (this.#earlyBytes >= EARLY_LIMIT) await this.#attached();
        } else {
          this.#sentAny = this.#awaits = true;
          const sent = stream.send(buffer, count);
          if (sent !== undefined) {
            if (writing !== undefined) await this.#writtenOrLeft(writing);
            writing = sent;
            const free = stream === this.#stream ? other : undefined;
            other = buffer;
            buffer = free !== undefined && free.length === other.length
              ? free
              : new Uint8Array(other.length);
          }
        }
        if (this.#closed) return;
        if (count === buffer.length - HEAD_ROOM && count < READ_MAX) {
          buffer = new Uint8Array(HEAD_ROOM + Math.min(count * 4, READ_MAX));
        }
      }
    } catch (error) {
      return this.#giveUp(messageOf(error));
    } finally {
      // Frames this small are copied when they are sent, so nothing reads it any more.
      if (spareFirst.length < SPARE_FIRST) spareFirst.push(first);
    }
    this.#localEnded = true;
    if (this.#over) return this.#finishIfWritten();
    if (this.#stream !== undefined) this.#endOutput(this.#stream);
  }

  /**
   * Tells the pod's side that the program's output has ended. containerd ends a connection a second
   * after that, whatever the pod still sends: so an answer that is awaited comes first.
   */
  #endOutput(stream: LinkStream): void {
    if (!this.#awaits || this.#podEnded) return stream.end();
    this.#heard = false;
    let left = ANSWER_MS / PIECE_MS;
    const look = () => {
      if (this.#heard || this.#down.busy) left = 2;
      this.#heard = false;
      if (this.#podEnded || --left === 0) stream.end();
      else this.#cancelLook = this.#host.clock.after(PIECE_MS, look);
    };
    this.#cancelLook = this.#host.clock.after(PIECE_MS, look);
  }

  #keepEarly(buffer: Uint8Array, count: number): void {
    if (!this.#replayable) return;
    if (this.#stream !== undefined && this.#earlyBytes + count > EARLY_LIMIT) {
      // Too much to keep and already on its way: from here on there is no second try.
      return this.#forgetEarly();
    }
    this.#early.push(buffer.slice(HEAD_ROOM, HEAD_ROOM + count));
    this.#earlyBytes += count;
  }

  #forgetEarly(): void {
    this.#replayable = false;
    this.#early = [];
  }

  /** Or until the stream is over: a write under way then may wait for good (docs/decisions/0124). */
  #writtenOrLeft(writing: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      this.#left = resolve;
      void writing.then(resolve);
    });
  }

  #attached(): Promise<void> {
    if (this.#stream !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#resume = () => {
        this.#resume = undefined;
        resolve();
      };
    });
  }

  // ---- from the pod

  data(bytes: Uint8Array, lease: Lease, more: boolean): void {
    if (this.#closed) return;
    if (!this.#gotAny) {
      this.#gotAny = true;
      this.#host.answered();
      this.#forgetEarly();
    }
    this.#awaits = false;
    this.#heard = true;
    this.#turns.down(bytes);
    this.#tap?.down(bytes);
    this.#host.addDown(bytes.length);
    this.#down.push(bytes, lease, more);
  }

  flush(): void {
    this.#down.flush();
  }

  end(): void {
    this.#podEnded = true;
    if (this.#localEnded) this.#stream?.end();
    this.#down.flush();
    if (this.#gotAny) {
      if (!this.#down.busy) this.#written();
      return;
    }
    // An end without a byte may be a refusal whose reason is still to come.
    this.#later(VERDICT_MS, () => {
      if (!this.#down.busy) this.#written();
    });
  }

  closed(error: TunnelError | undefined): void {
    if (this.#closed) return;
    if (error !== undefined && this.#mayRetry(error)) {
      const endpoint = this.#endpoint!;
      this.#detach();
      this.#podEnded = false;
      this.#cancelTimers();
      this.#note(endpoint, error);
      this.#extend();
      this.#sentAny = false;
      this.#host.log.debug("Connection is tried on another pod", {
        fault: error.fault,
        reason: error.message,
      });
      void this.#connect();
      return;
    }
    this.#over = true;
    if (error === undefined) {
      this.#host.answered();
      this.#podEnded = true;
      if (!this.#down.busy) this.#written();
      return;
    }
    this.#lastError = error;
    this.#host.failed(error, this.#endpoint);
    if (this.#down.busy) this.#later(FLUSH_MS, () => this.#giveUp(error.message));
    else this.#giveUp(error.message);
  }

  /**
   * Only when nothing of this connection can have reached a program in the
   * pod: proven by the error, or because the program here has sent nothing
   * yet. And never once the pod has answered.
   */
  #mayRetry(error: TunnelError): boolean {
    if (this.#gotAny) return false;
    if (!this.#sentAny) {
      return error.nothingDelivered || error.fault === "link_lost" || error.fault === "pod_gone";
    }
    return error.nothingDelivered && this.#replayable;
  }

  // ---- ends

  /** Everything from the pod is written. */
  #written(): void {
    if (this.#closed) return;
    if (this.#over) return this.#finishIfWritten();
    if (this.#podEnded) void this.#local.closeWrite().catch(() => {});
  }

  #finishIfWritten(): void {
    if (this.#closed || this.#down.busy) return;
    if (this.#localEnded || this.#lastError !== undefined && this.#over && !this.#podEnded) {
      return this.#close();
    }
    // Let the program close first: closing with its bytes unread would cut off what it has not read yet.
    void this.#local.closeWrite().catch(() => {});
    this.#later(LINGER_MS, () => this.#close());
  }

  /** No pod could be had. */
  #fail(): void {
    if (this.#lastError !== undefined && this.#lastError.fault !== "refused") {
      this.#host.log.info("Connection failed", {
        fault: this.#lastError.fault,
        reason: this.#lastError.message,
        ...(this.#lastError.hint === undefined ? {} : { hint: this.#lastError.hint }),
      });
    }
    this.#host.failed(this.#lastError, this.#lastTried);
    this.#close(this.#lastError?.message ?? "No pod is ready");
  }

  #giveUp(reason: string): void {
    if (this.#closed) return;
    this.#stream?.abort();
    this.#close(reason);
  }

  #bug(error: unknown): void {
    this.#host.log.error("Connection failed unexpectedly", {
      error: error instanceof Error ? error.stack ?? error.message : String(error),
    });
    this.#close(messageOf(error));
  }

  #close(reason?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimers();
    this.#detach();
    this.#down.close();
    this.#local.close();
    this.#early = [];
    this.#resume?.();
    this.#tap?.close(reason);
    this.#host.done(this);
  }

  #later(ms: number, callback: () => void): void {
    this.#timers.push(this.#host.clock.after(ms, callback));
  }

  #cancelTimers(): void {
    this.#cancelLook?.();
    for (const cancel of this.#timers.splice(0)) cancel();
  }
}
