import { basename, dirname, join } from "node:path";

/** File operations of the env file: small, and each all or nothing. */

/** What lies at a path; a symbolic link is not followed. */
export type PathKind = "missing" | "file" | "directory" | "symlink" | "other";

/** Throws the system's error when the path cannot be looked at. */
export async function pathKind(path: string): Promise<PathKind> {
  try {
    const info = await Deno.lstat(path);
    if (info.isSymlink) return "symlink";
    if (info.isFile) return "file";
    return info.isDirectory ? "directory" : "other";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "missing";
    throw error;
  }
}

/** True for a folder, through symbolic links; false when nothing or something else is there. */
export async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The contents of a regular file, or undefined when it is longer than `most` bytes or gone. */
export async function readAtMost(path: string, most: number): Promise<Uint8Array | undefined> {
  try {
    const { size } = await Deno.stat(path);
    return size > most ? undefined : await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Puts `bytes` at `path` in one step, readable by its owner only. The bytes
 * go to `temporary` (same folder, must not exist) and to the disk first; on
 * any failure that file is removed and `path` is as it was. With `create` the
 * path must not exist and nothing is ever replaced.
 *
 * Throws the system's error; `Deno.errors.AlreadyExists` where `create` met a file.
 */
export async function putFile(
  path: string,
  temporary: string,
  bytes: Uint8Array,
  create: boolean,
): Promise<void> {
  const file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 });
  try {
    try {
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.sync();
    } finally {
      file.close();
    }
    if (create) await moveNew(temporary, path);
    else await Deno.rename(temporary, path);
  } catch (error) {
    await removeFile(temporary);
    throw error;
  }
}

/** A rename that replaces nothing: link fails where the name is taken. */
async function moveNew(from: string, to: string): Promise<void> {
  try {
    await Deno.link(from, to);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw error;
    // File systems without hard links (vfat, some network ones): the next best.
    if (await pathKind(to) !== "missing") {
      throw new Deno.errors.AlreadyExists(`${to} exists`, { cause: error });
    }
    return await Deno.rename(from, to);
  }
  await removeFile(from);
}

/** False when there was nothing to remove. */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The name for the temporary file of `path`: hidden, beside it. */
export function temporaryFor(path: string, id: string): string {
  return join(dirname(path), `.${basename(path)}.czctl-${id}`);
}
