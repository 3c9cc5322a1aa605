import { basename } from "node:path";
import process from "node:process";

/** The environment of this process, as a plain copy. */
export function environment(): Readonly<Record<string, string>> {
  return Deno.env.toObject();
}

/** The folder the command was typed in; `/` when it has been deleted meanwhile. */
export function workingFolder(): string {
  try {
    return Deno.cwd();
  } catch {
    return "/";
  }
}

/** Real user id; undefined where the system has none. */
export function callerUid(): number | undefined {
  return Deno.uid() ?? undefined;
}

export function isMacOs(): boolean {
  return Deno.build.os === "darwin";
}

/** The last part of the name this program was started by. */
export function invokedAs(): string {
  return basename(process.argv0);
}

/**
 * Calls back with the signal's number when the user (SIGINT) or the system
 * (SIGTERM, SIGHUP) wants this program to end.
 */
export function onInterrupt(callback: (signal: "SIGINT" | "SIGTERM" | "SIGHUP") => void): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => callback(signal));
  }
}
