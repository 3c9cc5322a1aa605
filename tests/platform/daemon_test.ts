import assert from "node:assert/strict";
import { startDaemon } from "../../src/platform/daemon.ts";
import { withFolder } from "../temp_folder.ts";

Deno.test("startDaemon() that cannot be run says so, and may be let go", async () => {
  await withFolder(async (folder) => {
    const daemon = startDaemon("/bin/true", [], {
      env: {},
      logPath: `${folder}/log`,
      cwd: `${folder}/nothing`,
    });
    assert.match(await daemon.ended, /^could not be run: ./);
    daemon.release();
  });
});
