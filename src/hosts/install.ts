/** Installing and removing the set-uid copy. Runs as root, for one user, once. */
import { dirname } from "node:path";
import { CzctlError, messageOf } from "../model/errors.ts";
import { codeOf, realFiles } from "../platform/files.ts";
import { copyProgram, makePublicFolder } from "../platform/installed_copy.ts";
import { runProgram } from "../platform/run_program.ts";
import { HELPER_MODE, helperPath, looseFolder } from "./installed.ts";
import { probe } from "./probe.ts";

export interface InstallOptions {
  /** Folder such as `/usr/local`; the copy goes to `libexec/czctl/UID/czfwd` below it. */
  readonly prefix: string;
  /** Whom it is for. */
  readonly uid: number;
  readonly gid: number;
}

/**
 * Copies `source` to where the user's helper belongs: owner root, group the
 * user's, mode 4750. Throws CzctlError `failed` when the place is not safe
 * (`--prefix` names another), set-uid has no effect there, or hard links to it
 * could be made.
 */
export async function install(options: InstallOptions & { readonly source: string }) {
  const { prefix, uid, gid, source } = options;
  if (!prefix.startsWith("/")) throw cannot(`"${prefix}" is not an absolute path`);
  if (uid === 0) throw cannot("root needs no set-uid copy");
  await refuseHardLinks();
  const target = helperPath(prefix, uid);
  const folder = dirname(target);
  await makeFolders(folder);
  const loose = await looseFolder(realFiles, target);
  if (loose !== undefined) {
    await removeEmptyFolders(folder);
    throw cannot(`"${loose}" is a link, not root's, or writable by others`, ANOTHER_PLACE);
  }
  const temporary = `${folder}/.czfwd.new`;
  try {
    if (await realFiles.lstat(temporary) !== undefined) await realFiles.remove(temporary);
    await copyProgram(source, temporary, { uid: 0, gid, mode: HELPER_MODE });
    await realFiles.rename(temporary, target);
    await realFiles.syncFolder(folder);
  } catch (error) {
    await removeEmptyFolders(folder);
    if (codeOf(error) === "EACCES") {
      throw cannot(
        `even root may not read "${source}", as in a home folder on the network`,
        "Copy czctl to /usr/local/bin and run it from there",
      );
    }
    throw cannot(messageOf(error), ANOTHER_PLACE);
  }
  await refuseUselessCopy(options, target);
}

/**
 * Installs, and takes the copy below `former` away: a user has one copy, the
 * one that is remembered. Where the old one cannot go, the new one does not
 * stay. Throws CzctlError `failed`.
 */
export async function move(
  options: InstallOptions & { readonly source: string; readonly former: string },
) {
  const { prefix, former, uid } = options;
  const old = helperPath(former, uid);
  // Before anything is done.
  await holdsCopy(old);
  await install(options);
  // A folder that is mounted in two places.
  if (await isSameFile(old, helperPath(prefix, uid))) return;
  try {
    await uninstall({ prefix: former, uid });
  } catch (error) {
    await uninstall(options);
    throw error;
  }
}

/** Takes the copy and its folders away again; false when there was none. Throws CzctlError `failed`. */
export async function uninstall({ prefix, uid }: Omit<InstallOptions, "gid">): Promise<boolean> {
  const target = helperPath(prefix, uid);
  if (!await holdsCopy(target)) return false;
  try {
    const there = await realFiles.lstat(target) !== undefined;
    if (there) await realFiles.remove(target);
    await removeEmptyFolders(dirname(target));
    return there;
  } catch (error) {
    throw cannotRemove(target, messageOf(error));
  }
}

/**
 * Whether the folder for the copy at `target` is there. Throws CzctlError
 * `failed` when anybody but root could change what lies in it.
 */
async function holdsCopy(target: string): Promise<boolean> {
  if (!target.startsWith("/")) throw cannotRemove(target, "it is not an absolute path");
  const folder = dirname(target);
  if (await realFiles.lstat(folder).catch(() => undefined) === undefined) return false;
  const loose = await looseFolder(realFiles, target);
  if (loose === undefined) return true;
  throw cannotRemove(target, `"${loose}" is a link, not root's, or writable by others`);
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all([a, b].map((path) => realFiles.lstat(path)));
  return one !== undefined && one.inode === other?.inode && one.device === other.device;
}

const ANOTHER_PLACE = "Name another place with: czctl start --prefix FOLDER";

/** Asks the new copy, as its user, who it is. */
async function refuseUselessCopy(options: InstallOptions, target: string): Promise<void> {
  const found = await probe(target, { uid: options.uid, gid: options.gid });
  if (found.euid === 0 && found.uid === options.uid) return;
  await uninstall(options);
  throw cannot(
    found.reason === undefined
      ? `set-uid has no effect in "${options.prefix}" (mounted nosuid, or a container without new ` +
        "privileges)"
      : `the copy does not work there: ${found.reason}`,
    ANOTHER_PLACE,
  );
}

/**
 * Under a hard link of his own a user could swap the file while the copy
 * starts, because the runtime reads its program by name
 * (docs/decisions/0032-whose-copy.md). Linux forbids such links by default.
 */
async function refuseHardLinks(): Promise<void> {
  const setting = await runProgram(["/bin/cat", "/proc/sys/fs/protected_hardlinks"]);
  if (setting?.output.trim() !== "0") return;
  throw cannot(
    "this system lets users make hard links to root's programs",
    "Switch that off with: sysctl -w fs.protected_hardlinks=1",
  );
}

async function makeFolders(folder: string): Promise<void> {
  if (await realFiles.lstat(folder) !== undefined) return;
  await makeFolders(dirname(folder));
  try {
    // Checked first, so that nothing is made in a folder somebody else rules.
    const loose = await looseFolder(realFiles, folder);
    if (loose !== undefined) {
      throw cannot(`"${loose}" is a link, not root's, or writable by others`, ANOTHER_PLACE);
    }
    await makePublicFolder(folder);
  } catch (error) {
    if (error instanceof CzctlError) throw error;
    throw cannot(messageOf(error), ANOTHER_PLACE);
  }
}

/** `UID`, `czctl` and `libexec`, as far as nothing else is in them. */
async function removeEmptyFolders(folder: string): Promise<void> {
  try {
    for (let at = folder, depth = 0; depth < 3; at = dirname(at), depth++) {
      await realFiles.removeFolder(at);
    }
  } catch {
    // Not empty, or not there.
  }
}

function cannotRemove(target: string, reason: string): CzctlError {
  return new CzctlError("failed", `Cannot remove the helper "${target}": ${reason}`, {
    hint: "See who may change what is above it, and remove it as root",
  });
}

function cannot(reason: string, hint?: string): CzctlError {
  return new CzctlError(
    "failed",
    `Cannot install the helper: ${reason}`,
    hint === undefined ? {} : { hint },
  );
}
