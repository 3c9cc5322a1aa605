import { CzctlError } from "../model/errors.ts";
import type { FileFacts, Files } from "../platform/files.ts";

/** As many links as the kernel follows (path_resolution(7)). */
const MAX_LINKS = 40;
const STICKY = 0o1000;

/**
 * Where the hosts file is a link, walks to where it leads as the kernel does.
 * Throws CzctlError `failed` when anybody but `owner` could put something else
 * in the way: root would then write into a file of his choice.
 */
export async function checkWay(files: Files, path: string, owner: number): Promise<void> {
  const names = namesOf(path);
  let folder = "/";
  for (let links = 0; names.length > 0;) {
    const at = folder === "/" ? `/${names[0]}` : `${folder}/${names[0]}`;
    const [above, entry] = [await files.lstat(folder), await files.lstat(at)];
    // What is not there is for the caller to say.
    if (above === undefined || entry === undefined) return;
    if (!isSafe(above, entry, owner)) {
      throw new CzctlError("failed", `Cannot edit ${path}: it leads through "${folder}"`, {
        hint: `Others than root can change that folder: make ${path} a file, or move the folder`,
      });
    }
    names.shift();
    if (entry.kind === "link") {
      if (++links > MAX_LINKS) return;
      const target = await files.readLink(at);
      if (target.startsWith("/")) folder = "/";
      names.unshift(...namesOf(target));
    } else folder = at;
    while (names[0] === "..") {
      names.shift();
      folder = folder.slice(0, folder.lastIndexOf("/")) || "/";
    }
  }
}

/** Whether only `owner` can replace that entry of that folder. */
function isSafe(folder: FileFacts, entry: FileFacts, owner: number): boolean {
  if (folder.uid !== owner) return false;
  if ((folder.mode & 0o022) === 0) return true;
  return (folder.mode & STICKY) !== 0 && entry.uid === owner;
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}
