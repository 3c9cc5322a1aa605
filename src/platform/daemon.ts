import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { execPath as nodeExecPath, kill as nodeKill } from "node:process";

/** The running program's own file. */
export function ownExecutable(): string {
  return nodeExecPath;
}

export function userId(): number {
  return Deno.uid() ?? -1;
}

export function ownPid(): number {
  return Deno.pid;
}

export interface Daemon {
  readonly pid: number;
  /** Resolves with a description when it ends. */
  readonly ended: Promise<string>;
  /** Lets this process end while the daemon lives on. */
  release(): void;
}

const SHELL = "/bin/sh";
/**
 * Every listener and every connection costs a file, and the usual limit is
 * 1,024. The runtime cannot raise it, a shell can, up to the hard one; it is
 * the shell's process that becomes the program.
 */
const WITH_MANY_FILES =
  'ulimit -Sn 65536 2>/dev/null || ulimit -Sn "$(ulimit -Hn)" 2>/dev/null; exec "$0" "$@"';

/**
 * Starts a program that outlives this one: own process group and session, no
 * terminal, output appended to `logPath`, many open files.
 */
export function startDaemon(
  command: string,
  args: readonly string[],
  options: { env: Readonly<Record<string, string>>; logPath: string; cwd: string },
): Daemon {
  const output = openSync(options.logPath, "a", 0o600);
  try {
    const [program, ...words] = existsSync(SHELL)
      ? [SHELL, "-c", WITH_MANY_FILES, command, ...args]
      : [command, ...args];
    const child = spawn(program!, words, {
      detached: true,
      stdio: ["ignore", output, output],
      env: { ...options.env },
      cwd: options.cwd,
    });
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(`could not be run: ${error.message}`));
      child.once(
        "exit",
        (code, signal) => resolve(signal ? `ended by ${signal}` : `ended with exit code ${code}`),
      );
    });
    return {
      pid: child.pid ?? -1,
      ended,
      release() {
        // Without a pid it never started, and there is nothing to let go of.
        if (child.pid !== undefined) child.unref();
      },
    };
  } finally {
    closeSync(output);
  }
}

/** True while a process with that pid exists (and may be signalled by us). */
export function processExists(pid: number): boolean {
  try {
    nodeKill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Calls back on signals; returns what takes the handlers off again. */
export function onSignals(signals: readonly Deno.Signal[], callback: (signal: string) => void) {
  const handlers = signals.map((signal) => [signal, () => callback(signal)] as const);
  for (const [signal, handler] of handlers) Deno.addSignalListener(signal, handler);
  return () => {
    for (const [signal, handler] of handlers) Deno.removeSignalListener(signal, handler);
  };
}

/** Reports failures nobody handled, and keeps the process alive. */
export function onUnhandled(callback: (error: unknown) => void): void {
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    callback(event.reason);
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    callback(event.error);
  });
}

/** The environment a background process needs and nothing of the caller's beside it. */
export function daemonEnvironment(extra: Readonly<Record<string, string>>): Record<string, string> {
  const env: Record<string, string> = { DENO_TLS_CA_STORE: "system" };
  for (const name of ["HOME", "PATH", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ"]) {
    const value = Deno.env.get(name);
    if (value !== undefined) env[name] = value;
  }
  return { ...env, ...extra };
}
