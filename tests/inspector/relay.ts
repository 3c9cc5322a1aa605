/** A plain relay with a tap in it, as a tunnel has, in front of a real server. */
import type { TapConnectionInfo, TapSource } from "../../src/model/tap.ts";

export interface Relay {
  readonly address: string;
  readonly port: number;
  close(): Promise<void>;
}

/** Listens on a free port of `address` and relays to `target` on 127.0.0.1. */
export function startRelay(
  tap: TapSource,
  info: Omit<TapConnectionInfo, "port">,
  target: number,
  address = "127.0.0.1",
): Relay {
  const listener = Deno.listen({ hostname: address, port: 0 });
  const { port } = listener.addr;
  const open = new Set<Promise<void>>();
  const accepting = (async () => {
    for await (const client of listener) {
      const served = relay(client).catch(() => {}).finally(() => open.delete(served));
      open.add(served);
    }
  })();

  async function relay(client: Deno.TcpConn) {
    const server = await Deno.connect({ hostname: "127.0.0.1", port: target });
    const seen = tap.watching ? tap.open({ ...info, port }) : undefined;
    const pump = async (
      from: Deno.TcpConn,
      to: Deno.TcpConn,
      see: (chunk: Uint8Array) => void,
    ) => {
      const buffer = new Uint8Array(16 * 1024);
      try {
        for (let size; (size = await from.read(buffer)) !== null;) {
          // Lent, as the interface says: the buffer is used again.
          see(buffer.subarray(0, size));
          for (let at = 0; at < size;) at += await to.write(buffer.subarray(at, size));
        }
        await to.closeWrite();
      } catch {
        // Either side has gone.
      }
    };
    try {
      await Promise.all([
        pump(client, server, (chunk) => seen?.up(chunk)),
        pump(server, client, (chunk) => seen?.down(chunk)),
      ]);
    } finally {
      seen?.close();
      client.close();
      server.close();
    }
  }

  return {
    address,
    port,
    async close() {
      listener.close();
      await accepting.catch(() => {});
      await Promise.all(open);
    },
  };
}

/** Sends bytes over a new connection and gives back all that comes. */
export async function exchangeBytes(at: { address: string; port: number }, text: string) {
  const connection = await Deno.connect({ hostname: at.address, port: at.port });
  await connection.write(new TextEncoder().encode(text));
  return await new Response(connection.readable).text();
}
