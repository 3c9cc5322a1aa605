import assert from "node:assert/strict";
import { pageAssets } from "../../scripts/page.ts";

Deno.test("assets.ts is what `deno task page` makes of the page's sources", async () => {
  const path = new URL("../../src/inspector/page/assets.ts", import.meta.url);
  assert.ok(await Deno.readTextFile(path) === await pageAssets(), "stale: run `deno task page`");
});
