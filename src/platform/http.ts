import { Buffer } from "node:buffer";
import { createGunzip } from "node:zlib";
import type { ApiTarget } from "../model/api_target.ts";
import { dialWithin } from "./dial.ts";
import { BodyFraming, parseHead, requestHead, type ResponseHead } from "./http_wire.ts";
import { DialError, hostHeader } from "./tcp.ts";
import { Wire } from "./wire.ts";

/**
 * A small HTTP/1.1 client for API servers, over sockets of its own.
 *
 * Why not fetch: no `tls-server-name`, no `insecure-skip-tls-verify`. Why not
 * node:https: in Deno 2.7 it sends no SNI for a `servername` and every TLS
 * failure is "connection error". Here a watch can be cut at once, an idle
 * connection can be thrown away when the network may have changed, and every
 * wait has a deadline. See docs/decisions/0041-http-client.md.
 */
export interface HttpRequest {
  readonly method?: "GET" | "POST";
  /** Path and query, `basePath` not included. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
  /** For dialling; 10 s where absent. */
  readonly dialDeadlineMs?: number;
  /** From sending to the end of the response's head, in ms. */
  readonly headDeadlineMs: number;
  /** The longest silence inside the body, in ms; 0: no limit. */
  readonly bodyIdleMs: number;
  /** Never use a connection from the pool. */
  readonly fresh?: boolean;
}

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names; repeated ones joined by a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** Reads on; `undefined` at the end. Rejects when cut, silent for too long, or aborted. */
  read(): Promise<Uint8Array | undefined>;
  /** The whole body as text. Rejects when it is longer than `most` bytes, unzipped (256 MiB). */
  text(most?: number): Promise<string>;
  /** Gives the connection up; safe at any time. */
  cancel(): void;
}

/** Connections kept for reuse, and for how long (servers close idle ones after minutes). */
const IDLE_LIMIT = 4;
const IDLE_MS = 30_000;
const DIAL_MS = 10_000;
/**
 * The longest body gathered, in bytes: a page of 500 objects of half a megabyte
 * each. A server that sends more, or a few zipped kilobytes that become it,
 * must not take the memory of all sessions.
 */
const MAX_TEXT = 256 << 20;
/** Unread body bytes at which the socket is paused. */
const HIGH_WATER = 1 << 20;

interface Idle {
  readonly socket: Wire;
  readonly key: string;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly drop: () => void;
}

export class HttpClient {
  #idle: Idle[] = [];
  #closed = false;
  #busy = new Set<Exchange>();

  /** Sends one request. Throws DialError, or the signal's reason. */
  async request(target: ApiTarget, request: HttpRequest): Promise<HttpResponse> {
    request.signal?.throwIfAborted();
    const key = connectionKey(target);
    const reused = request.fresh ? undefined : this.#takeIdle(key);
    if (reused) {
      try {
        return await this.#exchange(reused, target, key, request);
      } catch (error) {
        // The server may have closed it while it lay idle: one more try on a
        // new one, as every request here may be repeated.
        if (!(error instanceof DialError) || error.kind !== "closed") throw error;
        request.signal?.throwIfAborted();
      }
    }
    const deadlineMs = request.dialDeadlineMs ?? DIAL_MS;
    const socket = new Wire(await dialWithin(target, deadlineMs, request.signal));
    if (this.#closed || request.signal?.aborted) {
      socket.destroy();
      request.signal?.throwIfAborted();
      throw new DialError("closed", "the client is closed");
    }
    return await this.#exchange(socket, target, key, request);
  }

  /** Drops pooled connections: after sleep or a change of network they may be dead. */
  dropIdle(): void {
    for (const idle of this.#idle.splice(0)) idle.drop();
  }

  /** Ends every connection, busy ones too. */
  close(): void {
    this.#closed = true;
    this.dropIdle();
    for (const exchange of [...this.#busy]) exchange.abandon();
  }

  #takeIdle(key: string): Wire | undefined {
    const at = this.#idle.findLastIndex((idle) => idle.key === key);
    if (at < 0) return undefined;
    const [idle] = this.#idle.splice(at, 1);
    clearTimeout(idle!.timer);
    return idle!.socket;
  }

  #keep(socket: Wire, key: string): void {
    if (this.#closed || socket.destroyed) {
      socket.destroy();
      return;
    }
    const drop = () => {
      clearTimeout(timer);
      this.#idle = this.#idle.filter((idle) => idle.socket !== socket);
      socket.destroy();
    };
    const timer = setTimeout(drop, IDLE_MS);
    // Data nobody asked for, or the end: not to be used again.
    socket.listen({ data: drop, end: drop });
    socket.resume();
    this.#idle.push({ socket, key, timer, drop });
    if (this.#idle.length > IDLE_LIMIT) this.#idle[0]!.drop();
  }

  #exchange(
    socket: Wire,
    target: ApiTarget,
    key: string,
    request: HttpRequest,
  ): Promise<HttpResponse> {
    const exchange: Exchange = new Exchange(socket, request, (reusable) => {
      this.#busy.delete(exchange);
      if (reusable) this.#keep(socket, key);
      else socket.destroy();
    });
    this.#busy.add(exchange);
    return exchange.send(requestBytes(target, request));
  }
}

/** One request and its response on one connection. */
class Exchange {
  readonly #socket: Wire;
  readonly #request: HttpRequest;
  readonly #after: (reusable: boolean) => void;
  readonly #chunks: Uint8Array[] = [];
  #queued = 0;
  #pending: Buffer | undefined = Buffer.alloc(0);
  #framing: BodyFraming | undefined;
  #head = Promise.withResolvers<ResponseHead>();
  #wake: (() => void) | undefined;
  #ended = false;
  #failure: unknown;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Wire, request: HttpRequest, after: (reusable: boolean) => void) {
    this.#socket = socket;
    this.#request = request;
    this.#after = after;
    this.#head.promise.catch(() => {});
    request.signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (request.signal?.aborted) this.#onAbort();
    this.#arm(request.headDeadlineMs, "answer");
  }

  async send(bytes: Uint8Array): Promise<HttpResponse> {
    if (this.#failure === undefined) {
      this.#socket.listen({
        data: (chunk) => this.#onData(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)),
        end: (error) => this.#onEnd(error),
      });
      this.#socket.write(bytes);
    }
    const head = await this.#head.promise;
    const zipped = head.headers.get("content-encoding")?.toLowerCase() === "gzip";
    const read = zipped ? this.#unzipped() : () => this.#read();
    return {
      status: head.status,
      headers: head.headers,
      read,
      text: async (most = MAX_TEXT) => {
        const decoder = new TextDecoder();
        const parts: string[] = [];
        let size = 0;
        for (let chunk = await read(); chunk; chunk = await read()) {
          size += chunk.length;
          if (size > most) {
            const tooLong = new DialError("closed", `an answer of more than ${most} bytes`);
            this.#fail(tooLong);
            throw tooLong;
          }
          parts.push(decoder.decode(chunk, { stream: true }));
        }
        parts.push(decoder.decode());
        return parts.join("");
      },
      cancel: () => this.#fail(new DialError("closed", "the response was given up")),
    };
  }

  /** Ends it: the client is closed. */
  abandon(): void {
    this.#fail(new DialError("closed", "the client is closed"));
  }

  async #read(): Promise<Uint8Array | undefined> {
    while (true) {
      const chunk = this.#chunks.shift();
      if (chunk) {
        this.#queued -= chunk.length;
        if (this.#queued < HIGH_WATER / 2) this.#socket.resume();
        return chunk;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #unzipped(): () => Promise<Uint8Array | undefined> {
    const gunzip = createGunzip();
    const iterator = gunzip[Symbol.asyncIterator]();
    const feed = async () => {
      for (let chunk = await this.#read(); chunk; chunk = await this.#read()) {
        if (!gunzip.write(chunk)) await new Promise((resolve) => gunzip.once("drain", resolve));
      }
      gunzip.end();
    };
    feed().catch((error) => gunzip.destroy(error));
    return async () => {
      const next = await iterator.next();
      return next.done ? undefined : next.value as Uint8Array;
    };
  }

  #onData(data: Buffer): void {
    try {
      if (this.#framing) return this.#body(data);
      this.#pending = Buffer.concat([this.#pending!, data]);
      const parsed = parseHead(this.#pending);
      if (!parsed) return;
      this.#pending = undefined;
      this.#framing = new BodyFraming(parsed.head);
      this.#head.resolve(parsed.head);
      this.#body(parsed.rest);
    } catch (error) {
      this.#fail(new DialError("closed", `broken HTTP response (${String(error)})`));
    }
  }

  #body(data: Buffer): void {
    this.#arm(this.#request.bodyIdleMs, "data");
    for (const piece of this.#framing!.push(data)) {
      this.#chunks.push(piece);
      this.#queued += piece.length;
    }
    if (this.#queued > HIGH_WATER) this.#socket.pause();
    if (this.#framing!.done) this.#finish();
    this.#wakeUp();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#detach();
    this.#after(this.#framing!.reusable);
  }

  #onEnd(error?: Error): void {
    // Without TLS's own goodbye, as when a process is killed: the end all the same.
    if (error && !/close_notify/.test(error.message)) {
      this.#fail(new DialError("closed", `the connection broke (${error.message})`, error));
    } else if (this.#framing?.endsWithConnection) {
      this.#finish();
      this.#wakeUp();
    } else {
      this.#fail(new DialError("closed", "the server closed the connection"));
    }
  }

  #onAbort = (): void => this.#fail(this.#request.signal!.reason);

  #fail(error: unknown): void {
    if (this.#ended || this.#failure !== undefined) return;
    this.#failure = error;
    this.#detach();
    this.#after(false);
    this.#head.reject(error);
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  #arm(ms: number, what: string): void {
    clearTimeout(this.#timer);
    if (ms <= 0) return;
    this.#timer = setTimeout(
      () => this.#fail(new DialError("timeout", `no ${what} within ${ms / 1000} s`)),
      ms,
    );
  }

  #detach(): void {
    clearTimeout(this.#timer);
    this.#request.signal?.removeEventListener("abort", this.#onAbort);
  }
}

function requestBytes(target: ApiTarget, request: HttpRequest): Uint8Array {
  const { body } = request;
  const head = requestHead(request.method ?? "GET", `${target.basePath}${request.path}`, [
    ["host", hostHeader(target)],
    ...Object.entries({ "accept-encoding": "gzip", ...target.headers }),
    ...(target.repeatedHeaders ?? []),
    ...Object.entries(request.headers ?? {}),
    ...(body === undefined ? [] : [["content-length", `${Buffer.byteLength(body)}`] as const]),
  ]);
  return Buffer.from(head + (body ?? ""));
}

/** Connections are shared only where everything that makes them is equal. */
function connectionKey(target: ApiTarget): string {
  return JSON.stringify([target.host, target.port, target.tls, target.proxyUrl]);
}
