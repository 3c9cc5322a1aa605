import { Buffer } from "node:buffer";
import { isIPv4 } from "node:net";
import { DialError, hostPort } from "./tcp.ts";

/** A connection to a proxy before it is handed over: byte by byte, so that none is read too many. */
export interface ProxyTalk {
  /** One byte; undefined at the end. */
  read(): Promise<Uint8Array | undefined>;
  write(data: Uint8Array): Promise<void>;
}

/** The longest answer to CONNECT taken, in bytes. */
const MAX_ANSWER = 65_536;

/**
 * Asks an HTTP (CONNECT) or SOCKS5 proxy for a connection to `to`. User name
 * and password come from the proxy's URL. Throws DialError `proxy`.
 */
export async function passProxy(
  proxyUrl: string,
  to: { readonly host: string; readonly port: number },
  talk: ProxyTalk,
): Promise<void> {
  const proxy = new URL(proxyUrl);
  if (proxy.protocol === "http:") await httpConnect(proxy, to, talk);
  else await socksConnect(proxy, to, talk);
}
async function httpConnect(
  proxy: URL,
  to: { readonly host: string; readonly port: number },
  talk: ProxyTalk,
): Promise<void> {
  const authority = hostPort(to);
  const login = proxy.username
    ? `Proxy-Authorization: Basic ${
      Buffer.from(`${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`)
        .toString("base64")
    }\r\n`
    : "";
  await talk.write(
    Buffer.from(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${login}\r\n`),
  );
  let head = "";
  while (!head.endsWith("\r\n\r\n")) {
    head += String.fromCharCode((await take(talk, 1))[0]!);
    if (head.length > MAX_ANSWER) throw new DialError("proxy", "the proxy's answer is too long");
  }
  const status = head.slice(0, head.indexOf("\r\n"));
  if (!/^HTTP\/1\.\d 2\d\d/.test(status)) {
    throw new DialError("proxy", `the proxy ${proxy.host} refused with "${status}"`);
  }
}

/** RFC 1928 and RFC 1929. The name is resolved by the proxy. */
async function socksConnect(
  proxy: URL,
  { host, port }: { readonly host: string; readonly port: number },
  talk: ProxyTalk,
): Promise<void> {
  const user = Buffer.from(decodeURIComponent(proxy.username));
  const password = Buffer.from(decodeURIComponent(proxy.password));
  await talk.write(Uint8Array.of(5, 1, user.length > 0 ? 2 : 0));
  const method = (await take(talk, 2))[1];
  if (method === 2) {
    await talk.write(
      Buffer.concat([
        Uint8Array.of(1, user.length),
        user,
        Uint8Array.of(password.length),
        password,
      ]),
    );
    if ((await take(talk, 2))[1] !== 0) {
      throw new DialError("proxy", "the SOCKS proxy refused the login");
    }
  } else if (method !== 0) {
    throw new DialError("proxy", "the SOCKS proxy refused the way to log in");
  }
  const name = Buffer.from(host);
  const address = isIPv4(host)
    ? Uint8Array.of(1, ...host.split(".").map(Number))
    : Buffer.concat([Uint8Array.of(3, name.length), name]);
  await talk.write(
    Buffer.concat([Uint8Array.of(5, 1, 0), address, Uint8Array.of(port >> 8, port & 255)]),
  );
  const reply = await take(talk, 4);
  if (reply[1] !== 0) {
    throw new DialError("proxy", `the SOCKS proxy could not connect (code ${reply[1]})`);
  }
  const rest = reply[3] === 1 ? 4 : reply[3] === 4 ? 16 : (await take(talk, 1))[0]!;
  await take(talk, rest + 2);
}

async function take(talk: ProxyTalk, count: number): Promise<Uint8Array> {
  const out = new Uint8Array(count);
  for (let at = 0; at < count; at++) {
    const byte = await talk.read();
    if (!byte) throw new DialError("proxy", "the proxy closed the connection");
    out[at] = byte[0]!;
  }
  return out;
}
