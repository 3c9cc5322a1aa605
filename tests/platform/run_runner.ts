import { runProgram } from "../../src/platform/run.ts";

/** `czctl run` without the rest: ends with the exit code of the program. */
const { command, env } = JSON.parse(Deno.args[0]!);
Deno.exit(await runProgram({ command, env, cwd: "/" }));
