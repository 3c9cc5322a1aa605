/**
 * Role "gateway": a process that terminates TLS and carries port-forwards, so
 * that the data path runs beside the API process and not inside it. Plain
 * requests go on to the API process over a unix socket.
 */
import process from "node:process";
import { Buffer } from "node:buffer";
import {
  Agent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as httpRequest,
  type ServerResponse,
} from "node:http";
import {
  constants as HTTP2,
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import { createServer as createTcpServer, type Socket } from "node:net";
import { type TLSSocket } from "node:tls";
import { constants } from "node:crypto";
import { PEER_HEADER } from "./auth.ts";
import { answer, HOP } from "./answers.ts";
import { ChannelsLink } from "./channels_link.ts";
import { SpdyLink } from "./spdy_link.ts";
import type {
  ForwardTarget,
  GatewayCommand,
  GatewayConfig,
  GatewayReport,
  LinkInfo,
} from "./target.ts";
import { acceptKey } from "./websocket.ts";
import { rawWire, websocketReader, websocketWire } from "./wire.ts";
import { delayed } from "./delay.ts";
import { Forward } from "./forward.ts";

const PORTFORWARD = /^\/api\/v1\/namespaces\/[^/]+\/pods\/[^/]+\/portforward$/;
const SPDY_PROTOCOL = "portforward.k8s.io";
const TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io";
const CHANNEL_PROTOCOL = "v4.channel.k8s.io";

interface OpenLink {
  readonly way: LinkInfo["way"];
  readonly link: SpdyLink | ChannelsLink;
  readonly socket: TLSSocket;
  frozen: boolean;
}

export class Gateway {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  readonly #links = new Set<OpenLink>();
  /** Accepted TCP connections, before TLS. */
  readonly #connections = new Set<Socket>();
  readonly #peers = new WeakMap<object, string>();
  #connectionsTotal = 0;
  #linksTotal = 0;
  #spdy: boolean;
  #websocket: boolean;
  #delayMs: number;

  constructor(readonly config: GatewayConfig) {
    this.#spdy = config.spdy;
    this.#websocket = config.websocket;
    this.#delayMs = config.delayMs;
  }

  listen(): void {
    const { config } = this;
    // HTTP/2 where the client offers it, as a real API server; upgrades need HTTP/1.1.
    const server = createSecureServer({
      allowHTTP1: true,
      settings: { maxConcurrentStreams: 250 },
      cert: config.certPem,
      key: config.keyPem,
      ca: config.caPem,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: "TLSv1.2",
      // What a Go server picks, whatever the client likes best (crypto/tls, cipherSuitesTLS13).
      // AES-128 first, as Go's servers have it; OpenSSL would begin with AES-256.
      honorCipherOrder: true,
      ciphers: "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:" +
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
      // The peer's certificate must be there on every connection.
      secureOptions: constants.SSL_OP_NO_TICKET,
    }, (request, response) => this.#proxy(request, response));
    Object.assign(server, { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
    server.on("sessionError", () => {});
    server.on("upgrade", (request, socket, head) => {
      void this.#upgrade(request, socket as TLSSocket, head);
    });
    server.on("tlsClientError", () => {});
    // A TCP server in front, so that a delay or a reset can reach below TLS.
    const front = createTcpServer({ noDelay: true }, (socket) => {
      this.#connectionsTotal++;
      this.#connections.add(socket);
      socket.once("close", () => this.#connections.delete(socket));
      socket.on("error", () => socket.destroy());
      server.emit("connection", this.#delayMs > 0 ? delayed(socket, () => this.#delayMs) : socket);
    });
    front.listen({ port: config.port, host: "127.0.0.1", backlog: 1024 }, () => {
      const address = front.address();
      this.#report({
        type: "listening",
        port: typeof address === "object" && address ? address.port : config.port,
      });
    });
  }

  #report(message: GatewayReport): void {
    process.send?.(message);
  }

  /** The request's headers for the API process, with who the client's certificate says he is. */
  #headers(request: IncomingMessage | Http2ServerRequest): IncomingHttpHeaders {
    const socket = request.socket as TLSSocket;
    const owner = "stream" in request ? request.stream.session ?? socket : socket;
    let peer = this.#peers.get(owner);
    if (peer === undefined) {
      const subject = socket.getPeerCertificate()?.subject;
      peer = subject === undefined ? "" : encodeURIComponent(JSON.stringify({
        commonName: subject.CN,
        organizations: [subject.O ?? []].flat(),
        trusted: socket.authorized,
      }));
      this.#peers.set(owner, peer);
    }
    const headers: IncomingHttpHeaders = {};
    for (const [name, value] of Object.entries(request.headers)) {
      if (!HOP.has(name) && !name.startsWith(":")) headers[name] = value;
    }
    if (peer !== "") headers[PEER_HEADER] = peer;
    return headers;
  }

  #proxy(
    request: IncomingMessage | Http2ServerRequest,
    answerTo: ServerResponse | Http2ServerResponse,
  ): void {
    // Both have what is used here; their types just do not meet.
    const response = answerTo as ServerResponse;
    const fail = () => {
      // What a cut connection is in HTTP/1.1, RST_STREAM is in HTTP/2.
      if ("stream" in answerTo) answerTo.stream.close(HTTP2.NGHTTP2_INTERNAL_ERROR);
      else answerTo.destroy();
    };
    const upstream = httpRequest({
      socketPath: this.config.socketPath,
      path: request.url,
      method: request.method,
      headers: this.#headers(request),
      agent: this.#agent,
    }, (answer) => {
      const headers = { ...answer.headers };
      delete headers.connection;
      delete headers["keep-alive"];
      delete headers["transfer-encoding"];
      response.writeHead(answer.statusCode ?? 500, headers);
      // A watch sends its head before the first event.
      response.flushHeaders();
      answer.pipe(response);
      answer.on("aborted", fail);
      answer.on("error", fail);
    });
    upstream.on("error", fail);
    response.on("close", () => upstream.destroy());
    request.pipe(upstream);
  }

  /** Asks the API process whether this port-forward may be, and to which pod. */
  #authorize(request: IncomingMessage, kind: string): Promise<{
    status: number;
    headers: IncomingHttpHeaders;
    body: Buffer;
  }> {
    return new Promise((resolve, reject) => {
      const headers = { ...this.#headers(request), "x-test-cluster-upgrade": kind };
      delete headers["content-length"];
      httpRequest({
        socketPath: this.config.socketPath,
        path: request.url,
        method: request.method,
        headers,
        agent: this.#agent,
      }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () =>
          resolve({
            status: answer.statusCode ?? 500,
            headers: answer.headers,
            body: Buffer.concat(chunks),
          }));
      }).on("error", reject).end();
    });
  }

  async #upgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    const path = (request.url ?? "").split("?")[0]!;
    const upgrade = String(request.headers.upgrade ?? "").toLowerCase();
    const refuse = (status: number, text: string, headers: Record<string, string> = {}) => {
      answer(
        socket,
        status,
        { "content-type": "text/plain; charset=utf-8", ...headers },
        `${text}\n`,
      );
    };
    const way = upgrade === "websocket" ? "websocket" : upgrade === "spdy/3.1" ? "spdy" : "";
    // A proxy that does not know an upgrade takes its headers away; what is left is a plain request.
    const kind = !PORTFORWARD.test(path) || (way === "spdy" && !this.#spdy) ||
        (way === "websocket" && !this.#websocket)
      ? ""
      : way;
    let reply;
    try {
      reply = await this.#authorize(request, kind);
    } catch {
      socket.destroy();
      return;
    }
    if (reply.headers["x-test-cluster-target"] === undefined) {
      answer(socket, reply.status, reply.headers, reply.body);
      return;
    }
    const target: ForwardTarget = JSON.parse(reply.body.toString());
    if (kind === "spdy") {
      const offered = [request.headers["x-stream-protocol-version"] ?? []].flat()
        .flatMap((one) => one.split(",")).map((one) => one.trim());
      if (!offered.includes(SPDY_PROTOCOL)) {
        refuse(
          403,
          `unable to upgrade: unable to negotiate protocol: client supports [${
            offered.join(" ")
          }], server accepts [${SPDY_PROTOCOL}]`,
          { "x-accepted-stream-protocol-versions": SPDY_PROTOCOL },
        );
        return;
      }
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" +
          `X-Stream-Protocol-Version: ${SPDY_PROTOCOL}\r\n\r\n`,
      );
      this.#spdyLink(socket, target, head, "spdy");
      return;
    }
    const offered = String(request.headers["sec-websocket-protocol"] ?? "").split(",")
      .map((one) => one.trim());
    const protocol = [TUNNEL_PROTOCOL, CHANNEL_PROTOCOL].find((one) => offered.includes(one));
    const key = request.headers["sec-websocket-key"];
    if (protocol === undefined || typeof key !== "string") {
      refuse(403, "unable to upgrade: unable to negotiate protocol");
      return;
    }
    const ports = new URL(request.url ?? "", "https://x").searchParams.getAll("ports")
      .flatMap((one) => one.split(",")).map(Number);
    if (protocol === CHANNEL_PROTOCOL) {
      if (ports.length === 0) {
        refuse(400, 'query parameter "port" is required');
        return;
      }
      const bad = ports.find((port) => !Number.isInteger(port) || port < 1 || port > 65_535);
      if (bad !== undefined) {
        refuse(400, `unable to parse "${bad}" as a port`);
        return;
      }
    }
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${acceptKey(key)}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
    );
    if (protocol === TUNNEL_PROTOCOL) this.#spdyLink(socket, target, head, "websocket");
    else this.#channelsLink(socket, target, ports, head);
  }

  #spdyLink(socket: TLSSocket, target: ForwardTarget, head: Buffer, way: "spdy" | "websocket") {
    const wire = way === "spdy" ? rawWire(socket) : websocketWire(socket);
    const link = new SpdyLink(wire, target, this.config, {
      reading: (on) => open.frozen || (on ? socket.resume() : socket.pause()),
      close: () => socket.end(),
    });
    const open: OpenLink = { way, link, socket, frozen: false };
    if (way === "spdy") this.#carry(open, head, (chunk) => link.receive(chunk));
    else {
      const reader = websocketReader(socket, (payload) => link.receive(payload));
      this.#carry(open, head, (chunk) => reader.push(chunk));
    }
  }

  #channelsLink(socket: TLSSocket, target: ForwardTarget, ports: number[], head: Buffer) {
    const link = new ChannelsLink(websocketWire(socket), target, ports, this.config, {
      reading: (on) => open.frozen || (on ? socket.resume() : socket.pause()),
      close: () => socket.end(),
    });
    const open: OpenLink = { way: "channels", link, socket, frozen: false };
    const reader = websocketReader(socket, (payload, _last, first) => link.receive(payload, first));
    link.start();
    this.#carry(open, head, (chunk) => reader.push(chunk));
  }

  #carry(open: OpenLink, head: Buffer, receive: (chunk: Buffer) => void): void {
    const { socket, link } = open;
    this.#links.add(open);
    this.#linksTotal++;
    socket.setTimeout(0);
    socket.setNoDelay(true);
    socket.on("data", receive);
    socket.on("drain", () => open.frozen || link.drained());
    // An upgraded connection that is half-closed is over, as in Go's hijacked one.
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      this.#links.delete(open);
      link.closed();
    });
    if (head.length > 0) receive(head);
    socket.resume();
  }

  command(command: GatewayCommand): void {
    switch (command.type) {
      case "pod":
        for (const { link } of this.#links) {
          if (link.target.uid !== command.uid) continue;
          link.target.state = command.state;
          if (command.state !== "up") link.podGone();
        }
        return;
      case "drop":
        this.#drop(command);
        return;
      case "freeze":
        for (const open of this.#links) {
          if (command.pod !== undefined && open.link.target.pod !== command.pod) continue;
          this.#freeze(open, command.frozen);
        }
        return;
      case "ways":
        this.#spdy = command.spdy;
        this.#websocket = command.websocket;
        return;
      case "records":
        Forward.recordByRecord = command.single;
        return;
      case "delay":
        this.#delayMs = command.ms;
        return;
      case "stats":
        this.#report({
          type: "stats",
          id: command.id,
          stats: {
            connectionsTotal: this.#connectionsTotal,
            connectionsOpen: this.#connections.size,
            linksTotal: this.#linksTotal,
            links: [...this.#links].map(({ way, link }) => ({
              pod: link.target.pod,
              way,
              streams: link.streams,
              streamsTotal: link.streamsTotal,
              bytesUp: link.bytesUp,
              bytesDown: link.bytesDown,
              pings: link.pings,
            })),
          },
        });
        return;
      default:
    }
  }

  #drop({ what, pod, how }: Extract<GatewayCommand, { type: "drop" }>): void {
    if (what === "all") {
      for (const socket of this.#connections) {
        if (how === "reset") socket.resetAndDestroy();
        else socket.destroy();
      }
      return;
    }
    for (const { link, socket } of this.#links) {
      if (pod !== undefined && link.target.pod !== pod) continue;
      if (how === "close") socket.end();
      else this.#reset(socket);
    }
  }

  /** RST, which only the TCP socket below a TLS socket can send. */
  #reset(socket: TLSSocket): void {
    for (const tcp of this.#connections) {
      if (tcp.remotePort !== socket.remotePort) continue;
      tcp.resetAndDestroy();
      return;
    }
    socket.destroy();
  }

  /** Half-open: nothing is read, nothing is sent, nothing is closed. */
  #freeze(open: OpenLink, frozen: boolean): void {
    if (open.frozen === frozen) return;
    open.frozen = frozen;
    const { socket } = open;
    if (frozen) {
      socket.pause();
      // Corked, so that what the pods send and the PING answers go nowhere.
      socket.cork();
    } else {
      socket.uncork();
      open.link.drained();
      socket.resume();
    }
  }
}

export function runGateway(): void {
  const config: GatewayConfig = JSON.parse(process.env.TEST_CLUSTER_GATEWAY ?? "{}");
  const gateway = new Gateway(config);
  process.on("message", (message: GatewayCommand) => gateway.command(message));
  process.on("disconnect", () => process.exit(0));
  gateway.listen();
}
