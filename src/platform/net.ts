import { Buffer } from "node:buffer";
import net from "node:net";
import tls from "node:tls";
import { connIo } from "./conn_io.ts";

/**
 * A connected byte stream, as thin as the runtime allows: no WHATWG or Node
 * streams on the way of a byte.
 */
export interface ByteConn {
  /** False when the bytes do not take the shortest way this runtime has, which is slower. */
  readonly direct: boolean;
  /** Reads into `into`, which is not empty; 0 at the end of input. Rejects when the connection broke. */
  read(into: Uint8Array): Promise<number>;
  /** Writes some of `bytes` and says how many. Rejects when the connection broke. */
  write(bytes: Uint8Array): Promise<number>;
  /** Sends the end of output. On TLS that is close_notify. */
  closeWrite(): Promise<void>;
  /** Ends both directions at once; never throws, may be called again. */
  close(): void;
}

/** Writes everything, however the connection cuts it up. */
export async function writeAll(conn: ByteConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Reads exactly that many bytes; undefined when the far end's output ends before. */
export async function readExactly(conn: ByteConn, count: number): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(count);
  for (let have = 0; have < count;) {
    const read = await conn.read(bytes.subarray(have));
    if (read === 0) return undefined;
    have += read;
  }
  return bytes;
}

/** A TCP connection that can still become a TLS one. */
export interface TcpConn extends ByteConn {
  /**
   * After this only the returned connection may be used. Rejects when the
   * handshake fails, or with the signal's reason; the connection is closed then.
   */
  startTls(options: TlsOptions, signal: AbortSignal): Promise<ByteConn>;
}

export interface TlsOptions {
  /** Name or address to verify, and to send as SNI where it is a name. */
  readonly serverName: string;
  /** PEM bundle trusted besides the system's authorities (the runtime can't leave those out). */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly insecureSkipVerify: boolean;
}

/** True when only node:tls can do it: `Deno.startTls` knows no client certificate and always verifies. */
export function needsNodeTls(options: { cert?: string; insecureSkipVerify: boolean }): boolean {
  return options.cert !== undefined || options.insecureSkipVerify;
}

/**
 * Dials `host:port` with TCP_NODELAY, without which every new stream on a link
 * waits for the far end's delayed ACK (40 ms). `nodeTls` must be true when
 * `startTls` will need what `needsNodeTls` tells. Rejects with the runtime's
 * error, or with the signal's reason.
 */
export async function connectTcp(
  host: string,
  port: number,
  options: { nodeTls: boolean; signal?: AbortSignal },
): Promise<TcpConn> {
  return options.nodeTls
    ? await connectNode(host, port, options.signal)
    : await connectDeno(host, port, options.signal);
}

async function connectDeno(host: string, port: number, signal?: AbortSignal): Promise<TcpConn> {
  const conn = await Deno.connect({
    hostname: host,
    port,
    ...(signal === undefined ? {} : { signal }),
  });
  conn.setNoDelay(true);
  conn.setKeepAlive(true);
  return {
    ...fromDeno(conn),
    async startTls(options, signal) {
      const secure = await Deno.startTls(conn, {
        hostname: options.serverName,
        ...(options.ca === undefined ? {} : { caCerts: [options.ca] }),
      });
      await handshake(secure, () => closeQuietly(secure), signal);
      return fromDeno(secure);
    },
  };
}

/** Finishes a handshake, or closes the connection and rejects. */
async function handshake(conn: Deno.TlsConn, close: () => void, signal: AbortSignal) {
  signal.addEventListener("abort", close, { once: true });
  try {
    signal.throwIfAborted();
    await conn.handshake();
  } catch (error) {
    close();
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", close);
  }
}

function closeQuietly(resource: { close(): void }): void {
  try {
    resource.close();
  } catch {
    // Already closed: the runtime throws BadResource.
  }
}

/** The connection with exactly the four calls of ByteConn, each a direct call. */
function fromDeno(conn: Deno.Conn): ByteConn {
  return {
    ...connIo(conn),
    closeWrite: () => conn.closeWrite(),
    close: () => closeQuietly(conn),
  };
}

function connectNode(host: string, port: number, signal?: AbortSignal): Promise<TcpConn> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const socket = net.connect({ host, port, noDelay: true, keepAlive: true });
    // Once Node has begun to read, a TLS handshake on the socket never ends.
    socket.pause();
    const onAbort = () => {
      socket.destroy();
      reject(signal!.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.once("error", (error) => {
      signal?.removeEventListener("abort", onAbort);
      reject(error);
    });
    socket.once("connect", () => {
      signal?.removeEventListener("abort", onAbort);
      // Asked for again: what `connect` was told does not reach the connection
      // inside, and without it every new stream waits for a delayed ACK.
      socket.setNoDelay(true);
      const direct = innerConn(handleOf(socket));
      (direct as Partial<Deno.TcpConn> | undefined)?.setNoDelay?.(true);
      const conn = direct === undefined ? fromNodeSocket(socket) : {
        ...fromDeno(direct),
        close: () => socket.destroy(),
      };
      resolve({ ...conn, startTls: (options, signal) => startNodeTls(socket, options, signal) });
    });
  });
}

async function startNodeTls(
  raw: net.Socket,
  options: TlsOptions,
  signal: AbortSignal,
): Promise<ByteConn> {
  if (unanswered >= MAX_UNANSWERED) {
    raw.destroy();
    throw new Error("Too many TLS handshakes are still without an answer");
  }
  // The TLS socket takes over this handle. With reading kept from starting, the
  // connection inside is ours alone once the handshake is done.
  const handle = handleOf(raw);
  const direct = innerConn(handle) !== undefined;
  if (direct) handle!.readStart = () => 0;
  const socket = tls.connect({
    socket: raw,
    // `host` verifies an address too; `servername` may only be a name (RFC 6066).
    host: options.serverName,
    ...(net.isIP(options.serverName) ? {} : { servername: options.serverName }),
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.cert === undefined ? {} : { cert: options.cert }),
    ...(options.key === undefined ? {} : { key: options.key }),
    rejectUnauthorized: !options.insecureSkipVerify,
  });
  const close = () => {
    socket.destroy();
    raw.destroy();
  };
  try {
    await secured(socket, raw, close, signal);
  } catch (error) {
    if (signal.aborted && direct) closeLate(socket, handle!);
    throw error;
  }
  const inner = direct ? innerConn(handle) as Deno.TlsConn : undefined;
  if (typeof inner?.handshake !== "function") {
    if (direct) delete handle!.readStart;
    return fromNodeSocket(socket);
  }
  // Node tells of a secure connection after a failed handshake, too.
  await handshake(inner, close, signal);
  return { ...fromDeno(inner), close };
}

/** Handshakes given up that the runtime still waits for. */
let unanswered = 0;
/** Each holds a file descriptor, so there is an end to them. */
const MAX_UNANSWERED = 64;

/**
 * A handshake cannot be called off: the connection inside is out of reach
 * until it has ended one way or the other. It is closed then.
 */
function closeLate(socket: tls.TLSSocket, handle: Handle): void {
  unanswered++;
  socket.once("secureConnect", () => {
    unanswered--;
    const conn = innerConn(handle);
    if (conn !== undefined) closeQuietly(conn);
  });
}

/** Waits for the event. Errors after it are told by reads and writes. */
function secured(
  socket: tls.TLSSocket,
  raw: net.Socket,
  close: () => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      signal.removeEventListener("abort", onAbort);
      close();
      reject(error);
    };
    const onAbort = () => fail(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("error", fail);
    raw.once("close", () => fail(new Error("Connection closed during the TLS handshake")));
    socket.once("secureConnect", () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
  });
}

/**
 * The `Deno.Conn` on which the runtime builds a Node socket. Using that one
 * directly costs half of what Node's streams cost (docs/decisions/0020).
 * Undefined when this runtime is built differently: then Node's streams do the
 * work, only slower.
 */
function innerConn(handle: Handle | undefined): Deno.Conn | undefined {
  if (handle === undefined) return undefined;
  const field = Object.getOwnPropertySymbols(handle)
    .find((symbol) => symbol.description === "kStreamBaseField");
  const conn = field === undefined ? undefined : handle[field] as Deno.Conn | undefined;
  const whole = typeof conn?.read === "function" && typeof conn.write === "function" &&
    typeof conn.close === "function" && typeof conn.closeWrite === "function" &&
    typeof handle.onread === "function" && typeof handle.reading === "boolean";
  return whole ? conn : undefined;
}

type Handle = Record<PropertyKey, unknown>;

function handleOf(socket: net.Socket): Handle | undefined {
  return Reflect.get(socket, "_handle") ?? undefined;
}

/** Any Node socket as a ByteConn: paused reading, one waiting reader. */
function fromNodeSocket(socket: net.Socket): ByteConn {
  let failure: Error | undefined;
  let ended = false;
  let wake: (() => void) | undefined;
  const notify = () => wake?.();
  const onError = (error: Error) => {
    failure = error;
    notify();
  };
  const onEnd = () => {
    ended = true;
    notify();
  };
  socket.on("error", onError);
  let listening = false;
  return {
    direct: false,
    async read(into) {
      if (!listening) {
        // Only now: a socket that is to become a TLS one must not be read before.
        listening = true;
        socket.on("readable", notify);
        socket.on("end", onEnd);
        socket.on("close", onEnd);
      }
      for (;;) {
        const available = socket.readableLength;
        const bytes: Buffer | null = available > 0
          ? socket.read(Math.min(available, into.length))
          : socket.read();
        if (bytes !== null && bytes.length > 0) {
          if (bytes.length > into.length) {
            socket.unshift(bytes.subarray(into.length));
            into.set(bytes.subarray(0, into.length));
            return into.length;
          }
          into.set(bytes);
          return bytes.length;
        }
        if (failure) throw failure;
        if (ended) return 0;
        await new Promise<void>((resolve) => wake = resolve);
      }
    },
    write(bytes) {
      return new Promise((resolve, reject) => {
        if (failure) return reject(failure);
        // The caller reuses its memory as soon as this resolves, as with Deno.
        socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
      });
    },
    closeWrite() {
      return new Promise((resolve) => socket.end(() => resolve()));
    },
    close() {
      socket.destroy();
    },
  };
}

/** A program's connection to a listener. */
export interface AcceptedConn extends ByteConn {
  /** Address the program connected from. */
  readonly remoteAddress: string;
}

/** An open listening socket. */
export interface Acceptor {
  readonly port: number;
  /** Undefined once closed. Rejects on passing trouble (too many open files): try again later. */
  accept(): Promise<AcceptedConn | undefined>;
  close(): void;
}

/** Why an address cannot be listened on. */
export type BindFailure = "in_use" | "permission" | "address" | "other";

/**
 * Listens on `address:port` (0: any free port). Throws what the runtime
 * throws; `bindFailure` tells which kind that is.
 */
export function listenTcp(address: string, port: number): Acceptor {
  const listener = Deno.listen({ hostname: address, port, transport: "tcp" });
  let closed = false;
  return {
    port: listener.addr.port,
    async accept() {
      for (;;) {
        let conn: Deno.TcpConn;
        try {
          conn = await listener.accept();
        } catch (error) {
          if (closed) return undefined;
          if (error instanceof Deno.errors.BadResource) return undefined;
          // The program gave up while it waited in the queue: the second is accept's own
          // question for the address of one that has been reset already.
          if (error instanceof Deno.errors.ConnectionAborted) continue;
          if (error instanceof Deno.errors.NotConnected) continue;
          throw error;
        }
        try {
          // Answers are forwarded in the pieces they came in: no Nagle on top of that.
          conn.setNoDelay(true);
        } catch {
          // macOS sets nothing on a connection that has been reset already (setsockopt(2), EINVAL).
          closeQuietly(conn);
          continue;
        }
        const { hostname } = conn.remoteAddr;
        return { ...fromDeno(conn), remoteAddress: hostname };
      }
    },
    close() {
      closed = true;
      closeQuietly(listener);
    },
  };
}

export function bindFailure(error: unknown): BindFailure {
  if (error instanceof Deno.errors.AddrInUse) return "in_use";
  if (error instanceof Deno.errors.PermissionDenied) return "permission";
  if (error instanceof Deno.errors.NotCapable) return "permission";
  if (error instanceof Deno.errors.AddrNotAvailable) return "address";
  const code = Reflect.get(Object(error), "code");
  if (code === "EADDRINUSE") return "in_use";
  if (code === "EACCES" || code === "EPERM") return "permission";
  if (code === "EADDRNOTAVAIL") return "address";
  return "other";
}
