/**
 * The few file operations the hosts transaction needs, behind an interface, so
 * that one test suite runs over real files and over ones that fail or die at
 * every step. Errors carry the system's `code` (`ENOSPC`, `EBUSY`, ...).
 */
import * as fs from "node:fs/promises";
import type { Stats } from "node:fs";

export interface FileFacts {
  readonly kind: "file" | "folder" | "link" | "other";
  readonly device: number;
  readonly inode: number;
  /** Bytes. */
  readonly size: number;
  /** Permission bits with set-uid and the like (07777). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** Milliseconds since the epoch, with fractions. */
  readonly modifiedMs: number;
  readonly changedMs: number;
}

export interface OpenFile {
  stat(): Promise<FileFacts>;
  /** The whole content from the start. Throws when it is longer than `limit` bytes. */
  read(limit: number): Promise<Uint8Array>;
  /** Writes all of `bytes` at `offset` or throws. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  truncate(length: number): Promise<void>;
  chown(uid: number, gid: number): Promise<void>;
  chmod(mode: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Files {
  /** Undefined when there is nothing of that name; does not follow a link. */
  lstat(path: string): Promise<FileFacts | undefined>;
  /** What a link says, as it is written there. */
  readLink(path: string): Promise<string>;
  /** `create` is exclusive (it fails on anything that exists, links included) and gives mode 0600. */
  open(path: string, how: "read" | "write" | "create"): Promise<OpenFile>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  makeFolder(path: string, mode: number): Promise<void>;
  removeFolder(path: string): Promise<void>;
  /** Makes what was created, renamed or removed in a folder last. */
  syncFolder(path: string): Promise<void>;
  /** An exclusive lock that ends with the process; undefined when somebody else has it. */
  tryLock(path: string): Promise<FileLock | undefined>;
}

export interface FileLock {
  /** The file that is locked: compare with the path's to see that it is still that one. */
  readonly inode: number;
  release(): void;
}

export const realFiles: Files = {
  lstat: async (path) => {
    try {
      return factsOf(await fs.lstat(path));
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
  },
  open: async (path, how) => {
    const flags = { read: "r", write: "r+", create: "wx+" }[how];
    return new RealOpenFile(await fs.open(path, flags, 0o600));
  },
  readLink: (path) => fs.readlink(path),
  rename: (from, to) => fs.rename(from, to),
  remove: (path) => fs.unlink(path),
  makeFolder: (path, mode) => fs.mkdir(path, { mode }).then(() => {}),
  removeFolder: (path) => fs.rmdir(path),
  syncFolder: async (path) => {
    const folder = await fs.open(path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
  tryLock: async (path) => {
    const file = await Deno.open(path, { create: true, read: true, write: true, mode: 0o600 });
    try {
      if (await file.tryLock(true)) {
        return { inode: (await file.stat()).ino ?? 0, release: () => file.close() };
      }
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
    return undefined;
  },
};

/** The system's name of an error (`ENOENT`), where it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

class RealOpenFile implements OpenFile {
  readonly #handle: fs.FileHandle;

  constructor(handle: fs.FileHandle) {
    this.#handle = handle;
  }

  async stat(): Promise<FileFacts> {
    return factsOf(await this.#handle.stat());
  }

  async read(limit: number): Promise<Uint8Array> {
    // One byte more than the size says: a file that grows meanwhile is noticed.
    let buffer = new Uint8Array(Math.min((await this.#handle.stat()).size, limit) + 1);
    let length = 0;
    for (;;) {
      const room = buffer.length - length;
      const { bytesRead } = await this.#handle.read(buffer, length, room, length);
      if (bytesRead === 0) return buffer.subarray(0, length);
      length += bytesRead;
      if (length > limit) throw new Error(`it is longer than ${limit} bytes`);
      if (length === buffer.length) {
        const larger = new Uint8Array(buffer.length * 2);
        larger.set(buffer);
        buffer = larger;
      }
    }
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, offset + at);
      if (bytesWritten === 0) throw new Error("nothing more could be written");
      at += bytesWritten;
    }
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  chown(uid: number, gid: number): Promise<void> {
    return this.#handle.chown(uid, gid);
  }

  chmod(mode: number): Promise<void> {
    return this.#handle.chmod(mode);
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function factsOf(stats: Stats): FileFacts {
  return {
    kind: stats.isFile()
      ? "file"
      : stats.isDirectory()
      ? "folder"
      : stats.isSymbolicLink()
      ? "link"
      : "other",
    device: stats.dev,
    inode: stats.ino,
    size: stats.size,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    links: stats.nlink,
    modifiedMs: stats.mtimeMs,
    changedMs: stats.ctimeMs,
  };
}
