import { spawn } from "node:child_process";
import process from "node:process";
import { CzctlError, messageOf } from "../model/errors.ts";

/** Programs of the user's: one in the foreground, and commands in the background. */

export interface ProgramOptions {
  /** The program and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** The whole environment of the program. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Aborted: the program gets SIGTERM, and SIGKILL 5 s later. */
  readonly signal?: AbortSignal;
}

/** Ctrl-C and Ctrl-\ reach the whole foreground group by themselves; the others do not. */
const FROM_TERMINAL = new Set<Deno.Signal>(["SIGINT", "SIGQUIT"]);
const PASSED: readonly Deno.Signal[] = [
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGHUP",
  "SIGUSR1",
  "SIGUSR2",
];

const KILL_AFTER_MS = 5000;

/**
 * Runs a program on this process's own terminal and passes signals on to it.
 * The result is its exit code, 128 + the number for one that a signal ended.
 *
 * Throws CzctlError `failed` when it cannot be started.
 */
export async function runProgram(options: ProgramOptions): Promise<number> {
  const [program, ...args] = options.command;
  options.signal?.throwIfAborted();
  let child: Deno.ChildProcess | undefined;
  const send = (name: Deno.Signal) => {
    try {
      child?.kill(name);
    } catch {
      // It has just ended.
    }
  };
  const terminal = Deno.stdin.isTerminal();
  // Before the program starts: a signal in between would end this process and leave the program.
  const listeners = PASSED.map((name) => {
    const listener = () => {
      // The terminal has sent it already; twice would mean "quit at once" to many programs.
      if (!(terminal && FROM_TERMINAL.has(name))) send(name);
    };
    Deno.addSignalListener(name, listener);
    return () => Deno.removeSignalListener(name, listener);
  });
  let killer: ReturnType<typeof setTimeout> | undefined;
  const onAbort = () => {
    send("SIGTERM");
    killer = setTimeout(() => send("SIGKILL"), KILL_AFTER_MS);
  };
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    child = new Deno.Command(program, {
      args,
      cwd: options.cwd,
      env: { ...options.env },
      clearEnv: true,
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    return (await child.status).code;
  } catch (error) {
    throw startError(program, error);
  } finally {
    clearTimeout(killer);
    options.signal?.removeEventListener("abort", onAbort);
    for (const remove of listeners) remove();
  }
}

function startError(program: string, error: unknown): CzctlError {
  if (error instanceof Deno.errors.NotFound) {
    return new CzctlError("failed", `Cannot run "${program}": no such program or folder`);
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return new CzctlError("failed", `Cannot run "${program}": permission denied`);
  }
  if ((error as { code?: string }).code === "E2BIG") {
    return new CzctlError(
      "failed",
      `Cannot run "${program}": the environment is larger than the system allows a program`,
    );
  }
  return new CzctlError("failed", `Cannot run "${program}": ${messageOf(error)}`, { cause: error });
}

export interface ShellCommand {
  /** The exit code, 128 + the number for a signal; -1 when the shell could not be started. */
  readonly done: Promise<number>;
  /** SIGTERM to the command and all it started, SIGKILL to what is left after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

/**
 * Starts `command` with `shell -c` in a process group of its own, so that
 * stopping it also stops what it started. Its output goes nowhere.
 */
export function startShell(
  shell: string,
  command: string,
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): ShellCommand {
  const child = spawn(shell, ["-c", command], {
    cwd: options.cwd,
    env: { ...options.env },
    detached: true,
    stdio: "ignore",
  });
  const done = new Promise<number>((resolve) => {
    child.once("error", () => resolve(-1));
    child.once("exit", (code, signal) => resolve(code ?? 128 + signalNumber(signal)));
  });
  const signalGroup = (name: "SIGTERM" | "SIGKILL"): boolean => {
    try {
      return child.pid !== undefined && process.kill(-child.pid, name);
    } catch {
      return false;
    }
  };
  return {
    done,
    stop: async (graceMs) => {
      if (!signalGroup("SIGTERM")) return void await done;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, graceMs);
      });
      await Promise.race([done, late]);
      clearTimeout(timer);
      // The shell may be gone while what it started is not.
      signalGroup("SIGKILL");
      await done;
    },
  };
}

const NUMBERS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

function signalNumber(signal: string | null): number {
  return signal === null ? 0 : NUMBERS[signal] ?? 0;
}
