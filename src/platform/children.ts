import { Buffer } from "node:buffer";
import { constants } from "node:os";
import { ignoresHangup } from "./caller.ts";

/** A program cannot be started; `message` says why, `hint` what to do about it. */
export class CannotStart extends Error {
  override readonly name = "CannotStart";
  /** There is no such program, or no such interpreter of a script. */
  readonly missing: boolean;
  readonly hint: string;

  constructor(message: string, options: { missing?: boolean; hint?: string; cause: unknown }) {
    super(message, { cause: options.cause });
    this.missing = options.missing ?? false;
    this.hint = options.hint ?? "Check its name and PATH";
  }
}

/** Signals handed on to a child; SIGINT and SIGQUIT reach it from the terminal by themselves. */
const PASSED_ON = ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"] as const;
const FROM_TERMINAL = ["SIGINT", "SIGQUIT"] as const;

/**
 * Runs a program on this terminal with exactly this environment and resolves
 * with its exit code, 128 + signal when a signal ended it (as shells do).
 * Throws CannotStart.
 */
export async function runInForeground(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  let child: Deno.ChildProcess | undefined;
  // Before the start: a signal that comes right behind it must not end us instead.
  const stops = [
    ...PASSED_ON.filter((signal) => signal !== "SIGHUP" || !ignoresHangup()).map((signal) =>
      on(signal, () => child?.kill(signal))
    ),
    ...FROM_TERMINAL.map((signal) => on(signal, () => forward(child, signal))),
  ];
  // The program is to ignore it as well. A shell would lose variables whose names it cannot have.
  const [program, ...words] = [...(ignoresHangup() ? ["nohup"] : []), command, ...args];
  try {
    child = new Deno.Command(program!, {
      args: words,
      env: { ...env },
      clearEnv: true,
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    const status = await child.status;
    if (status.signal === null) return status.code;
    return 128 + (constants.signals[status.signal as keyof typeof constants.signals] ?? 0);
  } catch (error) {
    throw cannotStart(error, args, env);
  } finally {
    stops.forEach((stop) => stop());
  }
}

/** The runtime's message names the program a second time, and the error in its own words. */
function cannotStart(
  cause: unknown,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): CannotStart {
  if (cause instanceof Deno.errors.NotFound) {
    return new CannotStart("no such program", { missing: true, cause });
  }
  if (cause instanceof Deno.errors.PermissionDenied) {
    return new CannotStart("it is not executable", { cause });
  }
  if ((cause as { code?: unknown } | null)?.code === "E2BIG") return tooLarge(args, env, cause);
  return new CannotStart(cause instanceof Error ? cause.message : String(cause), { cause });
}

/** What Linux takes in one argument or variable, without the NUL behind it: MAX_ARG_STRLEN. */
const LINUX_TEXT_BYTES = 128 * 1024 - 1;

/** The system says only that something is too large: it is the largest, or all of it together. */
function tooLarge(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  cause: unknown,
): CannotStart {
  const texts = [
    ...args.map((arg, i) => ({ what: `argument ${i + 1}`, bytes: Buffer.byteLength(arg) })),
    ...Object.entries(env).map(([name, value]) => ({
      what: `variable "${name}"`,
      bytes: Buffer.byteLength(`${name}=${value}`),
    })),
  ].toSorted((a, b) => b.bytes - a.bytes);
  const { what, bytes } = texts[0] ?? { what: "the largest", bytes: 0 };
  if (Deno.build.os === "linux" && bytes > LINUX_TEXT_BYTES) {
    return new CannotStart(
      `${what} has ${bytes} bytes, and Linux takes at most ${LINUX_TEXT_BYTES} in one`,
      { hint: "A container could not start with it either: give it as a file", cause },
    );
  }
  const all = texts.reduce((sum, one) => sum + one.bytes + 1, 0);
  return new CannotStart(
    `its arguments and variables have ${all} bytes, more than this system takes`,
    { hint: `The largest is ${what} with ${bytes} bytes`, cause },
  );
}

/**
 * On a terminal the whole foreground group gets these keys' signals, and a
 * second one would tell the child twice; without one they come to us alone.
 */
function forward(child: Deno.ChildProcess | undefined, signal: Deno.Signal): void {
  if (!Deno.stdin.isTerminal()) child?.kill(signal);
}

function on(signal: Deno.Signal, act: () => void): () => void {
  const handler = () => {
    try {
      act();
    } catch {
      // The child has ended in the meantime.
    }
  };
  Deno.addSignalListener(signal, handler);
  return () => Deno.removeSignalListener(signal, handler);
}

/** A program that still runs after this many ms is taken to have started well. */
const STARTED_MS = 2_000;

/** Starts a program and lets it be; false when it is not there or fails at once. */
export async function startQuietly(command: string, args: readonly string[]): Promise<boolean> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(command, {
      args: [...args],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  } catch {
    return false;
  }
  child.unref();
  let timer: number | undefined;
  const late = new Promise<boolean>((resolve) => timer = setTimeout(resolve, STARTED_MS, true));
  const well = await Promise.race([late, child.status.then((status) => status.success)]);
  clearTimeout(timer);
  return well;
}
