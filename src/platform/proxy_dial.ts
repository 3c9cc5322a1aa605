import { Buffer } from "node:buffer";
import net from "node:net";
import { DialError, openTcp } from "./tcp.ts";

/**
 * Opens a TCP connection to `host:port` through an HTTP (CONNECT) or SOCKS5
 * proxy. User name and password come from the proxy's URL. Throws DialError
 * `proxy`, or the signal's reason.
 */
export async function openProxy(
  proxyUrl: string,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<net.Socket> {
  const proxy = new URL(proxyUrl);
  const scheme = proxy.protocol.slice(0, -1);
  const socks = scheme === "socks5" || scheme === "socks5h";
  if (!socks && scheme !== "http") {
    throw new DialError("proxy", `proxies of kind "${scheme}" are not supported`);
  }
  const proxyHost = proxy.hostname.replace(/^\[|\]$/g, "");
  const proxyPort = Number(proxy.port || (socks ? 1080 : 80));
  let socket: net.Socket;
  try {
    socket = await openTcp(proxyHost, proxyPort, signal);
  } catch (error) {
    if (error instanceof DialError) {
      throw new DialError("proxy", `the proxy ${proxy.host} cannot be reached: ${error.message}`);
    }
    throw error;
  }
  const onAbort = () => socket.destroy(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (socks) await socksConnect(socket, proxy, host, port);
    else await httpConnect(socket, proxy, host, port);
    return socket;
  } catch (error) {
    socket.destroy();
    if (signal.aborted) throw signal.reason;
    throw error instanceof DialError
      ? error
      : new DialError("proxy", `the proxy ${proxy.host} failed: ${String(error)}`);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function httpConnect(socket: net.Socket, proxy: URL, host: string, port: number) {
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const login = proxy.username
    ? `Proxy-Authorization: Basic ${
      Buffer.from(`${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`)
        .toString("base64")
    }\r\n`
    : "";
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${login}\r\n`);
  let head = "";
  while (!head.includes("\r\n\r\n")) {
    // One byte at a time at the end would be safest; a proxy sends nothing
    // behind its answer before the client's TLS hello, so chunks are fine.
    head += (await readSome(socket)).toString("latin1");
    if (head.length > 65_536) throw new DialError("proxy", "the proxy's answer is too long");
  }
  const status = head.slice(0, head.indexOf("\r\n"));
  if (!/^HTTP\/1\.\d 2\d\d/.test(status)) {
    throw new DialError("proxy", `the proxy ${proxy.host} refused with "${status}"`);
  }
}

/** RFC 1928 and RFC 1929. The name is resolved by the proxy. */
async function socksConnect(socket: net.Socket, proxy: URL, host: string, port: number) {
  const user = decodeURIComponent(proxy.username);
  const password = decodeURIComponent(proxy.password);
  const take = taker(socket);
  socket.write(Uint8Array.of(5, 1, user ? 2 : 0));
  const method = await take(2);
  if (method[1] === 0xff) throw new DialError("proxy", "the SOCKS proxy refused the way to log in");
  if (method[1] === 2) {
    const u = Buffer.from(user), p = Buffer.from(password);
    socket.write(Buffer.concat([
      Uint8Array.of(1, u.length),
      u,
      Uint8Array.of(p.length),
      p,
    ]));
    if ((await take(2))[1] !== 0) throw new DialError("proxy", "the SOCKS proxy refused the login");
  }
  const name = Buffer.from(host);
  const address = net.isIPv4(host)
    ? Buffer.from([1, ...host.split(".").map(Number)])
    : Buffer.concat([Uint8Array.of(3, name.length), name]);
  socket.write(
    Buffer.concat([Uint8Array.of(5, 1, 0), address, Uint8Array.of(port >> 8, port & 255)]),
  );
  const reply = await take(4);
  if (reply[1] !== 0) {
    throw new DialError("proxy", `the SOCKS proxy could not connect (code ${reply[1]})`);
  }
  const rest = reply[3] === 1 ? 4 : reply[3] === 4 ? 16 : (await take(1))[0]!;
  await take(rest + 2);
}

function taker(socket: net.Socket): (count: number) => Promise<Buffer> {
  let kept = Buffer.alloc(0);
  return async (count) => {
    while (kept.length < count) kept = Buffer.concat([kept, await readSome(socket)]);
    const out = kept.subarray(0, count);
    kept = kept.subarray(count);
    return out;
  };
}

function readSome(socket: net.Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const done = () => {
      socket.off("data", onData);
      socket.off("error", onError);
      socket.off("close", onClose);
      socket.pause();
    };
    const onData = (data: Buffer) => {
      done();
      resolve(data);
    };
    const onError = (error: Error) => {
      done();
      reject(error);
    };
    const onClose = () => {
      done();
      reject(new DialError("proxy", "the proxy closed the connection"));
    };
    socket.on("data", onData);
    socket.on("error", onError);
    socket.on("close", onClose);
    socket.resume();
  });
}
