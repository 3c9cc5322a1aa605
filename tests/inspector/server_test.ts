import assert from "node:assert/strict";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { startInspector } from "../../src/inspector/inspector.ts";
import { serveLoopback } from "../../src/platform/http_server.ts";
import { withInspector } from "./fixtures.ts";

const hasSix = (() => {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
})();

function start(port: number) {
  return startInspector({ clock: systemClock, log: silentLogger, sessions: () => [], port });
}

Deno.test("the inspector answers on both loopback addresses and on no other", async () => {
  await withInspector(() => [], async (_, url) => {
    const port = Number(new URL(url).port);
    for (const host of hasSix ? ["127.0.0.1", "[::1]", "localhost"] : ["127.0.0.1"]) {
      const answer = await fetch(`http://${host}:${port}/api/status`);
      assert.equal((await answer.json()).status, "online");
    }
    const elsewhere = Deno.connect({ hostname: "127.0.0.2", port });
    await assert.rejects(elsewhere, Deno.errors.ConnectionRefused);
  });
});

Deno.test("a port taken on either address is passed over on both", async () => {
  for (const hostname of hasSix ? ["127.0.0.1", "::1"] : ["127.0.0.1"]) {
    const stranger = Deno.listen({ hostname, port: 0 });
    const inspector = await start(stranger.addr.port);
    try {
      const port = Number(new URL(inspector.state.url!).port);
      assert.ok(port > stranger.addr.port, `${port} after ${stranger.addr.port}`);
      const answer = await fetch(`${inspector.state.url}/api/status`);
      assert.equal((await answer.json()).status, "online");
      if (hasSix) {
        const other = hostname === "::1" ? "127.0.0.1" : "::1";
        const half = Deno.connect({ hostname: other, port: stranger.addr.port });
        await assert.rejects(half, Deno.errors.ConnectionRefused);
      }
    } finally {
      await inspector.close();
      stranger.close();
    }
  }
});

Deno.test("without a port the inspector says why, and is otherwise harmless", async () => {
  const stranger = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    await assert.rejects(
      serveLoopback({
        port: stranger.addr.port,
        attempts: 1,
        handler: () => new Response(),
        onError: () => {},
      }),
      /are taken/,
    );
  } finally {
    stranger.close();
  }
  const inspector = await start(70_000);
  assert.equal(inspector.state.url, undefined);
  assert.ok(inspector.state.reason);
  assert.throws(() => inspector.inspectUrl(), /^CzctlError: Cannot open the inspector: /);
  assert.equal(inspector.tap.watching, false);
  inspector.sessionsChanged();
  await inspector.close();
});

Deno.test("two inspectors of one machine do not share cookies or ports", async () => {
  await withInspector(() => [], async (first) => {
    const second = await start(Number(new URL(first.state.url!).port));
    try {
      assert.notEqual(first.state.url, second.state.url);
      const answer = await fetch(second.inspectUrl(), { redirect: "manual" });
      await answer.body?.cancel();
      const cookie = answer.headers.get("set-cookie")!.split(";")[0]!;
      const other = await fetch(`${first.state.url}/api/requests/http`, { headers: { cookie } });
      await other.body?.cancel();
      assert.equal(other.status, 401);
    } finally {
      await second.close();
    }
  });
});
