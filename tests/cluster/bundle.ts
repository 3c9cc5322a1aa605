/** Bundles the server into one file for Node, once per state of its sources. */
import { createHash } from "node:crypto";
import { join } from "node:path";

const HERE = import.meta.dirname!;
const OUTPUT = join(HERE, "..", "..", "dist", "test-cluster");

/** Path of the bundle; made if the sources changed. Throws when bundling fails. */
export async function bundleServer(): Promise<string> {
  const hash = createHash("sha256");
  const names = [...Deno.readDirSync(join(HERE, "server"))].map((entry) => entry.name).sort();
  for (const name of names) hash.update(name).update(Deno.readFileSync(join(HERE, "server", name)));
  const path = join(OUTPUT, `server-${hash.digest("hex").slice(0, 16)}.mjs`);
  try {
    await Deno.stat(path);
    return path;
  } catch {
    // Not there yet.
  }
  await Deno.mkdir(OUTPUT, { recursive: true });
  const partial = `${path}.${crypto.randomUUID()}.mjs`;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "-o", partial, join(HERE, "server", "main.ts")],
    stderr: "piped",
    stdout: "null",
  }).output();
  if (!success) throw new Error(`Cannot bundle the server: ${new TextDecoder().decode(stderr)}`);
  // Two tests may do this at once; the rename makes either's work whole.
  await Deno.rename(partial, path);
  return path;
}
