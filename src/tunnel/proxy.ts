import { connectTcp, type TcpConn } from "../platform/net.ts";
import { TunnelError } from "./errors.ts";
import { readAnswer, requestText, writeAll } from "./upgrade.ts";

/**
 * A TCP connection to `host:port` through an HTTP (CONNECT) or SOCKS5 proxy.
 * With `socks5h://` and `socks5://` alike the proxy resolves the name, as Go
 * does. Throws TunnelError `unreachable` when the proxy refuses.
 */
export async function connectThroughProxy(
  proxyUrl: string,
  host: string,
  port: number,
  options: { nodeTls: boolean; signal: AbortSignal },
): Promise<TcpConn> {
  const proxy = parseProxy(proxyUrl);
  const tcp = await connectTcp(proxy.host, proxy.port, options);
  const onAbort = () => tcp.close();
  options.signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (proxy.scheme === "http") await httpConnect(tcp, host, port, proxy);
    else await socks5(tcp, host, port, proxy);
    return tcp;
  } catch (error) {
    tcp.close();
    throw error;
  } finally {
    options.signal.removeEventListener("abort", onAbort);
  }
}

interface Proxy {
  readonly scheme: "http" | "socks5";
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

function parseProxy(text: string): Proxy {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw refused(`the proxy URL is not a URL`);
  }
  const scheme = url.protocol === "http:"
    ? "http"
    : url.protocol === "socks5:" || url.protocol === "socks5h:"
    ? "socks5"
    : undefined;
  if (scheme === undefined) {
    throw refused(`a proxy of kind "${url.protocol.slice(0, -1)}" is not supported`);
  }
  return {
    scheme,
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (scheme === "http" ? 80 : 1080) : Number(url.port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
  };
}

async function httpConnect(tcp: TcpConn, host: string, port: number, proxy: Proxy): Promise<void> {
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const credentials = new TextEncoder().encode(`${proxy.user}:${proxy.password}`);
  await writeAll(
    tcp,
    requestText("CONNECT", authority, [
      ["Host", authority],
      ...(proxy.user === ""
        ? []
        : [["Proxy-Authorization", `Basic ${btoa(String.fromCharCode(...credentials))}`] as const]),
    ]),
  );
  const answer = await readAnswer(tcp);
  if (answer.status < 200 || answer.status > 299) {
    throw refused(`the proxy "${proxy.host}:${proxy.port}" answered ${answer.status}`);
  }
  // A TLS server waits for the client, so nothing may stand here yet.
  if (answer.rest.length > 0) throw refused("the proxy sent bytes of its own");
}

/** RFC 1928, with RFC 1929 for a user and password. */
async function socks5(tcp: TcpConn, host: string, port: number, proxy: Proxy): Promise<void> {
  const named = proxy.user !== "";
  await writeAll(tcp, named ? Uint8Array.of(5, 2, 0, 2) : Uint8Array.of(5, 1, 0));
  const [version, method] = await readExactly(tcp, 2);
  if (version !== 5) throw refused("the proxy does not speak SOCKS5");
  if (method === 2 && named) {
    const encoder = new TextEncoder();
    const user = encoder.encode(proxy.user);
    const password = encoder.encode(proxy.password);
    if (user.length > 255 || password.length > 255) {
      throw refused("the proxy's password is too long");
    }
    await writeAll(tcp, Uint8Array.of(1, user.length, ...user, password.length, ...password));
    if ((await readExactly(tcp, 2))[1] !== 0) throw refused("the proxy refused the password");
  } else if (method !== 0) {
    throw refused("the proxy wants another way to log in");
  }
  const name = new TextEncoder().encode(host);
  if (name.length > 255) throw refused("the host name is too long");
  await writeAll(tcp, Uint8Array.of(5, 1, 0, ...address(host, name), port >> 8, port & 255));
  const [, reply, , kind] = await readExactly(tcp, 4);
  if (reply !== 0) throw refused(`the proxy answered ${reply}`);
  const length = kind === 1 ? 4 : kind === 4 ? 16 : (await readExactly(tcp, 1))[0]!;
  await readExactly(tcp, length + 2);
}

function address(host: string, name: Uint8Array): number[] {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host);
  if (v4) return [1, ...v4.slice(1).map(Number)];
  // An IPv6 address goes as a name: proxies parse it like any other.
  return [3, name.length, ...name];
}

async function readExactly(tcp: TcpConn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let have = 0; have < length;) {
    const count = await tcp.read(bytes.subarray(have));
    if (count === null) throw refused("the proxy closed the connection");
    have += count;
  }
  return bytes;
}

function refused(reason: string): TunnelError {
  return new TunnelError("unreachable", `Cannot connect through the proxy: ${reason}`, {
    nothingDelivered: true,
    hint: "Check proxy-url in the kubeconfig, or HTTPS_PROXY",
  });
}
