import { messageOf } from "../model/errors.ts";
import { runProgram } from "../platform/run_program.ts";

/** What an installed copy says of itself. */
export interface ProbeResult {
  readonly version?: string;
  readonly uid?: number;
  readonly euid?: number;
  /** Why it did not answer. */
  readonly reason?: string;
}

const PROBE_MS = 10_000;

/**
 * Whether another helper of this user keeps the block now; only a helper can
 * look at the lock that tells. False where it cannot be found out.
 */
export async function blockIsKept(command: readonly string[]): Promise<boolean> {
  try {
    const result = await runProgram([...command, "--probe", "--kept"], {
      env: {},
      timeoutMs: PROBE_MS,
    });
    return JSON.parse(result?.output.split("\n", 1)[0] ?? "").kept === true;
  } catch {
    return false;
  }
}

/** Starts the copy at `path` only to ask its version and user ids. */
export async function probe(
  path: string,
  as?: { readonly uid: number; readonly gid: number },
): Promise<ProbeResult> {
  try {
    const result = await runProgram([path, "helper", "--probe"], {
      env: {},
      timeoutMs: PROBE_MS,
      ...(as === undefined ? {} : { as }),
    });
    if (result === undefined) return { reason: `"${path}" cannot be started` };
    const said = JSON.parse(result.output.split("\n", 1)[0] ?? "");
    if (said.hello === "czfwd helper") {
      return { version: String(said.version), uid: Number(said.uid), euid: Number(said.euid) };
    }
    return said.fatal?.code === "not_elevated" && /does not run as root/.test(said.fatal.message)
      ? {}
      : { reason: String(said.fatal?.message) };
  } catch (error) {
    return { reason: messageOf(error) };
  }
}
