/** `deno run -A scripts/release.ts`: what a release consists of, in dist/release. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { BuildError, runScript } from "./build_error.ts";
import { ROOT } from "./checks.ts";
import { compile } from "./compile.ts";
import { say } from "./report.ts";

/** Rust target triple -> the name scripts/install looks for. */
const NAMES: Record<string, string> = { "x86_64-unknown-linux-gnu": "czctl-linux-x86_64" };

await runScript(async () => {
  const name = NAMES[Deno.build.target];
  if (name === undefined) {
    throw new BuildError(`Cannot make a release for ${Deno.build.target}: it has no name yet`);
  }
  const folder = join(ROOT, "dist", "release");
  await Deno.mkdir(folder, { recursive: true });
  const file = await compile({ output: join(folder, name), note: (text) => say(`  ${text}`) });
  const sum = createHash("sha256").update(await Deno.readFile(file)).digest("hex");
  await Deno.writeTextFile(join(folder, "SHA256SUMS"), `${sum}  ${name}\n`);
  await Deno.copyFile(join(ROOT, "scripts", "install"), join(folder, "install"));
  say(`${folder}: ${name}, SHA256SUMS, install`);
});
