import assert from "node:assert/strict";
import { withBrowser } from "./browser.ts";
import { port, service, session, until, withInspector } from "./fixtures.ts";

const SHOTS = Deno.env.get("CZCTL_SHOTS");

Deno.test({
  name: "the page shows sessions, their services and what flows",
  // The browser driver keeps timers and pipes of its own.
  sanitizeOps: false,
  sanitizeResources: false,
}, async () => {
  let down = 0;
  const sessions = () => [
    session([
      service("sample-project-web", {
        ports: [port(80, { connections: 3, bytesDown: down += 120_000, bytesUp: down / 9 })],
      }),
      service("sample-project-leaf", { address: "127.1.31.2", ports: [port(3010), port(9090)] }),
      service("db", {
        address: "127.1.31.3",
        readyPods: 0,
        ports: [port(5432, { state: "blocked", reason: "address in use" })],
      }),
      service("outside", {
        reason: "ExternalName: points at example.com",
        ports: [],
        readyPods: 0,
        names: [],
      }),
    ]),
  ];
  await withInspector(sessions, async (_, url) => {
    await withBrowser(async (browser) => {
      const page = await browser.newPage({ viewport: { width: 1400, height: 800 } });
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") errors.push(message.text());
      });
      await page.goto(url);
      await page.locator(".service .name", { hasText: "sample-project-leaf" }).waitFor();
      assert.equal(await page.locator(".service").count(), 4);
      await until(
        "a rate",
        async () => (await page.locator(".service .rate").first().textContent())!.includes("kB/s"),
      );
      await page.locator(".service summary").first().click();
      const names = await page.locator(".service .names").first().allInnerTexts();
      assert.match(names[0]!, /sample-project-web\.sample-project\.svc\.cluster\.local/);
      if (SHOTS) await page.screenshot({ path: `${SHOTS}/services.png` });
      assert.deepEqual(errors, []);
    });
  });
});
