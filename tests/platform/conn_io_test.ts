import assert from "node:assert/strict";
import { connIo } from "../../src/platform/conn_io.ts";

/** Both ends of a connection over loopback. */
async function pair(): Promise<readonly [Deno.TcpConn, Deno.TcpConn]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return await Promise.all([Deno.connect({ port: listener.addr.port }), listener.accept()]);
}

/** The same connection without what the pinned runtime keeps in it. */
function plain(conn: Deno.Conn): Deno.Conn {
  return {
    read: (into: Uint8Array) => conn.read(into),
    write: (bytes: Uint8Array) => conn.write(bytes),
  } as Deno.Conn;
}

for (const direct of [true, false]) {
  const way = direct ? "by the runtime's own calls" : "by the public calls";

  Deno.test(`connIo reads and writes ${way}, and tells the end of input as 0`, async () => {
    const [near, far] = await pair();
    const io = connIo(direct ? near : plain(near));
    assert.equal(io.direct, direct, "the fast way is lost: see docs/decisions/0146");
    const buffer = new Uint8Array(64);
    const waiting = io.read(buffer.subarray(8));
    assert.equal(await far.write(new TextEncoder().encode("hello")), 5);
    assert.equal(await waiting, 5);
    assert.equal(new TextDecoder().decode(buffer.subarray(8, 13)), "hello");
    assert.equal(await io.write(new TextEncoder().encode("answer")), 6);
    assert.equal(await far.read(buffer), 6);
    far.close();
    assert.equal(await io.read(buffer), 0);
    near.close();
  });

  Deno.test(`connIo rejects ${way} what waits when the connection is closed`, async () => {
    const [near, far] = await pair();
    const io = connIo(direct ? near : plain(near));
    const waiting = io.read(new Uint8Array(8));
    near.close();
    await assert.rejects(waiting, Deno.errors.Interrupted);
    await assert.rejects(async () => await io.read(new Uint8Array(8)), Deno.errors.BadResource);
    await assert.rejects(async () => await io.write(new Uint8Array(8)), Deno.errors.BadResource);
    far.close();
  });
}
