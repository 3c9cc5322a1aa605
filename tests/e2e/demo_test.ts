import assert from "node:assert/strict";
import { join } from "node:path";
import { Sandbox } from "./sandbox.ts";

const root = join(import.meta.dirname!, "..", "..");

Deno.test({
  name: "the demo does what it says, and leaves nothing",
  ignore: Deno.uid() !== 0,
  fn: async () => {
    const box = await Sandbox.create();
    try {
      const before = await box.hosts();
      const shown = await box.run(
        [Deno.execPath(), "run", "-A", join(root, "scripts", "demo.ts")],
        {
          cwd: root,
          // Deno's own cache is the real one.
          env: { HOME: Deno.env.get("HOME") ?? "/root" },
          timeoutMs: 120_000,
        },
      );
      assert.equal(shown.code, 0, shown.stdout + shown.stderr);
      assert.match(shown.stdout, /requests, none failed/);
      assert.match(shown.stdout, /byte for byte what it was/);
      assert.deepEqual(await box.hosts(), before);
      assert.deepEqual(await box.pidsOf("czfwd"), []);
    } finally {
      await box.close();
    }
  },
});
