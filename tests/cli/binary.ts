import { join } from "node:path";
import { compile } from "../../scripts/compile.ts";

export const ROOT = new URL("../..", import.meta.url).pathname;

/** The compiled program; made when it is not there (`deno task test` has made it). */
export async function binary(): Promise<string> {
  const path = join(ROOT, "dist", "czctl");
  try {
    await Deno.stat(path);
    return path;
  } catch {
    return await compile();
  }
}

/** Runs the compiled program with an environment of its own. */
export async function czctl(args: string[], env: Record<string, string> = {}) {
  const done = await new Deno.Command(await binary(), {
    args,
    env: { HOME: "/nonexistent", PATH: "/usr/bin:/bin", ...env },
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return { code: done.code, out: decoder.decode(done.stdout), err: decoder.decode(done.stderr) };
}
