import { randomBytes } from "node:crypto";
import {
  type ByteConn,
  connectTcp,
  listenTcp,
  readExactly,
  type TcpConn,
  writeAll,
} from "./net.ts";

/** What the right side says first: any program of this machine can connect to the other. */
const WORD = 32;
/** How long after this side's end the far side may take, in ms. */
const LINGER_MS = 5_000;

/**
 * A TCP connection within this machine that leads to `far`, for TLS inside TLS
 * as through an `https://` proxy: the runtime begins TLS on TCP connections
 * only. (By way of a stream of Node's it begins, and stands still after some
 * 100 KB: Deno 2.7.11.) Takes `far` over. Rejects with the signal's reason, or
 * the runtime's error.
 */
export async function tcpOver(
  far: ByteConn,
  nodeTls: boolean,
  signal: AbortSignal,
): Promise<TcpConn> {
  const acceptor = listenTcp("127.0.0.1", 0);
  const word = randomBytes(WORD);
  const onAbort = () => acceptor.close();
  signal.addEventListener("abort", onAbort, { once: true });
  let near: TcpConn | undefined;
  try {
    signal.throwIfAborted();
    const accepting = acceptWith(word, () => acceptor.accept());
    accepting.catch(() => {});
    near = await connectTcp("127.0.0.1", acceptor.port, { nodeTls, signal });
    await writeAll(near, word);
    void relay(await accepting, far);
    return near;
  } catch (error) {
    near?.close();
    far.close();
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    acceptor.close();
  }
}

/** The first connection that says `word`; who says another, or nothing, is closed. */
async function acceptWith(
  word: Uint8Array,
  accept: () => Promise<ByteConn | undefined>,
): Promise<ByteConn> {
  const others = new Set<ByteConn>();
  const { promise, resolve, reject } = Promise.withResolvers<ByteConn>();
  const look = async (conn: ByteConn) => {
    others.add(conn);
    try {
      const said = await readExactly(conn, word.length);
      if (!said?.every((byte, at) => byte === word[at])) return conn.close();
      others.delete(conn);
      resolve(conn);
    } catch {
      conn.close();
    }
  };
  const all = async () => {
    for (let conn = await accept(); conn; conn = await accept()) void look(conn);
    reject(new Error("The connection was given up"));
  };
  all().catch(reject);
  try {
    return await promise;
  } finally {
    for (const conn of others) conn.close();
  }
}

/** Until both have ended, or one has broken. */
async function relay(near: ByteConn, far: ByteConn): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const close = () => {
    clearTimeout(timer);
    near.close();
    far.close();
  };
  try {
    await Promise.all([
      pump(near, far).then(() => timer = setTimeout(close, LINGER_MS)),
      pump(far, near),
    ]);
  } catch {
    // Told to both by the close.
  }
  close();
}

async function pump(from: ByteConn, to: ByteConn): Promise<void> {
  const buffer = new Uint8Array(65_536);
  for (let count = await from.read(buffer); count > 0; count = await from.read(buffer)) {
    await writeAll(to, buffer.subarray(0, count));
  }
  await to.closeWrite();
}
