import { spawn } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";

/** Commands of the user's that run in the background. */

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

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal] ?? 0;
}
