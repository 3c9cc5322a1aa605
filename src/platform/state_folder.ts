import { join } from "node:path";
import process from "node:process";
import { CzctlError } from "../model/errors.ts";
import type { StatePaths } from "./paths.ts";

/** Read, write and enter: what the owner needs of each folder. */
const OWNER_ALL = 0o700;

/**
 * Refuses a `~/.codezero` this user cannot work with, most often one that a
 * czctl run by `sudo` with the user's HOME has left to root. Without this the
 * first file operation that fails would speak of neither. One that is not
 * there is fine. Throws CzctlError `failed`.
 */
export function checkStateFolder(paths: StatePaths): void {
  const uid = process.getuid?.();
  const folders = ["", "bin", "bin/czfwd", "log", "run", "state", "state/sessions"]
    .map((name) => name === "" ? paths.base : join(paths.base, name));
  for (const path of folders) check(path, true, uid, paths.base);
  for (const path of [paths.lock, paths.addresses, paths.log]) check(path, false, uid, paths.base);
  for (const path of [paths.czfwd, paths.socket]) refuseFolder(path);
}

/** Made anew by each svc, whatever it is, but a folder cannot be replaced. */
function refuseFolder(path: string): void {
  try {
    if (!Deno.lstatSync(path).isDirectory) return;
  } catch {
    return;
  }
  throw new CzctlError("failed", `Cannot use "${path}": it is a folder`, {
    hint: `Move it away: mv ${path} ${path}.old`,
  });
}

function check(path: string, isFolder: boolean, uid: number | undefined, base: string): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      if (!leadsNowhere(path)) return;
      throw new CzctlError("failed", `Cannot use "${path}": it is a link that leads nowhere`, {
        hint: `Remove it: rm ${path}`,
      });
    }
    const foreign = error instanceof Deno.errors.PermissionDenied && path === base;
    throw new CzctlError("failed", `Cannot use "${path}": it cannot be looked at`, {
      hint: foreign
        ? "Check that HOME names your own home folder (sudo -E keeps the caller's)"
        : `Move it away: mv ${base} ${base}.old`,
      cause: error,
    });
  }
  if (isFolder && !info.isDirectory) {
    throw new CzctlError("failed", `Cannot use "${path}": it is not a folder`, {
      hint: `Move it away: mv ${path} ${path}.old`,
    });
  }
  // A pipe would be waited for without end; a log may well be a link to /dev/null.
  if (!isFolder && !info.isFile && !info.isCharDevice) {
    throw new CzctlError("failed", `Cannot use "${path}": it is not a regular file`, {
      hint: `Move it away: mv ${path} ${path}.old`,
    });
  }
  // That one is root's and everybody's.
  if (!isFolder && info.isCharDevice) return;
  // Root is stopped by neither.
  if (uid === undefined || uid === 0) return;
  if (info.uid !== null && info.uid !== uid) {
    throw new CzctlError("failed", `Cannot use "${path}": it belongs to user ${info.uid}`, {
      hint: `Take it back: sudo chown -R ${uid} ${base}`,
    });
  }
  if (isFolder && info.mode !== null && (info.mode & OWNER_ALL) !== OWNER_ALL) {
    throw new CzctlError("failed", `Cannot use "${path}": its owner may not read and write it`, {
      hint: `Allow it: chmod u+rwx ${path}`,
    });
  }
}

function leadsNowhere(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSymlink;
  } catch {
    return false;
  }
}
