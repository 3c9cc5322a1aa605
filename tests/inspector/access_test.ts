import assert from "node:assert/strict";
import { Access } from "../../src/inspector/access.ts";
import type { Clock } from "../../src/model/clock.ts";
import { letIn, port, service, session, withInspector } from "./fixtures.ts";

function fakeClock(): Clock & { time: number } {
  return {
    time: 0,
    now: () => 0,
    monotonic() {
      return this.time;
    },
    sleep: () => Promise.resolve(),
    after: () => () => {},
  };
}

const failure = { at: "2026-01-02T03:04:05Z", reason: "https://10.1.2.3: no route" };
const sessions = () => [
  session([service("web", { ports: [port(80, { failed: 1, lastFailure: failure })] })]),
];

/** fetch forbids setting Host, so the bytes are written by hand; gives the status line. */
async function statusOf(url: string, headers: readonly string[], start = "GET / HTTP/1.1") {
  const { port } = new URL(url);
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  try {
    const text = [start, ...headers, "Connection: close", "", ""].join("\r\n");
    await connection.write(new TextEncoder().encode(text));
    return Number((await new Response(connection.readable).text()).split(" ")[1]);
  } catch (error) {
    connection.close();
    throw error;
  }
}

Deno.test("Access trades a code once and within a minute", () => {
  const clock = fakeClock();
  const access = new Access(clock);
  const code = access.mintCode();
  assert.equal(access.trade("wrong"), undefined);
  const token = access.trade(code);
  assert.ok(token);
  assert.equal(access.trade(code), undefined);
  assert.ok(access.accepts(token));
  assert.ok(!access.accepts(code));
  const late = access.mintCode();
  clock.time += 60_000;
  assert.equal(access.trade(late), undefined);
  clock.time += 12 * 60 * 60_000;
  assert.ok(!access.accepts(token));
});

Deno.test("the inspector answers to its own names only (DNS rebinding)", async () => {
  await withInspector(sessions, async (_, url) => {
    const { port } = new URL(url);
    for (
      const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, `LOCALHOST:${port}`]
    ) {
      assert.equal(await statusOf(url, [`Host: ${host}`]), 200, host);
    }
    for (
      const host of [
        `evil.example:${port}`,
        "localhost",
        "localhost:1",
        `localhost.:${port}`,
        `a@localhost:${port}`,
      ]
    ) {
      for (const path of ["/", "/api/tunnels", "/metrics", "/api/events"]) {
        const status = await statusOf(url, [`Host: ${host}`], `GET ${path} HTTP/1.1`);
        assert.ok(status === 403 || status === 400, `${host} ${path}: ${status}`);
      }
    }
  });
});

Deno.test("the inspector refuses requests of other pages, with the token too", async () => {
  await withInspector(sessions, async (inspector, url) => {
    const { cookie } = await letIn(inspector);
    const { port } = new URL(url);
    const host = `Host: localhost:${port}`;
    const ask = (path: string, ...headers: string[]) =>
      statusOf(url, [host, `Cookie: ${cookie}`, ...headers], `${path} HTTP/1.1`);
    assert.equal(await ask("GET /api/requests/http"), 200);
    assert.equal(await ask("GET /api/requests/http", `Origin: http://localhost:${port}`), 200);
    assert.equal(await ask("GET /api/requests/http", "Sec-Fetch-Site: same-origin"), 200);
    for (
      const origin of [
        "http://evil.example",
        "http://localhost:3000",
        "null",
        `https://localhost:${port}`,
      ]
    ) {
      assert.equal(await ask("GET /api/requests/http", `Origin: ${origin}`), 403, origin);
      assert.equal(await ask("DELETE /api/requests/http", `Origin: ${origin}`), 403, origin);
      assert.equal(await ask("OPTIONS /api/requests/http", `Origin: ${origin}`), 403, origin);
    }
    for (const site of ["cross-site", "same-site", "weird"]) {
      assert.equal(await ask("GET /api/tunnels", `Sec-Fetch-Site: ${site}`), 403, site);
      assert.equal(await ask("GET /style.css", `Sec-Fetch-Site: ${site}`), 403, site);
    }
    const followed = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"];
    assert.equal(await ask("GET /", ...followed, "Sec-Fetch-Dest: document"), 200);
    assert.equal(await ask("GET /", ...followed, "Sec-Fetch-Dest: iframe"), 403);
  });
});

Deno.test("without the token there are no contents, and no file or cluster address is told", async () => {
  await withInspector(sessions, async (inspector, url) => {
    for (
      const [method, path] of [
        ["GET", "/api/requests/http"],
        ["GET", "/api/requests/http/1"],
        ["GET", "/api/requests/http/1/secret?field=uri"],
        ["POST", "/api/requests/http"],
        ["DELETE", "/api/requests/http"],
        ["POST", "/api/capture"],
      ]
    ) {
      const answer = await fetch(url + path, { method: method! });
      assert.equal(answer.status, 401, `${method} ${path}`);
      assert.match((await answer.json()).error.hint, /czctl inspect/);
    }
    const open = await (await fetch(`${url}/api/sessions`)).text();
    assert.match(open, /sample-project/);
    assert.doesNotMatch(open, /env\.sh|10\.1\.2\.3|taken by another|kind-demo|no route/);
    assert.match(open, /"lastFailure":\{"at":"2026-01-02T03:04:05Z","reason":"czctl inspect opens/);
    const { cookie } = await letIn(inspector);
    const full = await (await fetch(`${url}/api/sessions`, { headers: { cookie } })).text();
    assert.match(full, /env\.sh/);
    assert.match(full, /10\.1\.2\.3: no route/);
    assert.equal(inspector.tap.watching, false);
    // A server on another port of localhost can add cookies of the same name.
    const tossed = `${cookie.split("=")[0]}=junk; ${cookie}; ${cookie.split("=")[0]}=`;
    const still = await fetch(`${url}/api/status`, { headers: { cookie: tossed } });
    assert.equal((await still.json()).authorized, true);
    const wrong = await fetch(`${url}/api/requests/http`, { headers: { cookie: `${cookie}x` } });
    assert.equal(wrong.status, 401);
    await wrong.body?.cancel();
    assert.equal(inspector.tap.watching, false);
  });
});

Deno.test("a one-time code works once, sets a strict cookie, and is not used up by a prefetch", async () => {
  await withInspector(sessions, async (inspector, url) => {
    const address = inspector.inspectUrl();
    assert.ok(address.startsWith(`${url}/?code=`));
    const early = await fetch(address, {
      headers: { "sec-purpose": "prefetch" },
      redirect: "manual",
    });
    assert.equal(early.status, 503);
    await early.body?.cancel();
    const first = await fetch(address, { redirect: "manual" });
    await first.body?.cancel();
    const { port } = new URL(url);
    assert.match(
      first.headers.get("set-cookie")!,
      new RegExp(
        `^czctl_inspect_${port}=[\\w-]{43}; Path=/t/[\\w-]{22}/; HttpOnly; SameSite=Strict$`,
      ),
    );
    const second = await fetch(address, { redirect: "manual" });
    await second.body?.cancel();
    assert.equal(second.headers.get("location"), "/#expired");
    assert.equal(second.headers.get("set-cookie"), null);
  });
});

Deno.test("every answer carries the guards and none allows another origin", async () => {
  await withInspector(sessions, async (_, url) => {
    for (
      const path of [
        "/",
        "/app.js",
        "/style.css",
        "/api/tunnels",
        "/metrics",
        "/nowhere",
        "/api/requests/http",
      ]
    ) {
      const answer = await fetch(url + path);
      await answer.body?.cancel();
      const policy = answer.headers.get("content-security-policy")!;
      assert.match(policy, /default-src 'none'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe|https?:|\*/);
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
      assert.equal(answer.headers.get("x-frame-options"), "DENY");
      assert.equal(answer.headers.get("access-control-allow-origin"), null);
    }
  });
});
