import { Buffer } from "node:buffer";
import { isIPv4 } from "node:net";
import { type ByteConn, readExactly, writeAll } from "./net.ts";
import { DialError, hostPort } from "./tcp.ts";

/** The longest answer to CONNECT taken, in bytes. */
const MAX_ANSWER = 65_536;

/**
 * Asks an HTTP (CONNECT) or SOCKS5 proxy for a connection to `to`, over one to
 * the proxy. User name and password come from the proxy's URL; not a byte
 * behind the proxy's answer is read. Throws DialError `proxy`, or what the
 * connection throws.
 */
export async function passProxy(
  proxyUrl: string,
  to: { readonly host: string; readonly port: number },
  conn: ByteConn,
): Promise<void> {
  const url = new URL(proxyUrl);
  const user = Buffer.from(decodeURIComponent(url.username));
  const password = Buffer.from(decodeURIComponent(url.password));
  if (/^https?:$/.test(url.protocol)) await httpConnect(url.host, { user, password }, to, conn);
  else await socksConnect({ user, password }, to, conn);
}

interface Login {
  /** Empty: no login. */
  readonly user: Buffer;
  readonly password: Buffer;
}

async function httpConnect(
  proxy: string,
  { user, password }: Login,
  to: { readonly host: string; readonly port: number },
  conn: ByteConn,
): Promise<void> {
  const authority = hostPort(to);
  const basic = Buffer.concat([user, Buffer.from(":"), password]).toString("base64");
  const login = user.length > 0 ? `Proxy-Authorization: Basic ${basic}\r\n` : "";
  await writeAll(
    conn,
    Buffer.from(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${login}\r\n`),
  );
  let head = "";
  while (!head.endsWith("\r\n\r\n")) {
    head += String.fromCharCode((await take(conn, 1))[0]!);
    if (head.length > MAX_ANSWER) throw new DialError("proxy", "the proxy's answer is too long");
  }
  const status = head.slice(0, head.indexOf("\r\n"));
  if (!/^HTTP\/1\.\d 2\d\d/.test(status)) {
    throw new DialError("proxy", `the proxy ${proxy} refused with "${status}"`);
  }
}

/** RFC 1928, with RFC 1929 for a login. The name is resolved by the proxy. */
async function socksConnect(
  { user, password }: Login,
  { host, port }: { readonly host: string; readonly port: number },
  conn: ByteConn,
): Promise<void> {
  const named = user.length > 0;
  await writeAll(conn, named ? Uint8Array.of(5, 2, 0, 2) : Uint8Array.of(5, 1, 0));
  const [version, method] = await take(conn, 2);
  if (version !== 5) throw new DialError("proxy", "the proxy does not speak SOCKS5");
  if (method === 2 && named) {
    if (user.length > 255 || password.length > 255) {
      throw new DialError("proxy", "the proxy's user name or password is too long");
    }
    await writeAll(conn, Uint8Array.of(1, user.length, ...user, password.length, ...password));
    if ((await take(conn, 2))[1] !== 0) {
      throw new DialError("proxy", "the SOCKS proxy refused the login");
    }
  } else if (method !== 0) {
    throw new DialError("proxy", "the SOCKS proxy wants another way to log in");
  }
  const name = Buffer.from(host);
  if (name.length > 255) throw new DialError("proxy", "the host name is too long for the proxy");
  // An IPv6 address goes as a name: proxies parse it like any other.
  const address = isIPv4(host) ? [1, ...host.split(".").map(Number)] : [3, name.length, ...name];
  await writeAll(conn, Uint8Array.of(5, 1, 0, ...address, port >> 8, port & 255));
  const reply = await take(conn, 4);
  if (reply[1] !== 0) {
    throw new DialError("proxy", `the SOCKS proxy could not connect (code ${reply[1]})`);
  }
  const rest = reply[3] === 1 ? 4 : reply[3] === 4 ? 16 : (await take(conn, 1))[0]!;
  await take(conn, rest + 2);
}

async function take(conn: ByteConn, count: number): Promise<Uint8Array> {
  const bytes = await readExactly(conn, count);
  if (bytes === undefined) throw new DialError("proxy", "the proxy closed the connection");
  return bytes;
}
