import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { ApiTarget } from "../model/api_target.ts";
import { connectFirst } from "./connect_first.ts";
import { type ByteConn, connectTcp, needsNodeTls, type TcpConn } from "./net.ts";
import { passProxy } from "./proxy_dial.ts";
import { DialError, hostPort, tcpError } from "./tcp.ts";
import { tlsError } from "./tls_errors.ts";
import { untilAborted } from "./until_aborted.ts";

/**
 * A connection to an API server: TCP, the proxy's handshake where there is
 * one, then TLS with its handshake done, so that a bad certificate is known
 * before anything is sent. Throws DialError, or the signal's reason.
 */
export async function dial(target: ApiTarget, signal: AbortSignal): Promise<ByteConn> {
  const { tls } = target;
  const nodeTls = tls !== undefined && needsNodeTls(tls);
  const tcp = target.proxyUrl === undefined
    ? await connectAny(target, nodeTls, signal)
    : await connectThrough(target.proxyUrl, target, nodeTls, signal);
  const serverName = tls?.serverName ?? target.host;
  const onAbort = () => tcp.close();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    if (tls === undefined) return tcp;
    return await tcp.startTls({
      serverName,
      insecureSkipVerify: tls.insecureSkipVerify,
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
    }, signal);
  } catch (error) {
    tcp.close();
    signal.throwIfAborted();
    throw tlsError(error, serverName) ??
      new DialError("closed", `the connection ended in the TLS handshake (${error})`, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** The same with a deadline in ms, past which it throws DialError `timeout`. */
export async function dialWithin(
  target: ApiTarget,
  deadlineMs: number,
  signal?: AbortSignal,
): Promise<ByteConn> {
  const deadline = AbortSignal.timeout(deadlineMs);
  try {
    return await dial(target, signal ? AbortSignal.any([signal, deadline]) : deadline);
  } catch (error) {
    signal?.throwIfAborted();
    if (!deadline.aborted) throw error;
    const where = hostPort(target);
    throw new DialError("timeout", `no answer from ${where} within ${deadlineMs / 1000} s`);
  }
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * The look-up is done by itself because Deno.connect forgets to free its
 * cancellation when it fails.
 */
async function connectAny(
  { host, port }: Address,
  nodeTls: boolean,
  signal: AbortSignal,
): Promise<TcpConn> {
  let addresses: readonly string[];
  try {
    addresses = isIP(host)
      ? [host]
      : (await untilAborted(lookup(host, { all: true }), signal)).map((one) => one.address);
  } catch (error) {
    signal.throwIfAborted();
    throw tcpError(error, host, port);
  }
  if (addresses.length === 0) {
    throw new DialError("name_unknown", `the name "${host}" has no address`);
  }
  try {
    return await connectFirst(
      addresses,
      (address, own) => connectTcp(address, port, { nodeTls, signal: own }),
      signal,
    );
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof AggregateError)) throw error;
    const errors = error.errors.map((one) => tcpError(one, host, port));
    // A family this machine does not have says less than the others do.
    throw errors.find(({ kind }) => kind !== "unroutable") ?? errors[0];
  }
}

async function connectThrough(
  proxyUrl: string,
  target: Address,
  nodeTls: boolean,
  signal: AbortSignal,
): Promise<TcpConn> {
  const proxy = proxyAddress(proxyUrl);
  let tcp: TcpConn;
  try {
    tcp = await connectAny(proxy, nodeTls, signal);
  } catch (error) {
    if (!(error instanceof DialError)) throw error;
    throw new DialError("proxy", `the proxy cannot be reached: ${error.message}`, error);
  }
  const onAbort = () => tcp.close();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await passProxy(proxyUrl, target, tcp);
    return tcp;
  } catch (error) {
    tcp.close();
    signal.throwIfAborted();
    if (error instanceof DialError) throw error;
    throw new DialError("proxy", `the connection to the proxy broke (${error})`, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** The kinds of proxy there are, with the port each has by default. */
const PROXY_PORTS: Readonly<Record<string, number>> = {
  "http:": 80,
  "socks5:": 1080,
  "socks5h:": 1080,
};

function proxyAddress(proxyUrl: string): Address {
  if (!URL.canParse(proxyUrl)) throw new DialError("proxy", "the proxy's URL is not a URL");
  const { hostname, port, protocol } = new URL(proxyUrl);
  const usual = PROXY_PORTS[protocol];
  if (usual === undefined) {
    throw new DialError("proxy", `proxies of kind "${protocol.slice(0, -1)}" are not supported`);
  }
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || usual) };
}
