import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import process from "node:process";
import { isAbsolute, join, resolve as resolvePath } from "node:path";

export interface RunOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment; nothing of this process's own is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Give it this process's stdin and stderr (a terminal), so that it can ask the user. */
  readonly terminal: boolean;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

export interface RunResult {
  readonly stdout: string;
  /** The last 4 KiB; empty when it went to the terminal. */
  readonly stderr: string;
  readonly code: number | null;
  /** `missing`: no such program. `denied`: not executable. */
  readonly problem?: "missing" | "denied" | "timeout" | "unstartable";
  readonly detail?: string;
}

/**
 * Finds a program the way kubectl would; undefined when there is none. Done
 * here because the lookup must use the given PATH, not this process's own. As
 * in Go, relative folders in PATH (an empty one is the working folder) do not
 * count: a program that lies in a checked-out repository is not to be run.
 */
export async function findProgram(
  command: string,
  env: Readonly<Record<string, string>>,
  cwd: string,
): Promise<string | undefined> {
  const candidates = command.includes("/")
    ? [resolvePath(cwd, command)]
    : (env.PATH ?? "").split(":").filter(isAbsolute).map((folder) => join(folder, command));
  for (const path of candidates) {
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

/** More is not a credential, and must not fill the memory. */
const MAX_STDOUT = 1 << 20;

/**
 * Runs a program to its end; never throws for what the program does. When its
 * time is over, what it has started itself is ended, too (but for one that has
 * the terminal, whose process group it has to share), and not waited for.
 */
export function run(options: RunOptions): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    let stdout = "";
    let stderr = "";
    let problem: Pick<RunResult, "problem" | "detail"> = {};
    const child = spawn(options.command, [...options.args], {
      cwd: options.cwd,
      env: { ...options.env },
      detached: !options.terminal,
      stdio: [
        options.terminal ? "inherit" : "ignore",
        "pipe",
        options.terminal ? "inherit" : "pipe",
      ],
    });
    const end = () => {
      try {
        if (options.terminal || child.pid === undefined) child.kill("SIGKILL");
        else process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has just ended.
      }
      // Whoever holds its output open must not hold us.
      child.stdout?.destroy();
      child.stderr?.destroy();
      finish(null);
    };
    const timer = setTimeout(() => {
      problem = { problem: "timeout" };
      end();
    }, options.deadlineMs);
    const onAbort = () => end();
    options.signal?.addEventListener("abort", onAbort, { once: true });
    const finish = (code: number | null) => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
      if (options.signal?.aborted) return reject(options.signal.reason);
      resolve({ stdout, stderr, code, ...problem });
    };
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      if (stdout.length < MAX_STDOUT) stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-4096);
    });
    child.on("error", (error: Error & { code?: string }) => {
      problem = {
        problem: error.code === "ENOENT"
          ? "missing"
          : error.code === "EACCES"
          ? "denied"
          : "unstartable",
        detail: error.message,
      };
      finish(null);
    });
    child.on("close", finish);
  });
}
