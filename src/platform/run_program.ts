/** Short-lived programs of the system. */

export interface ProgramResult {
  readonly code: number;
  /** Standard output, when it was captured. */
  readonly output: string;
  readonly errors: string;
}

export interface RunProgramOptions {
  /** `terminal`: the program talks to the user itself (sudo asking for a password). */
  readonly stdio?: "captured" | "terminal";
  /** Run it as this user; for root only. */
  readonly as?: { readonly uid: number; readonly gid: number };
  /** It is killed after this, in ms. */
  readonly timeoutMs?: number;
  /** Replaces the environment when given. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Undefined when there is no such program. Throws the system's error otherwise. */
export async function runProgram(
  command: readonly string[],
  options: RunProgramOptions = {},
): Promise<ProgramResult | undefined> {
  const [program, ...args] = command;
  const stdio = options.stdio === "terminal" ? "inherit" : "piped";
  try {
    const child = new Deno.Command(program!, {
      args,
      stdin: options.stdio === "terminal" ? "inherit" : "null",
      stdout: stdio,
      stderr: stdio,
      ...(options.as ?? {}),
      ...(options.env === undefined ? {} : { env: { ...options.env }, clearEnv: true }),
      ...(options.timeoutMs === undefined
        ? {}
        : { signal: AbortSignal.timeout(options.timeoutMs) }),
    });
    if (options.stdio === "terminal") {
      return { code: (await child.spawn().status).code, output: "", errors: "" };
    }
    const { code, stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    return { code, output: decoder.decode(stdout), errors: decoder.decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Real user and group id of this process; -1 where the system has none. */
export function currentUser(): { readonly uid: number; readonly gid: number } {
  return { uid: Deno.uid() ?? -1, gid: Deno.gid() ?? -1 };
}
