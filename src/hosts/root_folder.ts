import { CzctlError, messageOf } from "../model/errors.ts";
import { codeOf, type Files } from "../platform/files.ts";

/**
 * Makes a folder only `owner` can look into, or checks that it is one.
 * Throws CzctlError `failed` for a link, another owner or an open mode, and the
 * system's error when it cannot be made.
 */
export async function ensureOwnFolder(files: Files, path: string, owner: number): Promise<void> {
  let facts = await files.lstat(path);
  if (facts === undefined) {
    try {
      await files.makeFolder(path, 0o700);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    facts = await files.lstat(path);
  }
  if (facts?.kind !== "folder" || facts.uid !== owner || (facts.mode & 0o077) !== 0) {
    throw new CzctlError("failed", `Cannot use the folder "${path}": it is not private`, {
      hint: `Look at it with: ls -ld ${path}; remove it if nothing else uses it`,
    });
  }
}

/** The first folder of the list that can be used. Throws CzctlError `failed` with all reasons. */
export async function firstUsable(
  folders: readonly string[],
  use: (folder: string) => Promise<void>,
): Promise<string> {
  const reasons: string[] = [];
  for (const folder of folders) {
    try {
      await use(folder);
      return folder;
    } catch (error) {
      reasons.push(messageOf(error));
    }
  }
  throw new CzctlError("failed", `Cannot find a folder for czctl: ${reasons.join("; ")}`, {
    hint: `Let root write in one of them (for a read-only container: --tmpfs /run)`,
  });
}
