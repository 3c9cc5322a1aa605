import { type Body, emptyBody, type Exchange, type RequestMessage } from "./exchange.ts";
import type { Header, RequestHead } from "./http1.ts";
import type { TapConnectionInfo } from "../model/tap.ts";

export interface StoreLimits {
  /** Requests kept; the oldest goes first. */
  readonly requests: number;
  /** Memory for all of them, in bytes. */
  readonly bytes: number;
  /** Body bytes kept of each message, each way. */
  readonly body: number;
}

export const DEFAULT_LIMITS: StoreLimits = {
  requests: 500,
  bytes: 16 * 1024 * 1024,
  body: 64 * 1024,
};

/** What an exchange costs beside its bytes: objects and strings around them. */
const OVERHEAD = 1024;
/** And each header. */
const HEADER_OVERHEAD = 64;
/** And each piece of a body: single bytes must not add up unseen. */
const PART_OVERHEAD = 256;
/** Different reasons remembered for connections that are not HTTP/1.1. */
const MAX_OTHERS = 200;

/** Connections the inspector could not read. */
export interface OtherConnections {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  readonly reason: string;
  count: number;
}

/** The last requests, bounded in number and in bytes whatever is thrown at it. */
export class RequestStore {
  readonly #limits: StoreLimits;
  /** In order of arrival. */
  readonly #exchanges = new Map<string, Exchange>();
  readonly #others = new Map<string, OtherConnections>();
  readonly #changed: (id: string) => void;
  readonly #otherChanged: () => void;
  #bytes = 0;
  #count = 0;

  constructor(limits: StoreLimits, changed: (id: string) => void, otherChanged: () => void) {
    this.#limits = limits;
    this.#changed = changed;
    this.#otherChanged = otherChanged;
  }

  /** Requests captured since the start, those no longer kept included. */
  get count(): number {
    return this.#count;
  }

  get size(): number {
    return this.#exchanges.size;
  }

  /** Bytes accounted for; never above the limit. */
  get bytes(): number {
    return this.#bytes;
  }

  get limits(): StoreLimits {
    return this.#limits;
  }

  add(
    head: RequestHead,
    headSize: number,
    connection: TapConnectionInfo,
    at: { epoch: number; monotonic: number },
  ): Exchange {
    const request: RequestMessage = {
      method: head.method,
      target: head.target,
      version: head.version,
      headers: head.headers,
      body: emptyBody(),
    };
    const exchange: Exchange = {
      id: String(++this.#count),
      connection,
      startedAt: at.epoch,
      started: at.monotonic,
      request,
      state: "waiting",
      evicted: false,
      cost: 0,
    };
    this.#exchanges.set(exchange.id, exchange);
    this.#charge(exchange, OVERHEAD + headCost(headSize, head.headers));
    this.changed(exchange);
    return exchange;
  }

  /** Accounts for the head of the answer. */
  chargeHead(exchange: Exchange, headSize: number, headers: readonly Header[]): void {
    this.#charge(exchange, headCost(headSize, headers));
  }

  /** Keeps what there is room for of some bytes of a body, which are only lent. */
  keep(exchange: Exchange, body: Body, bytes: Uint8Array): void {
    body.size += bytes.length;
    if (exchange.evicted) return;
    const room = this.#limits.body - body.keptSize;
    if (room <= 0) return;
    // Not slice(): of a Buffer that is a view, not a copy.
    const part = new Uint8Array(bytes.subarray(0, room));
    body.kept.push(part);
    body.keptSize += part.length;
    this.#charge(exchange, part.length + PART_OVERHEAD);
  }

  changed(exchange: Exchange): void {
    if (!exchange.evicted) this.#changed(exchange.id);
  }

  countOther(connection: TapConnectionInfo, reason: string): void {
    const { namespace, service, port } = connection;
    const key = JSON.stringify([namespace, service, port, reason]);
    const known = this.#others.get(key);
    if (known !== undefined) known.count++;
    else if (this.#others.size < MAX_OTHERS) {
      this.#others.set(key, { namespace, service, port, reason, count: 1 });
    }
    this.#otherChanged();
  }

  get others(): readonly OtherConnections[] {
    return [...this.#others.values()];
  }

  get(id: string): Exchange | undefined {
    return this.#exchanges.get(id);
  }

  /** The newest first. */
  *newest(): Iterable<Exchange> {
    yield* [...this.#exchanges.values()].reverse();
  }

  clear(): void {
    for (const exchange of this.#exchanges.values()) exchange.evicted = true;
    this.#exchanges.clear();
    this.#others.clear();
    this.#bytes = 0;
  }

  #charge(exchange: Exchange, bytes: number): void {
    if (exchange.evicted) return;
    exchange.cost += bytes;
    this.#bytes += bytes;
    while (this.#exchanges.size > this.#limits.requests || this.#bytes > this.#limits.bytes) {
      const [oldest] = this.#exchanges.values();
      if (oldest === undefined) return;
      oldest.evicted = true;
      this.#exchanges.delete(oldest.id);
      this.#bytes -= oldest.cost;
    }
  }
}

function headCost(size: number, headers: readonly Header[]): number {
  return size + headers.length * HEADER_OVERHEAD;
}
