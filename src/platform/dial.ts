import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { ApiTarget } from "../model/api_target.ts";
import { connectFirst } from "./connect_first.ts";
import { type ByteConn, connectTcp, needsNodeTls, type TcpConn, type TlsOptions } from "./net.ts";
import { passProxy } from "./proxy_dial.ts";
import { DialError, hostPort, tcpError } from "./tcp.ts";
import { tcpOver } from "./tcp_over.ts";
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
    : await connectThrough(target.proxyUrl, target, signal);
  const serverName = tls?.serverName ?? target.host;
  const onAbort = () => tcp.close();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    if (tls === undefined) return tcp;
    return await secured(tcp, {
      serverName,
      insecureSkipVerify: tls.insecureSkipVerify,
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
    }, signal);
  } catch (error) {
    tcp.close();
    throw error;
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
  target: ApiTarget,
  signal: AbortSignal,
): Promise<TcpConn> {
  const proxy = proxyAddress(proxyUrl);
  const inside = target.tls !== undefined && needsNodeTls(target.tls);
  const outside = proxyTls(target, proxy.host);
  let tcp: TcpConn;
  try {
    tcp = await connectAny(proxy, proxy.secure ? needsNodeTls(outside) : inside, signal);
    if (proxy.secure) tcp = await tcpOver(await secured(tcp, outside, signal), inside, signal);
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

/** As in Go's Transport the cluster's authorities count for the proxy, too; its client certificate is not shown. */
function proxyTls({ tls }: ApiTarget, serverName: string): TlsOptions {
  return {
    serverName,
    insecureSkipVerify: tls?.insecureSkipVerify ?? false,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
  };
}

async function secured(tcp: TcpConn, options: TlsOptions, signal: AbortSignal) {
  try {
    return await tcp.startTls(options, signal);
  } catch (error) {
    tcp.close();
    signal.throwIfAborted();
    throw tlsError(error, options.serverName) ??
      new DialError("closed", `the connection ended in the TLS handshake (${error})`, error);
  }
}

/** The kinds of proxy there are, with the port each has by default. */
const PROXY_PORTS: Readonly<Record<string, number>> = {
  "http:": 80,
  "https:": 443,
  "socks5:": 1080,
  "socks5h:": 1080,
};

function proxyAddress(proxyUrl: string): Address & { readonly secure: boolean } {
  if (!URL.canParse(proxyUrl)) throw new DialError("proxy", "the proxy's URL is not a URL");
  const { hostname, port, protocol } = new URL(proxyUrl);
  const usual = PROXY_PORTS[protocol];
  if (usual === undefined) {
    throw new DialError("proxy", `proxies of kind "${protocol.slice(0, -1)}" are not supported`);
  }
  const host = hostname.replace(/^\[|\]$/g, "");
  return { host, port: Number(port || usual), secure: protocol === "https:" };
}
