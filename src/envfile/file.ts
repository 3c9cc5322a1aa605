import { createHash, randomUUID } from "node:crypto";
import { dirname, resolve } from "node:path";
import { CzctlError, messageOf } from "../model/errors.ts";
import { shellWord } from "../model/shell_word.ts";
import { isDirectory, pathKind, readAtMost, temporaryFor } from "../platform/env_files.ts";
import { removeIfPresent, writeAtomic } from "../platform/private_files.ts";

/**
 * What must survive `kill -9` so that another process can clean up. It is
 * handed to `persist` before the file changes, so a file on disk always has
 * one of `hashes`.
 */
export interface EnvFileRecord {
  readonly path: string;
  /** The temporary file beside it, there for the moment of a write. */
  readonly temporary: string;
  /** SHA-256 in hex of what czctl has written, and of what it is about to write. */
  readonly hashes: readonly string[];
  /** Length in bytes of the longest of them: a longer file is not read. */
  readonly bytes: number;
}

export interface ClaimOptions {
  /** Where the path was typed. */
  readonly cwd: string;
  /** What to say of a file that is there and not known to be czctl's. */
  readonly taken?: string;
  /** Replace a file that czctl did not write. Never a folder, link or device. */
  readonly force?: boolean;
  /** The record of an earlier claim of the same file: what it wrote is czctl's own. */
  readonly record?: EnvFileRecord;
  /** What is to be written: a file that holds just this may be replaced. */
  readonly contents?: Uint8Array;
  /** Keeps the record on disk; awaited before each change of the file. */
  readonly persist?: (record: EnvFileRecord) => Promise<void>;
}

export type WriteResult = "written" | "unchanged" | "stopped";

export interface RemoveResult {
  readonly removed: boolean;
  /** Why a file was left where it is; absent when there was none. */
  readonly reason?: string;
}

/**
 * The life of one env file: claimed, written and rewritten, removed. It is
 * only touched while it is still what czctl wrote; once the user has changed,
 * renamed or deleted it, it is theirs.
 */
export class EnvFile {
  /** Absolute. */
  readonly path: string;
  readonly #shown: string;
  readonly #temporary: string;
  readonly #persist: (record: EnvFileRecord) => Promise<void>;
  #hashes: readonly string[];
  #bytes: number;
  /** False until the first write: the file is then expected not to be there (or is forced). */
  #written = false;
  /** SHA-256 of the last write that succeeded. */
  #current = "";
  #mayReplace: boolean;
  #stopped: string | undefined;

  private constructor(path: string, shown: string, mayReplace: boolean, options: ClaimOptions) {
    this.path = path;
    this.#shown = shown;
    this.#temporary = options.record?.temporary ?? temporaryFor(path, randomUUID());
    this.#persist = options.persist ?? (() => Promise.resolve());
    this.#hashes = options.record?.hashes ?? [];
    this.#bytes = options.record?.bytes ?? 0;
    this.#mayReplace = mayReplace;
  }

  /**
   * Finds out whether the file may be written, and writes nothing.
   * Throws CzctlError `failed`: no such folder, not writable, a folder, a
   * symbolic link, a file that czctl did not write.
   */
  static async claim(path: string, options: ClaimOptions): Promise<EnvFile> {
    const full = resolve(options.cwd, path);
    const cannot = (reason: string, hint?: string) =>
      new CzctlError("failed", `Cannot write "${path}": ${reason}`, hint ? { hint } : {});
    try {
      const folder = dirname(full);
      if (path === "" || path.endsWith("/") || await pathKind(full) === "directory") {
        throw cannot("it is a folder", "Name a file, for example env.sh");
      }
      if (!await isDirectory(folder)) {
        throw cannot(`the folder "${folder}" does not exist`, `mkdir -p ${shellWord(folder)}`);
      }
      const kind = await pathKind(full);
      if (kind === "symlink") {
        throw cannot("it is a symbolic link", "Give the path it leads to, or another name");
      }
      if (kind === "other") {
        throw cannot("it is not a regular file", "Name a file, for example env.sh");
      }
      const { record: known, contents } = options;
      const ours = kind === "file" &&
        (known !== undefined && await isOneOf(known) ||
          contents !== undefined && await holds(full, contents));
      if (kind === "file" && !ours && !options.force) {
        throw cannot(
          options.taken ?? "the file exists and czctl did not write it",
          "Give --force to replace it, or another name",
        );
      }
      const claimed = new EnvFile(full, path, kind === "file", options);
      if (known !== undefined) await removeIfPresent(known.temporary);
      // Better to find a read-only folder now than after the tunnels are open.
      const probe = temporaryFor(full, randomUUID());
      await writeAtomic(probe, "", { temporary: `${probe}.new`, create: true });
      await removeIfPresent(probe);
      return claimed;
    } catch (error) {
      throw error instanceof CzctlError ? error : cannot(
        reasonOf(error),
        "Name a file in a folder that you can write to, and that has room",
      );
    }
  }

  /** Why czctl no longer writes the file; undefined while it does. */
  get stopped(): string | undefined {
    return this.#stopped;
  }

  get record(): EnvFileRecord {
    return {
      path: this.path,
      temporary: this.#temporary,
      hashes: this.#hashes,
      bytes: this.#bytes,
    };
  }

  /**
   * Replaces the contents in one step, mode 0600, unless they are already
   * these. Throws CzctlError `failed` (disk full, ...); the file is then as it was.
   */
  async write(bytes: Uint8Array): Promise<WriteResult> {
    const hash = sha256(bytes);
    try {
      if (this.#written && await this.check() !== undefined) return "stopped";
      if (this.#written && this.#current === hash) return "unchanged";
      await this.#announce(this.#written ? [this.#current, hash] : [...this.#hashes, hash], bytes);
      await writeAtomic(this.path, bytes, {
        temporary: this.#temporary,
        create: !this.#written && !this.#mayReplace,
      });
    } catch (error) {
      if (error instanceof CzctlError) throw error;
      throw new CzctlError("failed", `Cannot write "${this.#shown}": ${reasonOf(error)}`, {
        cause: error,
      });
    }
    this.#written = true;
    this.#current = hash;
    this.#hashes = [hash];
    this.#bytes = bytes.length;
    return "written";
  }

  async #announce(hashes: readonly string[], bytes: Uint8Array): Promise<void> {
    this.#hashes = [...new Set(hashes)];
    this.#bytes = Math.max(this.#bytes, bytes.length);
    await this.#persist(this.record);
  }

  /** Looks whether the file is still czctl's; the reason if not, which is then final. */
  async check(): Promise<string | undefined> {
    if (!this.#written) return undefined;
    if (this.#stopped === undefined) {
      const kind = await pathKind(this.path);
      if (kind === "missing") this.#stopped = "it was deleted or renamed";
      else if (kind !== "file") this.#stopped = "something else is in its place";
      else if (!await isOneOf(this.record)) this.#stopped = "it was changed by someone else";
    }
    return this.#stopped;
  }

  /** Removes the file if it is still what czctl wrote. Never throws for what a user did to it. */
  async remove(): Promise<RemoveResult> {
    if (!this.#written) return { removed: false };
    return await recoverEnvFile(this.record);
  }
}

/**
 * Removes an env file that a process left behind, unless the user has changed
 * it. Throws CzctlError `failed` when the system refuses.
 */
export async function recoverEnvFile(record: EnvFileRecord): Promise<RemoveResult> {
  try {
    await removeIfPresent(record.temporary);
    const kind = await pathKind(record.path);
    if (kind === "missing") return { removed: false };
    if (kind !== "file" || !await isOneOf(record)) {
      return {
        removed: false,
        reason: `"${record.path}" is left where it is: it is no longer what czctl wrote`,
      };
    }
    await removeIfPresent(record.path);
    return { removed: true };
  } catch (error) {
    throw new CzctlError("failed", `Cannot remove "${record.path}": ${reasonOf(error)}`, {
      hint: `rm ${shellWord(record.path)}`,
      cause: error,
    });
  }
}

async function isOneOf(record: Omit<EnvFileRecord, "temporary">): Promise<boolean> {
  const bytes = await readAtMost(record.path, record.bytes);
  return bytes !== undefined && record.hashes.includes(sha256(bytes));
}

async function holds(path: string, contents: Uint8Array): Promise<boolean> {
  return await isOneOf({ path, hashes: [sha256(contents)], bytes: contents.length });
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is used up",
  EEXIST: "the file exists and czctl did not write it",
  ENOENT: "the folder does not exist",
  ENOTDIR: "a part of the path is not a folder",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "too many symbolic links",
};

function reasonOf(error: unknown): string {
  // The runtime keeps /sys, /proc and the like to itself.
  if (error instanceof Error && error.name === "NotCapable") return "permission denied";
  const code = (error as { code?: unknown }).code;
  return (typeof code === "string" && REASONS[code]) || messageOf(error);
}
