import assert from "node:assert/strict";
import { join } from "node:path";
import { fileLogger } from "../../src/platform/log_file.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { withFolder } from "../temp_folder.ts";

Deno.test({
  name: "fileLogger() writes one line an entry, whatever a cluster said",
  // The file is open for as long as the process lives.
  sanitizeResources: false,
  fn: () =>
    withFolder(async (folder) => {
      const path = join(folder, "log");
      const log = fileLogger(path, systemClock);
      const nasty =
        "a\n2026-01-01T00:00:00Z error forged\r\x1b[2J\x9b1m\u2028b\u2029c\u202ed\u2066\x07";
      log.warn(nasty, { reason: nasty, plain: "x" });
      const text = await Deno.readTextFile(path);
      assert.doesNotMatch(text.slice(0, -1), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      assert.match(text, /^\S+ warn a \| 2026-01-01T00:00:00Z error forged\\x0d\\x1b\[2J\\x9b1m/);
      assert.match(text, /\\u2028b\\u2029c\\u202ed\\u2066\\x07 reason=".*" plain=x\n$/);
      assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    }),
});
