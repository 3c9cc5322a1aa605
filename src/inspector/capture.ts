/** Turns what passes through connections into requests and answers. */
import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import type { ConnectionTap, TapConnectionInfo, TapSource } from "../model/tap.ts";
import type { Attention } from "./attention.ts";
import { emptyBody, type Exchange } from "./exchange.ts";
import {
  type Framing,
  headerOf,
  MessageReader,
  requestFraming,
  type RequestHead,
  responseFraming,
  type ResponseHead,
} from "./http1.ts";
import type { RequestStore } from "./store.ts";

/** Requests on one connection that wait for their answers; beyond that it is an attack, not a client. */
const MAX_PIPELINED = 64;

export interface CaptureContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly attention: Attention;
  readonly store: RequestStore;
  /** Whether this request is one we send ourselves: the id of the one it repeats. */
  readonly replayOf: (head: RequestHead, connection: TapConnectionInfo) => string | undefined;
}

/** The tap for the relay. */
export function captureSource(context: CaptureContext): TapSource {
  return {
    get watching() {
      return context.attention.watching;
    },
    open: (connection) =>
      context.attention.watching ? new CapturedConnection(connection, context) : undefined,
  };
}

class CapturedConnection implements ConnectionTap {
  readonly #connection: TapConnectionInfo;
  readonly #context: CaptureContext;
  readonly #up: MessageReader;
  readonly #down: MessageReader;
  /** Requests whose answers are not complete, in order. */
  #open: Exchange[] = [];
  /** The request whose body is being read. */
  #sending: Exchange | undefined;
  #seen = 0;
  #done = false;
  #otherReason: string | undefined;

  constructor(connection: TapConnectionInfo, context: CaptureContext) {
    this.#connection = connection;
    this.#context = context;
    this.#up = new MessageReader("request", {
      head: (head, size) => this.#requestHead(head as RequestHead, size),
      body: (bytes) => this.#keep(this.#sending, "request", bytes),
      end: () => this.#requestEnd(),
      stop: (reason) => this.#requestsStopped(reason),
    });
    this.#down = new MessageReader("response", {
      head: (head, size) => this.#responseHead(head as ResponseHead, size),
      body: (bytes) => this.#keep(this.#open[0], "response", bytes),
      end: () => this.#responseEnd(),
      stop: (reason) => this.#responsesStopped(reason),
    });
  }

  up(chunk: Uint8Array): void {
    this.#guarded(() => this.#up.feed(chunk));
  }

  down(chunk: Uint8Array): void {
    this.#guarded(() => this.#down.feed(chunk));
  }

  close(error?: string): void {
    this.#guarded(() => {
      if (error === undefined) this.#down.finish();
      this.#leave(error ?? "The connection was closed");
    });
  }

  /** The relay must not suffer from a mistake made here, nor pay once nobody looks any more. */
  #guarded(action: () => void): void {
    if (this.#done) return;
    try {
      if (this.#context.attention.watching) action();
      else this.#leave("Nobody was looking any more");
    } catch (error) {
      this.#done = true;
      this.#context.log.error("Cannot follow a connection", { error: messageOf(error) });
    }
  }

  #requestHead(head: RequestHead, size: number): Framing {
    if (this.#open.length >= MAX_PIPELINED) {
      return { kind: "stop", reason: "too many requests wait for answers" };
    }
    const { clock, store } = this.#context;
    const at = { epoch: clock.now(), monotonic: clock.monotonic() };
    const exchange = store.add(head, size, this.#connection, at);
    const replayOf = this.#context.replayOf(head, this.#connection);
    if (replayOf !== undefined) exchange.replayOf = replayOf;
    this.#seen++;
    this.#open.push(exchange);
    this.#sending = exchange;
    return requestFraming(head);
  }

  #requestEnd(): void {
    if (this.#sending === undefined) return;
    this.#sending.request.body.complete = true;
    this.#context.store.changed(this.#sending);
    this.#sending = undefined;
  }

  #requestsStopped(reason: string): void {
    this.#sending = undefined;
    if (this.#open.length > 0) return;
    this.#unreadable(reason);
    this.#done = true;
  }

  #responseHead(head: ResponseHead, size: number): Framing {
    const exchange = this.#open[0];
    if (exchange === undefined) return { kind: "stop", reason: "an answer without a request" };
    // 1xx announces the answer; only 101 is one.
    if (head.status < 200 && head.status !== 101) return { kind: "none" };
    exchange.firstByteMs = this.#since(exchange);
    exchange.response = {
      status: head.status,
      reason: head.reason,
      version: head.version,
      headers: head.headers,
      body: emptyBody(),
    };
    this.#context.store.chargeHead(exchange, size, head.headers);
    const upgraded = upgradeOf(head, exchange);
    if (upgraded !== undefined) {
      exchange.upgraded = upgraded;
      this.#settle(exchange, "upgraded");
      this.#open.shift();
      this.#up.stop("upgraded");
      return { kind: "stop", reason: "upgraded" };
    }
    exchange.state = "receiving";
    this.#context.store.changed(exchange);
    return responseFraming(head, exchange.request.method);
  }

  #responseEnd(): void {
    const exchange = this.#open[0];
    // Without a response so far it was a 1xx that ended.
    if (exchange?.response === undefined) return;
    exchange.response.body.complete = true;
    this.#open.shift();
    this.#settle(exchange, "done");
  }

  #responsesStopped(reason: string): void {
    if (reason === "closed" || reason === "upgraded") return;
    this.#leave(`The answer cannot be followed: ${reason}`);
    if (this.#seen === 0) this.#unreadable(reason);
  }

  #keep(exchange: Exchange | undefined, side: "request" | "response", bytes: Uint8Array): void {
    const body = exchange?.[side]?.body;
    if (body !== undefined) this.#context.store.keep(exchange!, body, bytes);
  }

  /** Follows this connection no more; what is open ends without an end. */
  #leave(reason: string): void {
    this.#done = true;
    const open = this.#open;
    this.#open = [];
    for (const exchange of open) {
      exchange.error = reason;
      this.#settle(exchange, "failed");
    }
  }

  #settle(exchange: Exchange, state: Exchange["state"]): void {
    exchange.state = state;
    exchange.totalMs = this.#since(exchange);
    this.#context.store.changed(exchange);
  }

  #unreadable(reason: string): void {
    if (this.#seen > 0 || this.#otherReason !== undefined || reason === "upgraded") return;
    this.#otherReason = reason;
    this.#context.store.countOther(this.#connection, reason);
  }

  #since(exchange: Exchange): number {
    return Math.max(0, this.#context.clock.monotonic() - exchange.started);
  }
}

/** What the connection speaks from now on, when this answer says so. */
function upgradeOf(head: ResponseHead, exchange: Exchange): string | undefined {
  if (head.status === 101) {
    return headerOf(head.headers, "upgrade")?.toLowerCase() ?? "another protocol";
  }
  const tunnel = exchange.request.method === "CONNECT" && head.status >= 200 && head.status < 300;
  return tunnel ? "connect" : undefined;
}
