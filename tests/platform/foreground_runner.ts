import { runInForeground } from "../../src/platform/children.ts";

/** `czctl run` without the rest: ends with the exit code of the program. */
const { command: [program, ...args], env } = JSON.parse(Deno.args[0]!);
Deno.exit(await runInForeground(program, args, env));
