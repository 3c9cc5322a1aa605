import assert from "node:assert/strict";
import type { SessionInfo } from "../../src/model/control.ts";
import { type Browser, type Page, withBrowser } from "./browser.ts";
import { port, service, session, withInspector } from "./fixtures.ts";
import { exchangeBytes, startRelay } from "./relay.ts";
import { until } from "../until.ts";

/** Set to a folder to look at the page. */
const SHOTS = Deno.env.get("CZCTL_SHOTS");

/** What a hostile cluster or client would try to get into the page as markup. */
const MARKUP =
  `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;

async function shot(page: Page, name: string) {
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}.png` });
}

/** Errors and refused resources of a page; there must be none. */
function complaints(page: Page): string[] {
  const found: string[] = [];
  page.on("pageerror", (error) => found.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") found.push(message.text());
  });
  return found;
}

const steps: [string, (browser: Browser) => Promise<void>][] = [];

function browserTest(name: string, body: (browser: Browser) => Promise<void>) {
  steps.push([name, body]);
}

browserTest("the page shows sessions, their services and what flows", async (browser) => {
  let down = 0;
  const failure = {
    at: "2026-01-02T03:04:05Z",
    reason: `Pod "leaf" refuses ${MARKUP}`,
    hint: "kubectl logs",
  };
  let now: readonly SessionInfo[] = [];
  const open = () => [
    session([
      service("sample-project-web", {
        ports: [port(80, { connections: 3, bytesDown: down += 120_000, bytesUp: down / 9 })],
      }),
      service("sample-project-leaf", {
        address: "127.1.31.2",
        ports: [port(3010, { failed: 2, lastFailure: failure }), port(9090)],
      }),
      service("db", {
        address: "127.1.31.3",
        readyPods: 0,
        ports: [port(5432, { state: "blocked", reason: "address in use" })],
      }),
      { ...without(service("outside", { ports: [], names: [] })), reason: "ExternalName" },
    ]),
  ];
  await withInspector(() => now.length === 0 ? now : open(), async (inspector, url) => {
    const page = await browser.newPage({ viewport: { width: 1400, height: 800 } });
    const errors = complaints(page);
    await page.goto(url);
    await page.getByText("No session is open").waitFor();
    await page.getByText("Requests are for your eyes only").waitFor();
    await shot(page, "empty");
    now = open();
    inspector.sessionsChanged();
    await page.locator(".service .name", { hasText: "sample-project-leaf" }).waitFor();
    assert.equal(await page.locator(".service").count(), 4);
    for (const [name, dots] of [["works", 1], ["has trouble", 2], ["no tunnel", 1]] as const) {
      assert.equal(await page.getByRole("img", { name }).count(), dots, name);
    }
    await page.getByRole("button", { name: "Keys" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Light or dark" }).waitFor();
    await until(
      "a rate",
      async () => (await page.locator(".service .live").first().textContent())!.includes("kB/s"),
    );
    await page.locator(".service summary").first().click();
    const names = await page.locator(".service .names").first().allInnerTexts();
    assert.match(names[0]!, /sample-project-web\.sample-project\.svc\.cluster\.local/);
    const leaf = page.locator(".service", { hasText: "sample-project-leaf" });
    assert.equal(await leaf.getAttribute("class"), "service warn");
    await leaf.locator("summary").click();
    const why = leaf.locator(".reason");
    assert.match(await why.innerText(), /last connection to 3010 failed: .* opens this page/);
    await shot(page, "services");
    await page.goto(inspector.inspectUrl());
    await leaf.locator("summary").click();
    assert.equal(
      await why.innerText(),
      `The last connection to 3010 failed: Pod "leaf" refuses ${MARKUP}. kubectl logs`,
    );
    failure.reason = "another one";
    inspector.sessionsChanged();
    await page.getByText("3010 failed: another one").waitFor();
    await shot(page, "failure");
    assert.deepEqual(errors, []);
  });
});

browserTest(
  "the page says that a namespace is gone, and keeps what is unfolded",
  async (browser) => {
    const opened = new Date(Date.now() - 57_000).toISOString();
    let more: Partial<SessionInfo> = { createdAt: opened, notes: ["one"] };
    await withInspector(() => [session([service("web")], more)], async (inspector, url) => {
      const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
      await page.goto(inspector.inspectUrl());
      await page.locator(".notes summary").click();
      await page.locator(".notes li", { hasText: "one" }).waitFor();
      assert.match(await page.locator(".session .more").first().innerText(), /open for 5\d s/);
      await page.getByText("open for 1 min").waitFor({ timeout: 10_000 });

      const gone = 'Namespace "sample-project" no longer exists';
      more = {
        ...more,
        lost: [{ namespace: "sample-project", state: "gone" }],
        notes: [gone, "one"],
      };
      inspector.sessionsChanged();
      await page.locator("#banners", { hasText: gone }).waitFor();
      assert.equal(await page.locator(".session .state").innerText(), "namespace gone");
      assert.ok(await page.locator(".notes li", { hasText: "one" }).isVisible());
      assert.equal(
        await page.evaluate("document.activeElement.dataset.key"),
        "a1b2c3/notes",
        "the focus stays where it was",
      );
      await shot(page, "gone");

      // Those without the token, too: /etc/hosts shows as much.
      const other = await (await browser.newContext()).newPage();
      await other.goto(url);
      await other.locator("#banners", { hasText: gone }).waitFor();
      await other.context().close();
      more = { createdAt: opened };
      inspector.sessionsChanged();
      await page.getByText("connected").waitFor();
      assert.equal(await page.locator("#banners").innerText(), "");
      await page.close();
    });
  },
);

browserTest("services of all namespaces are told apart", async (browser) => {
  const web = ["one", "two"].map((namespace) => service("web", { namespace }));
  await withInspector(() => [session(web, { namespaces: ["*"] })], async (_, url) => {
    const page = await browser.newPage();
    await page.goto(url);
    await page.locator(".service").nth(1).waitFor();
    assert.deepEqual(await page.locator(".service .name").allInnerTexts(), ["web.one", "web.two"]);
    assert.match(await page.locator(".session .more").first().innerText(), /all namespaces · 2/);
    await page.close();
  });
});

browserTest("in a narrow window a chosen request is in sight", async (browser) => {
  await withInspector(() => [session([service("web")])], async (inspector) => {
    const page = await browser.newPage({ viewport: { width: 360, height: 740 } });
    await page.goto(inspector.inspectUrl());
    await page.getByText("Waiting for requests").waitFor();
    await until("capture", () => inspector.tap.watching);
    const info = { namespace: "sample-project", service: "web", port: 80, pod: "web-1" };
    const bytes = (text: string) => new TextEncoder().encode(text);
    for (let n = 0; n < 60; n++) {
      const tap = inspector.tap.open(info)!;
      tap.up(bytes(`GET /item/${n}/${"long".repeat(40)} HTTP/1.1\r\nHost: web\r\n\r\n`));
      tap.down(bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
      tap.close();
    }
    await page.locator(".request").nth(59).waitFor();
    await page.locator(".request", { hasText: "/item/50/" }).click();
    const close = page.getByRole("button", { name: "Close" });
    await close.waitFor();
    const { y } = (await close.boundingBox())!;
    assert.ok(y >= 0 && y < 740, `the head of the request is at ${y}`);
    await shot(page, "narrow-detail");
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 360);
    await close.click();
    const focus = String(await page.evaluate("document.activeElement.textContent"));
    assert.match(focus, /\/item\/50\//, "the keyboard goes on where it was");
    await page.locator(".request", { hasText: "/item/50/" }).click();
    await page.close();
  });
});

/** Lets a test say whether a tab is in sight; headless pages all are. */
const SIGHT = `let hidden = false;
  Object.defineProperty(document, "hidden", { get: () => hidden });
  globalThis.sight = (seen) => {
    hidden = !seen;
    document.dispatchEvent(new Event("visibilitychange"));
  };`;

browserTest(
  "many tabs leave each other room, and one of those out of sight goes on",
  async (browser) => {
    await withInspector(() => [session([service("web")])], async (inspector) => {
      const context = await browser.newContext();
      await context.addInitScript(SIGHT);
      const pages: Page[] = [];
      for (let n = 0; n < 8; n++) {
        const page = await context.newPage();
        await page.goto(inspector.inspectUrl(), { timeout: 10_000 });
        await page.getByText("Waiting for requests").waitFor({ timeout: 10_000 });
        await page.evaluate("sight(false)");
        pages.push(page);
      }
      const send = (path: string) => {
        const tap = inspector.tap.open({
          namespace: "sample-project",
          service: "web",
          port: 80,
          pod: "web-1",
        })!;
        tap.up(new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`));
        tap.close();
      };
      const seeing = async (path: string) => {
        const found = await Promise.all(
          pages.map((page) => page.locator(".request", { hasText: path }).count()),
        );
        return found.filter((count) => count > 0).length;
      };
      await new Promise((resolve) => setTimeout(resolve, 500));
      send("/first");
      await until("one tab sees it", async () => await seeing("/first") > 0);
      assert.equal(await seeing("/first"), 1);
      // It is closed: another one takes its turn.
      const first = await Promise.all(pages.map((page) => page.locator(".request").count()));
      await pages.splice(first.indexOf(1), 1)[0]!.close();
      await until("another sees it", async () => await seeing("/first") === 1);
      send("/second");
      await until("it sees the next one", async () => await seeing("/second") === 1);
      const shown = pages.at(-1)!;
      await shown.evaluate("sight(true)");
      await shown.locator(".request", { hasText: "/second" }).waitFor();
      await context.close();
    });
  },
);

browserTest("a tab that lost its token forgets no other tab's", async (browser) => {
  await withInspector(() => [], async (inspector, url) => {
    const context = await browser.newContext();
    const old = await context.newPage();
    // As after a restart of svc: a path that opens nothing any more.
    await old.goto(`${url}/t/older/`);
    await old.getByText("Requests are for your eyes only").waitFor();
    const page = await context.newPage();
    await page.goto(inspector.inspectUrl());
    await page.getByText("Waiting for requests").waitFor();
    await old.reload();
    await old.getByText("Requests are for your eyes only").waitFor();
    await old.goto(url);
    await old.getByText("Waiting for requests").waitFor();
    await context.close();
  });
});

function without({ address: _, ...rest }: ReturnType<typeof service>) {
  return rest;
}

browserTest(
  "a request is seen, revealed, copied and replayed after czctl inspect",
  async (browser) => {
    const received: { target: string; authorization: string | null; body: string }[] = [];
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => {
        const { pathname, search } = new URL(request.url);
        const authorization = request.headers.get("authorization");
        received.push({ target: pathname + search, authorization, body: await request.text() });
        if (pathname === "/missing") return new Response("nothing here", { status: 404 });
        const body = { hello: "world", items: [1, 2.5, null, true], html: MARKUP };
        return Response.json(body, {
          headers: { "set-cookie": "id=secret-cookie", "x-odd": MARKUP },
        });
      },
    );
    let sessions: SessionInfo[] = [];
    await withInspector(() => sessions, async (inspector, url) => {
      const info = { namespace: "sample-project", service: "web", pod: "web-6d5f-x2x" };
      const relay = startRelay(inspector.tap, info, server.addr.port);
      const close = "Connection: close\r\n\r\n";
      try {
        sessions = [
          session([service("web", { address: relay.address, ports: [port(relay.port)] })]),
        ];
        const context = await browser.newContext({
          viewport: { width: 1500, height: 900 },
          permissions: ["clipboard-read", "clipboard-write"],
        });
        const page = await context.newPage();
        const errors = complaints(page);
        await page.goto(inspector.inspectUrl());
        await page.getByText("Waiting for requests").waitFor();
        assert.match(new URL(page.url()).pathname, /^\/t\/[\w-]+\/$/);
        assert.equal(
          await page.evaluate("document.cookie"),
          "",
          "the cookie is out of scripts' reach",
        );
        await until("capture", () => inspector.tap.watching);

        const start =
          "POST /orders?limit=5&token=in-the-query HTTP/1.1\r\nHost: web.sample-project\r\n";
        const head = "Authorization: Bearer top-secret\r\nContent-Type: application/json\r\n";
        const body = `{"n":"it's"}`;
        await exchangeBytes(
          relay,
          `${start}${head}Content-Length: ${body.length}\r\n${close}${body}`,
        );
        await exchangeBytes(relay, `GET /missing HTTP/1.1\r\nHost: web\r\n${close}`);
        await exchangeBytes(relay, "\x16\x03\x01 this is TLS, more or less").catch(() => {});
        await page.locator(".request").nth(1).waitFor();
        await shot(page, "list");

        const row = page.locator(".request", { hasText: "/orders" });
        await row.click();
        const detail = page.locator("#detail");
        await detail.getByText('"world"').waitFor();
        await shot(page, "detail");
        const text = await detail.innerText();
        assert.doesNotMatch(text, /top-secret|in-the-query|secret-cookie/);
        assert.match(text, /first byte .* total/s);
        await detail.getByRole("button", { name: "Reveal Authorization" }).click();
        await detail.getByText("Bearer top-secret").waitFor();
        assert.doesNotMatch(await detail.innerText(), /secret-cookie/);
        await detail.getByRole("button", { name: "Reveal the address" }).click();
        await detail.getByText("in-the-query").waitFor();
        assert.equal(await page.evaluate("document.activeElement.id"), "detail", "the focus stays");
        await page.keyboard.press("c");
        await page.getByText("Copied").waitFor();
        const command = String(await page.evaluate("navigator.clipboard.readText()"));
        assert.match(command, /^curl .*'Authorization: Bearer top-secret'.*--data-raw /);

        await page.keyboard.press("r");
        await page.locator(".request em", { hasText: "replay" }).waitFor();
        assert.deepEqual(received.filter(({ target }) => target.startsWith("/orders")), [
          received[0]!,
          received[0]!,
        ]);
        assert.equal(received[0]!.authorization, "Bearer top-secret");

        await page.keyboard.press("Escape");
        await detail.waitFor({ state: "hidden" });
        await page.getByLabel("Status").selectOption("4xx");
        assert.equal(await page.locator(".request:visible").count(), 1);
        await page.getByLabel("Status").selectOption("");
        await page.getByLabel("Filter by path").fill("orders");
        assert.equal(await page.locator(".request:visible").count(), 2);

        // The other address of the same page finds its way by what the browser remembers.
        const again = await context.newPage();
        await again.goto(url);
        await again.locator(".request").first().waitFor();
        await again.close();
        assert.equal(await page.title(), "czctl inspector");
        assert.deepEqual(errors, []);

        await page.emulateMedia({ colorScheme: "dark" });
        await row.first().click();
        await detail.getByText('"world"').waitFor();
        await shot(page, "dark");
        await page.setViewportSize({ width: 700, height: 900 });
        await shot(page, "narrow");
        await context.close();
      } finally {
        await relay.close();
        await server.shutdown();
      }
    });
  },
);

browserTest("markup from the cluster stays text", async (browser) => {
  const hostile = session([
    service(MARKUP, {
      namespace: MARKUP,
      names: [MARKUP],
      skipped: [MARKUP],
      reason: MARKUP,
      ports: [port(80, { name: MARKUP, state: "blocked", reason: MARKUP })],
    }),
  ], {
    workload: { kind: "deployment", name: MARKUP, namespace: MARKUP },
    context: MARKUP,
    notes: [MARKUP],
    cluster: { reachable: false, reason: MARKUP },
    envFile: { path: MARKUP, variables: 1, state: "stopped", reason: MARKUP },
  });
  await withInspector(() => [hostile], async (inspector) => {
    const page = await browser.newPage();
    const errors = complaints(page);
    await page.goto(inspector.inspectUrl());
    await page.getByText("Waiting for requests").waitFor();
    await until("capture", () => inspector.tap.watching);
    const info = { namespace: MARKUP, service: MARKUP, port: 80, pod: MARKUP };
    const tap = inspector.tap.open(info)!;
    const bytes = (text: string) => new TextEncoder().encode(text);
    const path = MARKUP.replaceAll(" ", "/");
    tap.up(bytes(`GET /${path}?${path} HTTP/1.1\r\nX-Odd: ${MARKUP}\r\n\r\n`));
    tap.down(bytes(`HTTP/1.1 200 ${MARKUP}\r\nX-Odd: ${MARKUP}\r\nContent-Type: ${MARKUP}\r\n`));
    tap.down(bytes(`Content-Length: ${MARKUP.length}\r\n\r\n${MARKUP}`));
    tap.close();
    await page.locator(".request").click();
    await page.locator("#detail pre", { hasText: "onerror" }).waitFor();
    await page.locator(".service summary").click();
    await page.locator(".notes summary").click();
    await shot(page, "hostile");
    assert.equal(await page.title(), "czctl inspector");
    assert.equal(await page.locator("main img, main script, #banners img").count(), 0);
    assert.ok((await page.locator("body").innerText()).includes(MARKUP));
    assert.deepEqual(errors, []);
  });
});

browserTest(
  "another page can neither read, write, frame nor follow the stream",
  async (browser) => {
    const other = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response("<title>other</title>", { headers: { "content-type": "text/html" } }),
    );
    try {
      await withInspector(() => [session([service("web")])], async (inspector, url) => {
        const context = await browser.newContext();
        const page = await context.newPage();
        await page.goto(inspector.inspectUrl());
        await page.getByText("Waiting for requests").waitFor();
        const home = page.url();
        // The same host and another port: same site, so the strict cookie is sent along.
        await page.goto(`http://localhost:${other.addr.port}/`);
        const outcome = await page.evaluate(
          async ([url, home]) => {
            const attempt = (path: string, init?: RequestInit) =>
              fetch(path, init).then((answer) => answer.text(), () => "refused");
            const told = (path: string) =>
              fetch(path, { mode: "no-cors", credentials: "include" }).then(
                () => "opaque",
                () => "refused",
              );
            const stream = new Promise((resolve) => {
              const source = new EventSource(`${home}api/events`, { withCredentials: true });
              source.onmessage = source.onopen = () => resolve("open");
              source.onerror = () => resolve("refused");
            });
            return {
              read: await attempt(`${url}/api/tunnels`),
              withCookie: await attempt(`${home}api/requests/http`, { credentials: "include" }),
              write: await attempt(`${home}api/requests/http`, {
                method: "DELETE",
                credentials: "include",
              }),
              capture: await attempt(`${home}api/capture`, {
                method: "POST",
                credentials: "include",
                headers: { "content-type": "text/plain" },
                body: '{"mode":"on"}',
              }),
              script: await told(`${home}app.js`),
              stream: await stream,
            };
          },
          [url, home] as const,
        );
        assert.deepEqual(outcome, {
          read: "refused",
          withCookie: "refused",
          write: "refused",
          capture: "refused",
          script: "refused",
          stream: "refused",
        });
        const status = await (await fetch(`${url}/api/status`)).json();
        assert.equal(status.capture.mode, "auto");
        // As text: the types of a page are not those of this file.
        const framed = await page.evaluate(`(async () => {
        const frame = document.createElement("iframe");
        frame.src = ${JSON.stringify(url)};
        const loaded = new Promise((resolve) => frame.onload = resolve);
        document.body.append(frame);
        await loaded;
        try {
          return frame.contentDocument === null ? "out of reach" : "empty";
        } catch {
          return "out of reach";
        }
      })()`);
        assert.equal(framed, "out of reach");
        await context.close();
      });
    } finally {
      await other.shutdown();
    }
  },
);

Deno.test({
  name: "the page in a real browser",
  // The browser driver keeps timers and pipes of its own.
  sanitizeOps: false,
  sanitizeResources: false,
}, (t) =>
  withBrowser(async (browser) => {
    for (const [name, body] of steps) await t.step(name, () => body(browser));
  }));
