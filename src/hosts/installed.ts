/**
 * Whom a set-uid copy was installed for: its own path says so
 * (`.../UID/czfwd`), and the path can be trusted because only root can change
 * any part of it (docs/decisions/0032-whose-copy.md).
 */
import { dirname } from "node:path";
import { CzctlError } from "../model/errors.ts";
import type { Files } from "../platform/files.ts";

/** Owner root, group of the user, set-uid, no access for others. */
export const HELPER_MODE = 0o4750;

/** Where the copy of one user lies under a prefix such as `/usr/local`. */
export function helperPath(prefix: string, uid: number): string {
  return `${prefix.replace(/\/+$/, "")}/libexec/czctl/${uid}/czfwd`;
}

/** The default of `--prefix`. */
export const DEFAULT_PREFIX = "/usr/local";

/**
 * Throws CzctlError `not_elevated` unless `program` is the one installed copy
 * of `uid`: named for that user, root's own, not linked elsewhere, and in
 * folders nobody but root can change.
 */
export async function checkInstalledFor(
  files: Files,
  program: string,
  uid: number,
): Promise<void> {
  const named = /^\/(?:.+\/)?(0|[1-9][0-9]{0,9})\/czfwd$/.exec(program);
  if (named === null) throw refused(`"${program}" is not where czctl start installs it`);
  if (Number(named[1]) !== uid) throw refused(`it was installed for user ${named[1]}, not ${uid}`);
  const facts = await files.lstat(program);
  if (facts?.kind !== "file" || facts.uid !== 0 || facts.mode !== HELPER_MODE) {
    throw refused(`"${program}" has another owner or mode than czctl start gave it`);
  }
  if (facts.links !== 1) throw refused(`"${program}" has more than one name`);
  const loose = await looseFolder(files, program);
  if (loose !== undefined) throw refused(`"${loose}" can be changed by others than root`);
}

/** The first folder above `path` that is a link, not root's, or writable by others. */
export async function looseFolder(files: Files, path: string): Promise<string | undefined> {
  for (let folder = dirname(path);; folder = dirname(folder)) {
    const facts = await files.lstat(folder);
    if (facts?.kind !== "folder" || facts.uid !== 0 || (facts.mode & 0o022) !== 0) return folder;
    if (folder === "/") return undefined;
  }
}

function refused(reason: string): CzctlError {
  return new CzctlError("not_elevated", `Cannot run as the helper: ${reason}`, {
    hint: "Install it anew with: czctl start",
  });
}
