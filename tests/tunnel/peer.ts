/**
 * A small API server for the tunnel's own tests: port-forward over SPDY, SPDY
 * in WebSocket and WebSocket channels on a real loopback socket, with "pods"
 * that are functions. Written apart from src/tunnel, so that a mistake there
 * is not repeated here.
 */
import { createHash } from "node:crypto";
import { PeerLink, type Pod } from "./peer_link.ts";
import { closeQuietly, join, text, writeAll } from "./wire.ts";

export interface PeerOptions {
  /** By pod name. */
  readonly pods: Record<string, Pod>;
  /** Ways that are understood. */
  readonly ways?: readonly ("spdy" | "spdy_websocket" | "channels")[];
  /**
   * False for a connection that is never taken up: no SYN_REPLY for its streams, and no pod for it.
   * Asked for each one over SPDY, counted from 0 over all links.
   */
  readonly takesUp?: (turn: number) => boolean;
  /** Names of pods about whom nothing is ever answered, as while their node is down. */
  readonly unanswered?: readonly string[];
  /** Answers a request instead of upgrading: `HTTP/1.1 ...` in full. */
  readonly answer?: (request: string) => string | undefined;
  readonly tls?: { readonly cert: string; readonly key: string };
}

export const REFUSED =
  'error forwarding port 80 to pod 5c6e, uid : failed to execute portforward in network namespace "/var/run/netns/cni-1": failed to connect to localhost:80 inside namespace "5c6e", IPv4: dial tcp4 127.0.0.1:80: connect: connection refused IPv6 dial tcp6: address localhost: no suitable address found ';
export const RESET =
  'error forwarding port 80 to pod 5c6e, uid : failed to execute portforward in network namespace "/var/run/netns/cni-1": writeto tcp4 127.0.0.1:43664->127.0.0.1:80: read tcp4 127.0.0.1:43664->127.0.0.1:80: read: connection reset by peer';
export const GONE =
  'error forwarding port 80 to pod 5c6e, uid : network namespace for sandbox "5c6e" is closed';

export class Peer {
  readonly #options: PeerOptions;
  readonly #listener: Deno.Listener<Deno.TcpConn | Deno.TlsConn>;
  readonly links = new Set<PeerLink>();
  readonly requests: string[] = [];
  /** Streams opened per pod. */
  readonly opened: Record<string, number> = {};
  readonly done: Promise<void>;
  accepted = 0;
  #turns = 0;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#listener = options.tls === undefined
      ? Deno.listen({ hostname: "127.0.0.1", port: 0 })
      : Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...options.tls });
    this.done = this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  close(): void {
    this.#listener.close();
    for (const link of [...this.links]) link.close();
  }

  async #accept(): Promise<void> {
    const running: Promise<void>[] = [];
    for (;;) {
      let conn;
      try {
        conn = await this.#listener.accept();
      } catch {
        break;
      }
      this.accepted++;
      if ("setNoDelay" in conn) (conn as Deno.TcpConn).setNoDelay(true);
      running.push(this.#serve(conn).catch(() => {}).finally(() => closeQuietly(conn)));
    }
    await Promise.all(running);
  }

  async #serve(conn: Deno.Conn): Promise<void> {
    const { head, rest } = await readHead(conn);
    this.requests.push(head);
    const own = this.#options.answer?.(head);
    if (own !== undefined) {
      await writeAll(conn, text(own));
      return;
    }
    const pod = /\/pods\/([^/]+)\/portforward/.exec(head)?.[1] ?? "";
    if (this.#options.unanswered?.includes(pod)) {
      const buffer = new Uint8Array(1024);
      while (await conn.read(buffer) !== null);
      return;
    }
    const handler = this.#options.pods[pod];
    if (handler === undefined) {
      const body = JSON.stringify({
        kind: "Status",
        message: `pods "${pod}" not found`,
        reason: "NotFound",
        details: { name: pod, kind: "pods" },
        code: 404,
      });
      await writeAll(
        conn,
        text(`HTTP/1.1 404 Not Found\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
      );
      return;
    }
    const ways = this.#options.ways ?? ["spdy", "spdy_websocket", "channels"];
    const protocol = header(head, "sec-websocket-protocol");
    const counted: Pod = (stream) => {
      this.opened[pod] = (this.opened[pod] ?? 0) + 1;
      return handler(stream);
    };
    const takesUp = () => this.#options.takesUp?.(this.#turns++) ?? true;
    if (header(head, "upgrade") === "SPDY/3.1" && ways.includes("spdy")) {
      await writeAll(
        conn,
        text(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n",
        ),
      );
      return await this.#run(new PeerLink(conn, counted, takesUp, pod, "spdy"), rest);
    }
    const way = protocol === "SPDY/3.1+portforward.k8s.io"
      ? "spdy_websocket"
      : protocol === "v4.channel.k8s.io"
      ? "channels"
      : undefined;
    if (way === undefined || !ways.includes(way)) {
      await writeAll(
        conn,
        text("HTTP/1.1 400 Bad Request\r\nContent-Length: 16\r\n\r\nUpgrade required"),
      );
      return;
    }
    const accept = createHash("sha1").update(
      header(head, "sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
    ).digest("base64");
    await writeAll(
      conn,
      text(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
      ),
    );
    const port = Number(/[?&]ports=(\d+)/.exec(head)?.[1] ?? 0);
    return await this.#run(new PeerLink(conn, counted, takesUp, pod, way, port), rest);
  }

  async #run(link: PeerLink, rest: Uint8Array): Promise<void> {
    this.links.add(link);
    try {
      await link.run(rest);
    } finally {
      this.links.delete(link);
      link.close();
    }
  }
}

// ---- pods

/** Sends back what it gets; ends when the client does. */
export const echo: Pod = async (stream) => {
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
    await stream.write(bytes);
  }
  if (!stream.gone) await stream.end();
};

/** Says hello by name on connection, then echoes. */
export const named = (name: string): Pod => async (stream) => {
  await stream.write(`${name}\n`);
  await echo(stream);
};

export const failing = (reason: string): Pod => (stream) => stream.fail(reason);

function header(head: string, name: string): string | undefined {
  return new RegExp(`^${name}: *(.*)$`, "im").exec(head)?.[1]?.trim();
}

async function readHead(conn: Deno.Conn): Promise<{ head: string; rest: Uint8Array }> {
  let have: Uint8Array<ArrayBufferLike> = new Uint8Array(0);
  const buffer = new Uint8Array(4096);
  for (;;) {
    const count = await conn.read(buffer);
    if (count === null) throw new Error("ended");
    have = join([have, buffer.subarray(0, count)]);
    const at = new TextDecoder("latin1").decode(have).indexOf("\r\n\r\n");
    if (at >= 0) {
      return { head: new TextDecoder().decode(have.slice(0, at)), rest: have.slice(at + 4) };
    }
  }
}
