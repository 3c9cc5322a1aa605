/** The programs a pod can run: each is a real TCP server. */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { Buffer } from "node:buffer";
import type { Program } from "./pod_protocol.ts";
import { RedisStore, serveRedis } from "./redis.ts";
import { acceptKey, frameHead, FrameReader, OPCODE } from "./websocket.ts";

export interface PodInfo {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
}

const BLOCK = Buffer.alloc(65_536, "0123456789abcdef");

/** Writes `count` bytes (or without end) and calls `done`, no faster than the other side reads. */
function pour(to: Socket | ServerResponse, count: number, done?: () => void): void {
  let left = count;
  const more = () => {
    while (left > 0) {
      if (to.destroyed) return;
      const piece = left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK;
      left -= piece.length;
      if (!to.write(piece)) {
        to.once("drain", more);
        return;
      }
    }
    done?.();
  };
  more();
}

/**
 * `/` greeting, `/bytes?n=` download, `/upload` sink with count, `/echo` the request as JSON,
 * `/delay?ms=`, `/status?code=`, `/chunks?n=&ms=` a slow chunked body, `/close` ends the connection.
 */
function http(pod: PodInfo, program: Program) {
  return (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? "/", "http://pod");
    const number = (key: string, otherwise: number) =>
      Number(url.searchParams.get(key) ?? otherwise);
    response.setHeader("x-pod", pod.name);
    const send = (text: string, type = "text/plain; charset=utf-8") => {
      response.setHeader("content-type", type);
      response.setHeader("content-length", Buffer.byteLength(text));
      response.end(request.method === "HEAD" ? undefined : text);
    };
    switch (url.pathname) {
      case "/bytes": {
        const count = number("n", 1024);
        response.setHeader("content-type", "application/octet-stream");
        response.setHeader("content-length", count);
        if (request.method === "HEAD") response.end();
        else pour(response, count, () => response.end());
        return;
      }
      case "/upload": {
        let received = 0;
        request.on("data", (chunk) => received += chunk.length);
        request.on("end", () => send(`${JSON.stringify({ received })}\n`, "application/json"));
        return;
      }
      case "/echo": {
        const chunks: Buffer[] = [];
        request.on("data", (chunk) => chunks.push(chunk));
        request.on("end", () =>
          send(
            `${
              JSON.stringify({
                pod: pod.name,
                method: request.method,
                url: request.url,
                headers: request.headers,
                body: Buffer.concat(chunks).toString(),
              })
            }\n`,
            "application/json",
          ));
        return;
      }
      case "/delay":
        setTimeout(() => send(`waited\n`), number("ms", 100));
        return;
      case "/status":
        response.statusCode = number("code", 200);
        send(`${response.statusCode}\n`);
        return;
      case "/chunks": {
        let left = number("n", 5);
        response.setHeader("content-type", "text/plain");
        const timer = setInterval(() => {
          if (left-- > 0) response.write(`chunk ${left}\n`);
          else {
            clearInterval(timer);
            response.end();
          }
        }, number("ms", 20));
        response.on("close", () => clearInterval(timer));
        return;
      }
      case "/close":
        response.setHeader("connection", "close");
        send("closing\n");
        return;
      default:
        send(program.options.text ?? `Hello from ${pod.name} in ${pod.namespace}\n`);
    }
  };
}

function websocketEcho(request: IncomingMessage, socket: Socket, head: Buffer): void {
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${acceptKey(String(request.headers["sec-websocket-key"]))}\r\n\r\n`,
  );
  const pieces: Buffer[] = [];
  const reader = new FrameReader((payload, last, opcode) => {
    pieces.push(Buffer.from(payload));
    if (!last) return;
    const message = Buffer.concat(pieces.splice(0));
    socket.write(Buffer.concat([frameHead(opcode, message.length), message]));
  }, (opcode, payload) => {
    const answer = opcode === OPCODE.ping ? OPCODE.pong : opcode;
    if (opcode === OPCODE.pong) return;
    socket.write(Buffer.concat([frameHead(answer, payload.length), payload]));
    if (opcode === OPCODE.close) socket.end();
  });
  if (head.length > 0) reader.push(head);
  socket.on("data", (chunk: Buffer) => reader.push(chunk));
  socket.on("error", () => socket.destroy());
}

function raw(handler: (socket: Socket) => void): Server {
  return createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    handler(socket);
  });
}

/** A server for the program, not listening yet. Throws for a program that does not exist. */
export function makeServer(pod: PodInfo, program: Program): Server | undefined {
  const { options } = program;
  switch (program.program) {
    case "http": {
      const server = createHttpServer({ noDelay: true }, http(pod, program));
      server.keepAliveTimeout = 0;
      server.on("upgrade", websocketEcho);
      return server;
    }
    case "websocket": {
      const server = createHttpServer({ noDelay: true }, http(pod, program));
      server.on("upgrade", websocketEcho);
      return server;
    }
    case "echo":
      return raw((socket) => void socket.pipe(socket));
    case "slow":
      return raw((socket) => {
        const ms = Number(options.ms ?? 50);
        socket.on("data", (chunk) => {
          setTimeout(() => socket.writable && socket.write(chunk), ms);
        });
        socket.on("end", () => setTimeout(() => socket.end(), ms));
      });
    case "source":
      return raw((socket) => {
        const count = options.n === undefined ? Infinity : Number(options.n);
        socket.on("end", () => socket.end());
        socket.resume();
        pour(socket, count, () => socket.end());
      });
    case "sink":
      return raw((socket) => {
        let count = 0;
        socket.on("data", (chunk) => count += chunk.length);
        socket.on("end", () => socket.end(`${count}\n`));
      });
    case "reset":
      return raw((socket) => {
        let left = Number(options.after ?? 1);
        if (left === 0) return void socket.resetAndDestroy();
        socket.on("data", (chunk) => {
          left -= chunk.length;
          if (left <= 0) socket.resetAndDestroy();
        });
        socket.on("end", () => socket.end());
      });
    case "stall":
      return raw((socket) => void socket.pause());
    case "close":
      return raw((socket) => {
        socket.resume();
        socket.end(options.text ?? "");
      });
    case "redis": {
      const store = new RedisStore();
      return raw((socket) => serveRedis(socket, store));
    }
    case "refuse":
    case "exit":
      return undefined;
    default:
      throw new Error(`No such pod program: "${program.program}"`);
  }
}
