import assert from "node:assert/strict";
import type { ApiTarget } from "../../src/model/api_target.ts";
import { type Logger, silentLogger } from "../../src/model/log.ts";
import type { ServiceEndpoint } from "../../src/model/service.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { TunnelEngine, type TunnelEngineOptions } from "../../src/tunnel/engine.ts";
import type { TunnelListener } from "../../src/tunnel/listener.ts";
import { Peer, type PeerOptions } from "./peer.ts";
import { closeQuietly, text, writeAll } from "./wire.ts";
import { until as soon } from "../until.ts";

/** An endpoint of a pod, ready unless told otherwise. */
export function endpoint(name: string, more: Partial<ServiceEndpoint> = {}): ServiceEndpoint {
  return {
    podNamespace: "default",
    podName: name,
    podUid: `uid-${name}`,
    ready: true,
    serving: true,
    terminating: false,
    ports: { "": 8081 },
    ...more,
  };
}

export interface Bed {
  readonly peer: Peer;
  readonly engine: TunnelEngine;
  readonly listener: TunnelListener;
  connect(): Promise<Client>;
}

/** Runs a test with a peer, an engine and one listener; everything is closed afterwards. */
export async function withBed(
  options: PeerOptions & {
    readonly engine?: Partial<TunnelEngineOptions>;
    readonly endpoints?: readonly ServiceEndpoint[];
    readonly affinitySeconds?: number;
    readonly target?: Partial<ApiTarget>;
  },
  test: (bed: Bed) => Promise<void>,
): Promise<void> {
  const peer = new Peer(options);
  const target: ApiTarget = {
    host: "127.0.0.1",
    port: peer.port,
    basePath: "",
    headers: { authorization: "Bearer t" },
    ...options.target,
  };
  const engine = new TunnelEngine({
    targets: () => Promise.resolve(target),
    log: silentLogger,
    clock: systemClock,
    ...options.engine,
  });
  const clients: Client[] = [];
  try {
    const listener = await engine.listen({
      address: "127.0.0.1",
      port: 0,
      service: { namespace: "default", name: "web" },
      portName: "",
      ...(options.affinitySeconds === undefined
        ? {}
        : { affinitySeconds: options.affinitySeconds }),
    });
    listener.update(
      options.endpoints ?? Object.keys(options.pods).map((name) => endpoint(name)),
    );
    await test({
      peer,
      engine,
      listener,
      connect: async () => {
        const client = await Client.connect(listener.boundPort);
        clients.push(client);
        return client;
      },
    });
  } finally {
    for (const client of clients) client.close();
    await engine.close();
    peer.close();
    await peer.done;
  }
}

/** A local program: reads with deadlines. */
export class Client {
  readonly conn: Deno.TcpConn;
  #have: Uint8Array<ArrayBufferLike> = new Uint8Array(0);

  private constructor(conn: Deno.TcpConn) {
    this.conn = conn;
  }

  static async connect(port: number): Promise<Client> {
    return new Client(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  write(value: string | Uint8Array): Promise<void> {
    return writeAll(this.conn, typeof value === "string" ? text(value) : value);
  }

  end(): Promise<void> {
    return this.conn.closeWrite();
  }

  /** One line, without its end. */
  async line(ms = 5000): Promise<string> {
    const got = await within(ms, this.#until((bytes) => bytes.indexOf(10) + 1), "a line");
    return new TextDecoder().decode(got).trimEnd();
  }

  /** Exactly `count` bytes. */
  bytes(count: number, ms = 5000): Promise<Uint8Array> {
    return within(
      ms,
      this.#until((bytes) => bytes.length >= count ? count : 0),
      `${count} bytes`,
    );
  }

  /** Everything up to the end; rejects on a reset. */
  async rest(ms = 5000): Promise<string> {
    const parts = [this.#have];
    this.#have = new Uint8Array(0);
    const buffer = new Uint8Array(65536);
    for (;;) {
      const count = await within(ms, this.conn.read(buffer), "the end");
      if (count === null) break;
      parts.push(buffer.slice(0, count));
    }
    return parts.map((part) => new TextDecoder().decode(part)).join("");
  }

  /**
   * Waits for the end, whichever way it comes, and tells how many bytes came
   * before it. Throws when nothing comes for `ms`.
   */
  async over(ms = 5000): Promise<number> {
    const buffer = new Uint8Array(65536);
    for (let bytes = this.#have.length;;) {
      const read = this.conn.read(buffer).catch(() => null);
      const count = await within(ms, read, "the end of the connection");
      if (count === null) return bytes;
      bytes += count;
    }
  }

  close(): void {
    closeQuietly(this.conn);
  }

  async #until(enough: (bytes: Uint8Array) => number): Promise<Uint8Array> {
    const buffer = new Uint8Array(65536);
    for (;;) {
      const count = enough(this.#have);
      if (count > 0) {
        const got = this.#have.slice(0, count);
        this.#have = this.#have.slice(count);
        return got;
      }
      const read = await this.conn.read(buffer);
      if (read === null) throw new Error("connection ended");
      const more = new Uint8Array(this.#have.length + read);
      more.set(this.#have);
      more.set(buffer.subarray(0, read), this.#have.length);
      this.#have = more;
    }
  }
}

/** Sends a line to a pod that echoes, and gets it back. */
export async function echoes(client: Client, word: string, ms?: number): Promise<void> {
  await client.write(`${word}\n`);
  assert.equal(await client.line(ms), word);
}

/** Reads and throws away `count` bytes; resolves with the ms it took. */
export async function drain(client: Client, count: number, ms = 30_000): Promise<number> {
  const begin = performance.now();
  const buffer = new Uint8Array(256 * 1024);
  for (let got = 0; got < count;) {
    const read = await within(ms, client.conn.read(buffer), `${count} bytes, ${got} came`);
    if (read === null) throw new Error(`ended after ${got} of ${count} bytes`);
    got += read;
  }
  return performance.now() - begin;
}

/** Writes until the connection ends. */
export async function upload(client: Client): Promise<void> {
  try {
    for (const piece = new Uint8Array(64 * 1024);;) await client.write(piece);
  } catch {
    // Ended with its link, or closed by the test.
  }
}

/** A log, and the reasons that stand in it. */
export function reasonsLogged(): { readonly log: Logger; readonly reasons: string[] } {
  const reasons: string[] = [];
  const log: Logger = {
    ...silentLogger,
    info: (_, fields) => void reasons.push([fields?.reason, fields?.hint].flat().join(". ")),
    with: () => log,
  };
  return { log, reasons };
}

/** The promise, or an error after `ms`. */
export async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  let timer: number | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until the condition holds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  ms = 5000,
): Promise<void> {
  await soon(what, condition, ms, 5);
}

/** Waits until the value is above `from` and has not changed for `ms`. */
export async function atRest(
  value: () => number,
  from: number,
  ms: number,
  limitMs = 5000,
): Promise<void> {
  let last = value();
  let since = performance.now();
  await until(
    () => {
      const now = value();
      if (now !== last) since = performance.now();
      last = now;
      return now > from && performance.now() - since > ms;
    },
    `nothing has moved for ${ms} ms`,
    limitMs,
  );
}
