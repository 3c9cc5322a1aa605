import { lookup } from "node:dns/promises";
import { connect, isIP } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ApiTarget, ApiTls } from "../model/api_target.ts";
import { passProxy } from "./proxy_dial.ts";
import { DialError, hostPort, tcpError } from "./tcp.ts";
import { tlsError } from "./tls_errors.ts";
import { DenoWire, NodeWire, type Wire } from "./wire.ts";

/** How long one of several addresses of a name is tried before the next, in ms. */
const ADDRESS_MS = 3_000;

/**
 * Opens a connection to an API server, TLS and proxy included, and finishes
 * the handshake. Throws DialError, or the signal's reason.
 *
 * Deno's own API is used wherever it can do the job: it says what is wrong
 * with a certificate and closes cleanly. node:tls has to do the rest (skipping
 * verification; a client certificate together with a proxy or another server
 * name): it calls every TLS failure "write UNKNOWN", and a handshake given up
 * half way keeps its descriptor until the server hangs up.
 */
export async function dial(
  target: ApiTarget,
  options: { deadlineMs: number; signal?: AbortSignal },
): Promise<Wire> {
  const deadline = AbortSignal.timeout(options.deadlineMs);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  try {
    return await open(target, signal);
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    if (deadline.aborted) {
      throw new DialError(
        "timeout",
        `no answer from ${hostPort(target)} within ${options.deadlineMs / 1000} s`,
      );
    }
    throw error;
  }
}

async function open(target: ApiTarget, signal: AbortSignal): Promise<Wire> {
  const { tls, host, port } = target;
  const serverName = tls?.serverName ?? host;
  if (!tls) return new DenoWire(await openTcp(target, signal));
  if (tls.insecureSkipVerify) return await openNode(target, tls, signal);
  if (tls.cert !== undefined && tls.key !== undefined) {
    if (target.proxyUrl || serverName !== host) return await openNode(target, tls, signal);
    try {
      const connecting = Deno.connectTls({
        hostname: host,
        port,
        cert: tls.cert,
        key: tls.key,
        ...(tls.ca === undefined ? {} : { caCerts: [tls.ca] }),
      });
      // It cannot be cancelled: whatever comes too late is closed then.
      connecting.then((late) => signal.aborted && late.close(), () => {});
      const conn = await unlessAborted(connecting, signal);
      return await handshake(conn, serverName, signal);
    } catch (error) {
      if (error instanceof DialError || signal.aborted) throw error;
      throw tlsError(error, serverName) ?? tcpError(error, host, port);
    }
  }
  const tcp = await openTcp(target, signal);
  let conn: Deno.TlsConn;
  try {
    conn = await Deno.startTls(tcp, {
      hostname: serverName,
      ...(tls.ca === undefined ? {} : { caCerts: [tls.ca] }),
    });
  } catch (error) {
    tcp.close();
    throw tlsError(error, serverName) ?? error;
  }
  return await handshake(conn, serverName, signal);
}

/** Waits for the handshake, so that a bad certificate is known before anything is sent. */
async function handshake(
  conn: Deno.TlsConn,
  serverName: string,
  signal: AbortSignal,
): Promise<Wire> {
  const onAbort = () => conn.close();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    await conn.handshake();
    return new DenoWire(conn);
  } catch (error) {
    if (!signal.aborted) conn.close();
    else throw signal.reason;
    throw tlsError(error, serverName) ??
      new DialError("closed", `the server closed the connection (${String(error)})`, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function openTcp(target: ApiTarget, signal: AbortSignal): Promise<Deno.TcpConn> {
  const via = target.proxyUrl ? proxyAddress(target.proxyUrl) : target;
  let conn: Deno.TcpConn;
  try {
    conn = await connectAny(via.host, via.port, signal);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const reason = tcpError(error, via.host, via.port);
    throw target.proxyUrl
      ? new DialError("proxy", `the proxy cannot be reached: ${reason.message}`, error)
      : reason;
  }
  conn.setNoDelay(true);
  if (!target.proxyUrl) return conn;
  const onAbort = () => conn.close();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await passProxy(target.proxyUrl, target, {
      read: async () => {
        const buffer = new Uint8Array(1);
        return await conn.read(buffer) === null ? undefined : buffer;
      },
      write: async (data) => {
        for (let at = 0; at < data.length;) at += await conn.write(data.subarray(at));
      },
    });
    return conn;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    conn.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Connects to the first address of a name that answers. The look-up is done by
 * itself because Deno.connect forgets to free its cancellation when it fails.
 */
async function connectAny(host: string, port: number, signal: AbortSignal): Promise<Deno.TcpConn> {
  const addresses = isIP(host)
    ? [host]
    : (await unlessAborted(lookup(host, { all: true }), signal)).map((one) => one.address);
  for (const [index, hostname] of addresses.entries()) {
    const last = index === addresses.length - 1;
    // A family that leads nowhere (often IPv6) must not eat the whole deadline.
    const own = last ? signal : AbortSignal.any([signal, AbortSignal.timeout(ADDRESS_MS)]);
    try {
      return await Deno.connect({ hostname, port, signal: own });
    } catch (error) {
      if (last || signal.aborted) throw error;
    }
  }
  throw new DialError("name_unknown", `the name "${host}" has no address`);
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

async function openNode(target: ApiTarget, tls: ApiTls, signal: AbortSignal): Promise<Wire> {
  const serverName = tls.serverName ?? target.host;
  const via = target.proxyUrl ? proxyAddress(target.proxyUrl) : target;
  const raw = connect({ host: via.host, port: via.port, noDelay: true });
  let give: { destroy(): void } = raw;
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const onAbort = () => fail(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  raw.on("error", (error) => fail(tcpError(error, via.host, via.port)));
  raw.on("close", () => fail(new DialError("closed", "the server closed the connection")));
  try {
    // Paused in the very event: a read that Deno has started by the time of
    // tls.connect swallows the server's hello, and the handshake never ends.
    const connected = new Promise<void>((resolve) =>
      raw.once("connect", () => {
        raw.pause();
        resolve();
      })
    );
    await Promise.race([failed, connected]);
    if (target.proxyUrl) {
      const chunks: Uint8Array[] = [];
      let wake = () => {};
      const onData = (chunk: Uint8Array) => {
        raw.pause();
        for (const byte of chunk) chunks.push(Uint8Array.of(byte));
        wake();
      };
      raw.on("data", onData);
      await passProxy(target.proxyUrl, target, {
        read: async () => {
          while (chunks.length === 0) {
            raw.resume();
            await Promise.race([failed, new Promise<void>((resolve) => wake = resolve)]);
          }
          return chunks.shift();
        },
        write: (data) => Promise.resolve(void raw.write(data)),
      });
      raw.off("data", onData);
    }
    const socket = connectTls({
      socket: raw,
      // Without `host` Deno verifies against "localhost"; RFC 6066: SNI holds names only.
      host: serverName,
      ...(isIP(serverName) ? {} : { servername: serverName }),
      rejectUnauthorized: !tls.insecureSkipVerify,
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
    });
    give = socket;
    socket.on(
      "error",
      (error) => fail(new DialError("tls", `the TLS handshake failed (${error.message})`, error)),
    );
    await Promise.race([
      failed,
      new Promise<void>((resolve) => socket.once("secureConnect", resolve)),
    ]);
    return new NodeWire(socket);
  } catch (error) {
    give.destroy();
    raw.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Finds out why a node:tls connection failed before it carried anything, by a
 * second handshake through the API that tells. The client certificate is not
 * needed for that: the server's is judged first.
 */
export async function explainTls(
  target: ApiTarget,
  deadlineMs: number,
): Promise<DialError | undefined> {
  const { tls } = target;
  if (!tls || tls.insecureSkipVerify || tls.cert === undefined) return undefined;
  const { cert: _cert, key: _key, ...rest } = tls;
  try {
    const wire = await dial({ ...target, tls: rest }, { deadlineMs });
    wire.destroy();
    return undefined;
  } catch (error) {
    return error instanceof DialError && error.kind.startsWith("certificate") ? error : undefined;
  }
}

/** The kinds of proxy there are, with the port each has by default. */
const PROXY_PORTS: Readonly<Record<string, number>> = {
  "http:": 80,
  "socks5:": 1080,
  "socks5h:": 1080,
};

function proxyAddress(proxyUrl: string): { host: string; port: number } {
  const { hostname, port, protocol } = new URL(proxyUrl);
  const usual = PROXY_PORTS[protocol];
  if (usual === undefined) {
    throw new DialError("proxy", `proxies of kind "${protocol.slice(0, -1)}" are not supported`);
  }
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || usual) };
}
