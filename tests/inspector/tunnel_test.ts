import assert from "node:assert/strict";
import { echo } from "../tunnel/peer.ts";
import { withBed } from "../tunnel/support.ts";
import type { TapConnectionInfo } from "../../src/model/tap.ts";

Deno.test("a tunnel shows the tap all that passes, from the first byte of its first connection", async () => {
  const seen = { up: "", down: "", closed: 0, infos: [] as TapConnectionInfo[] };
  const decoder = new TextDecoder();
  const tap = {
    watching: true,
    open(info: TapConnectionInfo) {
      seen.infos.push(info);
      return {
        up: (chunk: Uint8Array) => void (seen.up += decoder.decode(chunk)),
        down: (chunk: Uint8Array) => void (seen.down += decoder.decode(chunk)),
        close: () => void seen.closed++,
      };
    },
  };
  await withBed({ pods: { a: echo }, engine: { tap } }, async ({ connect }) => {
    // Nothing has been dialled yet: these bytes come before there is a link.
    const client = await connect();
    await client.write("GET / HTTP/1.1\n");
    assert.equal(await client.line(), "GET / HTTP/1.1");
    await client.write("more\n");
    assert.equal(await client.line(), "more");
    assert.equal(seen.up, "GET / HTTP/1.1\nmore\n");
    assert.equal(seen.down, "GET / HTTP/1.1\nmore\n");
    assert.equal(seen.infos.length, 1);
    assert.equal(seen.infos[0]!.service, "web");
  });
});
