/** A TLS server that leads to a plain local port, as an `https://` proxy is one in front of an `http://` one. */
export class TlsFront {
  readonly #listener: Deno.TlsListener;
  readonly #done: Promise<void>;
  readonly #conns = new Set<Deno.Conn>();

  constructor(pair: { readonly cert: string; readonly key: string }, readonly leadsTo: number) {
    this.#listener = Deno.listenTls({
      hostname: "127.0.0.1",
      port: 0,
      cert: pair.cert,
      key: pair.key,
    });
    this.#done = this.#accept();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #accept(): Promise<void> {
    const running: Promise<void>[] = [];
    for await (const conn of this.#listener) {
      this.#conns.add(conn);
      running.push(this.#serve(conn).catch(() => {}));
    }
    await Promise.all(running);
  }

  async #serve(conn: Deno.TlsConn): Promise<void> {
    try {
      await conn.handshake();
      const up = await Deno.connect({ hostname: "127.0.0.1", port: this.leadsTo });
      this.#conns.add(up);
      await Promise.all([pump(conn, up), pump(up, conn)]);
    } finally {
      this.#drop(conn);
    }
  }

  async close(): Promise<void> {
    this.#listener.close();
    for (const conn of this.#conns) this.#drop(conn);
    await this.#done;
  }

  #drop(conn: Deno.Conn): void {
    this.#conns.delete(conn);
    try {
      conn.close();
    } catch {
      // Already closed.
    }
  }
}

/** Until either side ends; then both are closed. */
async function pump(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) break;
      for (let at = 0; at < count;) at += await to.write(buffer.subarray(at, count));
    }
  } catch {
    // The other side has closed.
  }
  for (const conn of [from, to]) {
    try {
      conn.close();
    } catch {
      // Already closed.
    }
  }
}
