/** The table of docs/security.md, tried on a program compiled as czctl is. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { BINARY, binaryIsThere } from "./support/machine.ts";
import { withFolder } from "../temp_folder.ts";

const PROGRAM = new URL("./support/rights_program.ts", import.meta.url).pathname;
const COMPILE = new URL("../../scripts/compile.ts", import.meta.url).pathname;
const FLAGS = /"(--allow-[a-z]+|--no-prompt)"/g;

Deno.test({
  name: "the helper has given up whatever it does not need",
  ignore: !binaryIsThere(),
  fn: async () => {
    await withFolder(async (folder) => {
      // The same permissions as the product's, from where they are written down.
      const flags = [...(await Deno.readTextFile(COMPILE)).matchAll(FLAGS)].map(([, flag]) =>
        flag!
      );
      assert.ok(flags.includes("--no-prompt") && !flags.includes("--allow-all"), `${flags}`);
      const base = join(folder, "denort");
      await Deno.writeFile(base, await baseOf(BINARY), { mode: 0o755 });
      const output = join(folder, "rights");
      const compiled = await new Deno.Command(Deno.execPath(), {
        args: ["compile", "--quiet", "--no-check", "--no-config", "--no-lock", ...flags]
          .concat(["--no-code-cache", "--output", output, PROGRAM]),
        env: { DENORT_BIN: base },
      }).output();
      assert.ok(compiled.success, new TextDecoder().decode(compiled.stderr));
      const { stdout } = await new Deno.Command(output, { stdin: "null" }).output();
      assert.deepEqual(JSON.parse(new TextDecoder().decode(stdout)), {
        "start a program": "NotCapable",
        "read the environment": "NotCapable",
        "set the environment": "NotCapable",
        "ask the system": "NotCapable",
        "ask who runs it": "NotCapable",
        "import from outside": "TypeError",
        "import data": "done",
        "load a library": "NotCapable",
        "send a signal to another": "NotCapable",
        "ask for it back": "NotCapable",
        "read inside /proc": "NotCapable",
        "read a file": "done",
        "listen on 127.1.x.x": "done",
        umask: 0o077,
        cwd: "/",
      });
    });
  },
});

/** What `deno compile` appended is as long as the last 8 bytes say. */
async function baseOf(binary: string): Promise<Uint8Array> {
  const bytes = await Deno.readFile(binary);
  const view = new DataView(bytes.buffer, bytes.byteLength - 8);
  return bytes.subarray(0, bytes.length - Number(view.getBigUint64(0, true)));
}
