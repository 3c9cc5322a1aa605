import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { HttpClient } from "../../src/platform/http.ts";
import { hostHeader } from "../../src/platform/tcp.ts";

Deno.test("text() gives up on a body that is too long, zipped or not", async () => {
  const bodies: Record<string, { body: Uint8Array<ArrayBuffer>; zipped: boolean }> = {
    "/plain": { body: new Uint8Array(300_000).fill(0x61), zipped: false },
    "/zipped": { body: new Uint8Array(gzipSync(new Uint8Array(50_000_000))), zipped: true },
    "/short": { body: new Uint8Array(200_000).fill(0x61), zipped: false },
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { body, zipped } = bodies[new URL(request.url).pathname]!;
    return new Response(body, { headers: zipped ? { "content-encoding": "gzip" } : {} });
  });
  const client = new HttpClient();
  const get = async (path: string) => {
    const target = { host: "127.0.0.1", port: server.addr.port, basePath: "", headers: {} };
    const answer = await client.request(target, {
      path,
      headDeadlineMs: 10_000,
      bodyIdleMs: 5_000,
    });
    return await answer.text(250_000);
  };
  try {
    // Some kilobytes on the wire.
    assert.ok(bodies["/zipped"]!.body.length < 100_000);
    await assert.rejects(get("/plain"), /more than 250000 bytes/);
    await assert.rejects(get("/zipped"), /more than 250000 bytes/);
    assert.equal((await get("/short")).length, 200_000);
  } finally {
    client.close();
    await server.shutdown();
  }
});

Deno.test("hostHeader() leaves the scheme's own port out, as Go's client does", () => {
  const of = (host: string, port: number, secure: boolean) =>
    hostHeader({ host, port, ...(secure ? { tls: {} } : {}) });
  assert.equal(of("api.example", 443, true), "api.example");
  assert.equal(of("api.example", 80, true), "api.example:80");
  assert.equal(of("api.example", 80, false), "api.example");
  assert.equal(of("api.example", 443, false), "api.example:443");
  assert.equal(of("::1", 443, true), "[::1]");
  assert.equal(of("::1", 6443, true), "[::1]:6443");
});
