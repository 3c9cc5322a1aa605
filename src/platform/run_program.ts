/** Short-lived programs of the system. */

export interface ProgramResult {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

export interface RunProgramOptions {
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
  try {
    const child = new Deno.Command(program!, {
      args,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...(options.as ?? {}),
      ...(options.env === undefined ? {} : { env: { ...options.env }, clearEnv: true }),
      ...(options.timeoutMs === undefined
        ? {}
        : { signal: AbortSignal.timeout(options.timeoutMs) }),
    });
    const { code, stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    return { code, output: decoder.decode(stdout), errors: decoder.decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Runs a program that talks to the user itself (sudo asking for a password).
 * `hear` gets its standard output as it comes. The exit code; undefined when
 * there is no such program. Throws the system's error otherwise.
 */
export async function runOnTerminal(
  command: readonly string[],
  hear: (text: string) => void,
): Promise<number | undefined> {
  const [program, ...args] = command;
  try {
    const child = new Deno.Command(program!, {
      args,
      stdin: "inherit",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) hear(text);
    return (await child.status).code;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Real user and group id of this process; -1 where the system has none. */
export function currentUser(): { readonly uid: number; readonly gid: number } {
  return { uid: Deno.uid() ?? -1, gid: Deno.gid() ?? -1 };
}
