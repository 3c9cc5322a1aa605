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
    // Without a listener the runtime ends on it, once there is one for any signal.
    Deno.addSignalListener(signal, () => {
      if (signal !== "SIGHUP" || !hangupIsIgnored) callback(signal);
    });
  }
}

let hangupIsIgnored = false;

/** True when SIGHUP is to be left alone, as `nohup` says; known after `lookForNohup`. */
export function ignoresHangup(): boolean {
  return hangupIsIgnored;
}

/**
 * Finds out whether this program was started with SIGHUP ignored (`nohup`, or a
 * shell that is not to hang up its jobs). The first listener for any signal
 * undoes that, for this program and for those it starts, so this comes before.
 * The runtime does not tell; a shell inherits it, and lives on when it is sent one.
 */
export function lookForNohup(): void {
  // nohup leaves none of them on a terminal; asking costs a process.
  if ([Deno.stdin, Deno.stdout, Deno.stderr].some((stream) => stream.isTerminal())) return;
  try {
    const { success } = new Deno.Command("/bin/sh", {
      args: ["-c", "kill -HUP $$"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).outputSync();
    hangupIsIgnored = success;
  } catch {
    // There is no shell here, as in an image of one program.
  }
}
