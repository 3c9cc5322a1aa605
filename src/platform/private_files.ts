import { dirname, join } from "node:path";
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
    throw new CzctlError("failed", `Cannot use the folder "${path}": ${reasonOf(cause)}`, {
      hint: "Check that HOME names a folder you can write to",
      cause,
    });
  }
}

/** The system's own words, without the runtime's number and operation behind them. */
export function reasonOf(error: unknown): string {
  const text = messageOf(error).replace(/ \(os error \d+\).*$/s, "");
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** How `writeAtomic` goes about it. */
export interface WriteOptions {
  /** Permission bits of the file; 0600 where absent. */
  readonly mode?: number;
  /** Where the bytes go first: in the same folder, must not exist. A name of chance where absent. */
  readonly temporary?: string;
  /** The path must not exist, and nothing is ever replaced. */
  readonly create?: boolean;
}

/**
 * Puts a file in place in one step: a reader sees the old content or the new,
 * never half. The bytes reach the disk under the temporary name first; on any
 * failure that file is removed and `path` is as it was.
 *
 * Throws the system's error; `Deno.errors.AlreadyExists` where `create` met a file.
 */
export async function writeAtomic(
  path: string,
  content: string | Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const { temporary = temporaryName(path), mode = 0o600 } = options;
  const file = await Deno.open(temporary, { createNew: true, write: true, mode });
  try {
    try {
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.sync();
    } finally {
      file.close();
    }
    if (options.create) await moveNew(temporary, path);
    else await Deno.rename(temporary, path);
  } catch (error) {
    await removeIfPresent(temporary);
    throw error;
  }
}

function temporaryName(path: string): string {
  return `${path}.${randomBytes(6).toString("hex")}.tmp`;
}

/** A rename that replaces nothing: link fails where the name is taken. */
async function moveNew(from: string, to: string): Promise<void> {
  try {
    await Deno.link(from, to);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw error;
    // File systems without hard links (vfat, some network ones): the next best.
    if (await pathExists(to)) {
      throw new Deno.errors.AlreadyExists(`${to} exists`, { cause: error });
    }
    return await Deno.rename(from, to);
  }
  await removeIfPresent(from);
}

/** What `ask` finds, or `missing` where there is nothing of that name. */
export async function ifPresent<T, M>(ask: Promise<T>, missing: M): Promise<T | M> {
  try {
    return await ask;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return missing;
    throw error;
  }
}

export function readIfPresent(path: string): Promise<string | undefined> {
  return ifPresent(Deno.readTextFile(path), undefined);
}

export function readBytesIfPresent(path: string): Promise<Uint8Array | undefined> {
  return ifPresent(Deno.readFile(path), undefined);
}

/** False when there was nothing to remove. */
export function removeIfPresent(path: string): Promise<boolean> {
  return ifPresent(Deno.remove(path).then(() => true), false);
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

/** True for a link whose target is not there. */
export async function leadsNowhere(path: string): Promise<boolean> {
  return await pathExists(path) && await ifPresent(Deno.stat(path).then(() => false), true);
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

/** More than a full disk takes. */
const TRIAL_BYTES = 4096;

/** Writes a file into a folder, down to the disk, and takes it away. Throws the system's error. */
export async function tryToWrite(folder: string): Promise<void> {
  const path = temporaryName(join(folder, ".czctl-trial"));
  const file = await Deno.open(path, { createNew: true, write: true, mode: 0o600 });
  try {
    const bytes = new Uint8Array(TRIAL_BYTES);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.sync();
  } finally {
    file.close();
    await removeIfPresent(path);
  }
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
  const temporary = temporaryName(path);
  await Deno.symlink(target, temporary);
  await Deno.rename(temporary, path);
}
