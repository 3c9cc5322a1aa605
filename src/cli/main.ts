import { buildInfo } from "../platform/build_info.ts";

/** Runs one command line of `czctl`; resolves with the exit code. */
export function runCli(args: readonly string[]): Promise<number> {
  if (args[0] === "version") {
    const info = buildInfo();
    const text = `czctl ${info.version} (${info.commit})\nDeno ${info.deno}, ${info.target}\n`;
    Deno.stdout.writeSync(new TextEncoder().encode(text));
  }
  return Promise.resolve(0);
}
