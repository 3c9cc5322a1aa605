import { basename, dirname, join } from "node:path";
import { ifPresent } from "./private_files.ts";

/** What the env file asks of the file system before it touches anything. */

/** What lies at a path; a symbolic link is not followed. */
export type PathKind = "missing" | "file" | "directory" | "symlink" | "other";

/** Throws the system's error when the path cannot be looked at. */
export async function pathKind(path: string): Promise<PathKind> {
  const info = await ifPresent(Deno.lstat(path), undefined);
  if (info === undefined) return "missing";
  if (info.isSymlink) return "symlink";
  if (info.isFile) return "file";
  return info.isDirectory ? "directory" : "other";
}

/** True for a folder, through symbolic links; false when nothing or something else is there. */
export async function isDirectory(path: string): Promise<boolean> {
  return (await ifPresent(Deno.stat(path), undefined))?.isDirectory ?? false;
}

/** The contents of a regular file, or undefined when it is longer than `most` bytes or gone. */
export async function readAtMost(path: string, most: number): Promise<Uint8Array | undefined> {
  const info = await ifPresent(Deno.stat(path), undefined);
  if (info === undefined || info.size > most) return undefined;
  return await ifPresent(Deno.readFile(path), undefined);
}

/** The name for the temporary file of `path`: hidden, beside it. */
export function temporaryFor(path: string, id: string): string {
  return join(dirname(path), `.${basename(path)}.czctl-${id}`);
}
