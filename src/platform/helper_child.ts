/** The helper as svc sees it: a child that speaks in lines. */

export interface LineChild {
  readonly pid: number;
  /** Lines of its standard output; ends with it. */
  readonly lines: AsyncIterable<string>;
  /** Resolves when it has ended, with a word on how. */
  readonly ended: Promise<{ readonly code: number; readonly signal: string | null }>;
  /** The end of what it wrote to standard error. */
  errorText(): string;
  send(line: string): Promise<void>;
  /** Ends its standard input. */
  finish(): Promise<void>;
  kill(): void;
}

/** Standard error kept per child, in characters. */
const KEPT_ERROR_TEXT = 2_000;

/** Starts a program with nothing but `env` in its environment. Throws the system's error. */
export function startLineChild(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): LineChild {
  const [program, ...args] = command;
  const child = new Deno.Command(program!, {
    args,
    env: { ...env },
    clearEnv: true,
    cwd: "/",
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  writer.closed.catch(() => {});
  let errors = "";
  const drained = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      errors = (errors + text).slice(-KEPT_ERROR_TEXT);
    }
  })().catch(() => {});
  const encoder = new TextEncoder();
  return {
    pid: child.pid,
    lines: linesOf(child.stdout),
    ended: child.status.then(async ({ code, signal }) => {
      await drained;
      return { code, signal };
    }),
    errorText: () => errors.trim(),
    send: (line) => writer.write(encoder.encode(`${line}\n`)),
    finish: () => writer.close().catch(() => {}),
    kill() {
      try {
        child.kill("SIGKILL");
      } catch {
        // Ended already.
      }
    },
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}
