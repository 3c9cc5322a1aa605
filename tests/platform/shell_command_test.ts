import assert from "node:assert/strict";
import { join } from "node:path";
import { startShell } from "../../src/platform/shell_command.ts";
import { withFolder } from "../temp_folder.ts";
import { until } from "../until.ts";

const PATH = Deno.env.get("PATH")!;

Deno.test("startShell: stopping it also stops what it started", async () => {
  await withFolder(async (folder) => {
    // The second sleep ignores SIGTERM and its parent is gone: the group must get SIGKILL.
    const shell = startShell(
      "/bin/sh",
      "(trap '' TERM; exec sleep 600) & echo $! > pid.new; mv pid.new pid; wait",
      { cwd: folder, env: { PATH } },
    );
    const pid = await until(
      "it has told its pid",
      () => Deno.readTextFile(join(folder, "pid")).then(Number, () => undefined),
    );
    await shell.stop(200);
    assert.equal(await shell.done, 143);
    await until("it has ended", () => {
      try {
        Deno.kill(pid, "SIGCONT");
        return false;
      } catch {
        return true;
      }
    });
  });
});

Deno.test("startShell: a shell that does not exist is over at once", async () => {
  const shell = startShell("/no/such/shell", "true", { cwd: "/", env: {} });
  assert.equal(await shell.done, -1);
  await shell.stop(1000);
});
