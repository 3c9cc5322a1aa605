import assert from "node:assert/strict";
import type { EditJob, EditOutcome } from "./edit_program.ts";

const PROGRAM = new URL("./edit_program.ts", import.meta.url).pathname;

/** Runs one edit as a process of its own; undefined when it was killed, as asked. */
export async function runEdit(
  job: EditJob,
  prepare?: string,
): Promise<EditOutcome | undefined> {
  const deno = [
    Deno.execPath(),
    "run",
    "-A",
    "--no-check",
    "--quiet",
    PROGRAM,
    JSON.stringify(job),
  ];
  const command = prepare === undefined
    ? deno
    : ["unshare", "-m", "--propagation", "private", "sh", "-ec", `${prepare}\nexec "$@"`, "sh"]
      .concat(deno);
  const [program, ...args] = command;
  const { code, signal, stdout, stderr } = await new Deno.Command(program!, { args }).output();
  if (signal === "SIGKILL") return undefined;
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
