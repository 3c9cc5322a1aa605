import { join } from "node:path";
import { EnvFile } from "../../src/envfile/file.ts";
import { messageOf } from "../../src/model/errors.ts";

/** A process of its own that writes an env file: until it is killed, or until its disk is full. */

const [folder, record] = Deno.args as [string, string];
const bytes = (text: string) => new TextEncoder().encode(text);

if (record === "--fill") {
  const file = await EnvFile.claim("env.sh", { cwd: folder });
  await file.write(bytes("A=1\n"));
  const error = await file.write(new Uint8Array(1 << 20).fill(65)).then(String, messageOf);
  const files = Array.from(Deno.readDirSync(folder), ({ name }) => name);
  const content = await Deno.readTextFile(join(folder, "env.sh"));
  const again = await file.write(bytes("A=2\n"));
  const removed = await file.remove();
  await Deno.stdout.write(bytes(JSON.stringify({ error, files, content, again, removed })));
} else {
  const file = await EnvFile.claim("env.sh", {
    cwd: folder,
    persist: async (value) => {
      await Deno.writeTextFile(`${record}.new`, JSON.stringify(value));
      await Deno.rename(`${record}.new`, record);
    },
  });
  for (let round = 0;; round++) {
    await file.write(bytes(`A=${round}\n`.repeat(1 + round % 5000)));
    await Deno.stdout.write(bytes("."));
  }
}
