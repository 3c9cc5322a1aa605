import { dirname } from "node:path";
import { CzctlError, messageOf } from "../model/errors.ts";
import { codeOf, type FileFacts, type Files } from "../platform/files.ts";
import type { HostsPlace } from "./place.ts";

/**
 * Errors of the rename way after which the in-place way is tried: the file is a
 * mount point (EBUSY, EXDEV), the folder is read-only, immutable or full.
 */
export const RENAME_CANNOT = new Set([
  "EBUSY",
  "EXDEV",
  "EROFS",
  "EACCES",
  "EPERM",
  "ENOSPC",
  "EDQUOT",
]);

/**
 * Puts `content` in the file's place in one step, with its owner and mode.
 * False when somebody changed the file since `facts`: then nothing was done.
 * Throws the system's error, and leaves no temporary file.
 */
export async function replaceByRename(
  files: Files,
  place: HostsPlace,
  facts: FileFacts,
  content: Uint8Array,
): Promise<boolean> {
  const { hosts, temporary } = place;
  const file = await files.open(temporary, "create");
  try {
    try {
      await file.write(content, 0);
      const own = await file.stat();
      if (own.uid !== facts.uid || own.gid !== facts.gid) await file.chown(facts.uid, facts.gid);
      await file.chmod(facts.mode);
      await file.sync();
    } finally {
      await file.close();
    }
    const now = await files.lstat(hosts);
    if (now === undefined || !sameFile(now, facts)) {
      await files.remove(temporary);
      return false;
    }
    await files.rename(temporary, hosts);
  } catch (error) {
    await files.remove(temporary).catch(() => {});
    throw error;
  }
  await files.syncFolder(dirname(hosts));
  return true;
}

/** Whether it is the same file with nothing written to it in between. */
function sameFile(a: FileFacts, b: FileFacts): boolean {
  return a.device === b.device && a.inode === b.inode && a.size === b.size &&
    a.modifiedMs === b.modifiedMs && a.changedMs === b.changedMs;
}

/** The system's error as one a user can act on. */
export function writeError(path: string, error: unknown): Error {
  if (error instanceof CzctlError) return error;
  const [reason, hint] = EXPLAINED[codeOf(error) ?? ""] ?? [messageOf(error), undefined];
  return new CzctlError("failed", `Cannot write ${path}: ${reason}`, {
    cause: error,
    ...(hint === undefined ? {} : { hint: hint.replaceAll("FILE", path) }),
  });
}

/** The failure of opening or reading the hosts file, in words. */
export function readError(path: string, error: unknown): CzctlError {
  if (codeOf(error) === "ENOENT") return missingError(path);
  return new CzctlError("failed", `Cannot read ${path}: ${messageOf(error)}`, { cause: error });
}

export function missingError(path: string): CzctlError {
  return new CzctlError("failed", `Cannot read ${path}: it does not exist`, {
    hint: `Create it with: sudo touch ${path}`,
  });
}

const PROTECTED: [string, string] = [
  "the system does not let even root write it (immutable, append-only, or a security module)",
  "Look for an i or a in: lsattr FILE; take it away with: sudo chattr -ia FILE",
];
const FULL: [string, string] = ["the disk is full", "Make room (df -h FILE) and try again"];

const EXPLAINED: Record<string, [string, string]> = {
  EROFS: ["it is on a read-only file system", "See how it is mounted: findmnt -T FILE"],
  EPERM: PROTECTED,
  EACCES: PROTECTED,
  ENOSPC: FULL,
  EDQUOT: FULL,
};
