import { dirname } from "node:path";
import { randomBytes } from "node:crypto";
import { CzctlError, messageOf } from "../model/errors.ts";

/**
 * Makes a folder and its parents, readable by the owner only (0700).
 * Throws CzctlError `failed` when that cannot be done.
 */
export async function ensurePrivateDir(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    const info = await Deno.stat(path);
    if (info.mode !== null && (info.mode & 0o077) !== 0) await Deno.chmod(path, 0o700);
  } catch (cause) {
    throw new CzctlError("failed", `Cannot use the folder "${path}": ${messageOf(cause)}`, {
      hint: "Check that HOME names a folder you can write to",
      cause,
    });
  }
}

/** Replaces a file in one step: a reader sees the old content or the new, never half. */
export async function writeAtomic(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  const file = await Deno.open(temporary, { createNew: true, write: true, mode });
  try {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.sync();
  } catch (error) {
    file.close();
    await removeIfPresent(temporary);
    throw error;
  }
  file.close();
  try {
    await Deno.rename(temporary, path);
  } catch (error) {
    await removeIfPresent(temporary);
    throw error;
  }
}

export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

export async function readBytesIfPresent(path: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

export async function removeIfPresent(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** True for anything at that path, a link that leads nowhere included. */
export async function pathExists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    return false;
  }
}

/** Names in a folder, sorted; none when the folder does not exist. */
export async function namesIn(path: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(path)) names.push(entry.name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}

/** A lock that ends with the process that holds it, however that ends. */
export interface HeldLock {
  release(): void;
}

/** Undefined when somebody else holds it. The file itself is left behind. */
export async function tryLock(path: string): Promise<HeldLock | undefined> {
  await ensurePrivateDir(dirname(path));
  const file = await Deno.open(path, { create: true, read: true, write: true, mode: 0o600 });
  if (!(await file.tryLock(true))) {
    file.close();
    return undefined;
  }
  return { release: () => file.close() };
}

/** Points a link at a target in one step, whatever was there before. */
export async function replaceLink(path: string, target: string): Promise<void> {
  // A program started through the link may be told that the link is its file.
  if (target === path) return;
  await ensurePrivateDir(dirname(path));
  try {
    if (await Deno.readLink(path) === target) return;
  } catch {
    // Not a link or not there: replaced below.
  }
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  await Deno.symlink(target, temporary);
  await Deno.rename(temporary, path);
}
