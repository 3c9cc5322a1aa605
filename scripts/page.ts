/**
 * `deno task page`: src/inspector/page/ -> src/inspector/page/assets.ts, so that
 * the page ends up inside the binary. A test says when this was forgotten.
 */
import { join } from "node:path";
import { BuildError, runScript } from "./build_error.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const PAGE = join(ROOT, "src", "inspector", "page");
const TARGET = join(PAGE, "assets.ts");

/** The text assets.ts should have. Throws BuildError. */
export async function pageAssets(): Promise<string> {
  const html = await Deno.readTextFile(join(PAGE, "index.html"));
  const assets = [
    ["/", "text/html; charset=utf-8", html],
    ["/style.css", "text/css; charset=utf-8", await Deno.readTextFile(join(PAGE, "style.css"))],
    ["/app.js", "text/javascript; charset=utf-8", await script()],
    ["/icon.svg", "image/svg+xml", await Deno.readTextFile(join(PAGE, "icon.svg"))],
  ] as const;
  const entries = assets.map(([path, type, text]) => {
    // One string per line, so that changes can be read.
    const lines = text.split("\n").map((line) => `    ${JSON.stringify(line)},\n`).join("");
    return `  ${JSON.stringify(path)}: { type: ${
      JSON.stringify(type)
    }, text: [\n${lines}  ].join("\\n") },\n`;
  });
  return [
    "// Generated from the files beside it by: deno task page\n",
    "export const ASSETS: Readonly<Record<string, { readonly type: string; readonly text: string }>> = {\n",
    ...entries,
    "};\n",
  ].join("");
}

async function script(): Promise<string> {
  const done = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "browser", join(PAGE, "client", "app.ts")],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  if (!done.success) {
    throw new BuildError(`Cannot bundle the page:\n${decoder.decode(done.stderr)}`);
  }
  return decoder.decode(done.stdout);
}

if (import.meta.main) {
  await runScript(async () => {
    await Deno.writeTextFile(TARGET, await pageAssets());
  });
}
