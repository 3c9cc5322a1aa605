import { constants } from "node:os";

/** A program cannot be started; `message` says why. */
export class CannotStart extends Error {
  override readonly name = "CannotStart";

  /** `missing`: there is no such program, or no such interpreter of a script. */
  constructor(message: string, readonly missing: boolean, cause: unknown) {
    super(message, { cause });
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
    ...PASSED_ON.map((signal) => on(signal, () => child?.kill(signal))),
    ...FROM_TERMINAL.map((signal) => on(signal, () => forward(child, signal))),
  ];
  try {
    child = new Deno.Command(command, {
      args: [...args],
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
    throw cannotStart(error);
  } finally {
    stops.forEach((stop) => stop());
  }
}

/** The runtime's message names the program a second time, and the error in its own words. */
function cannotStart(error: unknown): CannotStart {
  if (error instanceof Deno.errors.NotFound) return new CannotStart("no such program", true, error);
  if (error instanceof Deno.errors.PermissionDenied) {
    return new CannotStart("it is not executable", false, error);
  }
  return new CannotStart(error instanceof Error ? error.message : String(error), false, error);
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
