/** A real browser for tests. */
import { type Browser, chromium, type Page } from "playwright-core";
import sparticuz from "@sparticuz/chromium";

export type { Browser, Page };

/**
 * Runs `body` with a browser, which is closed and whose unpacked files are
 * removed afterwards. Its own switches are not used: they turn off the very
 * protections that are tested here (`--disable-web-security`).
 */
export async function withBrowser(body: (browser: Browser) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "czctl-browser-" });
  const before = Deno.env.get("TMPDIR");
  // The package unpacks into the temporary folder and leaves it there.
  Deno.env.set("TMPDIR", folder);
  try {
    const browser = await chromium.launch({
      executablePath: await sparticuz.executablePath(),
      args: ["--no-sandbox", "--no-zygote", "--disable-gpu", "--headless=shell"],
      headless: true,
      timeout: 60_000,
      env: { TMPDIR: folder, HOME: folder, LD_LIBRARY_PATH: Deno.env.get("LD_LIBRARY_PATH") ?? "" },
    });
    try {
      await body(browser);
    } finally {
      await browser.close();
    }
  } finally {
    if (before === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", before);
    await Deno.remove(folder, { recursive: true });
  }
}
