import { CzctlError, messageOf } from "../model/errors.ts";
import { shellWord } from "../model/shell_word.ts";
import { realFiles } from "../platform/files.ts";
import { currentUser } from "../platform/run_program.ts";
import { blockOf, editBlock } from "./block.ts";
import { findBlocks, findMarkers } from "./markers.ts";
import { MAX_HOSTS_BYTES, SYSTEM_PLACE } from "./place.ts";
import { readError } from "./replace.ts";

/** The file as it is without anybody's czctl block. Throws HostsMarkerError. */
export function withoutBlocks(file: Uint8Array): Uint8Array {
  let rest = file;
  for (const { uid } of findBlocks(findMarkers(file))) rest = editBlock(rest, uid, []) ?? rest;
  return rest;
}

/**
 * Writes `~/hosts.original`: the hosts file without any czctl block, in one
 * step. For svc, as the user, before its first block goes in.
 * Throws CzctlError `failed`.
 */
export async function saveOriginal(
  path: string,
  hosts: string = SYSTEM_PLACE.hosts,
): Promise<void> {
  const temporary = `${path}.czctl-new`;
  const content = await contentOf(hosts);
  try {
    // With broken markers no edit follows, and a good backup would give way to
    // a bad one just when it is needed.
    blockOf(content, currentUser().uid);
    const original = withoutBlocks(content);
    if (await realFiles.lstat(temporary) !== undefined) await realFiles.remove(temporary);
    const file = await realFiles.open(temporary, "create");
    try {
      await file.write(original, 0);
      await file.chmod(0o644);
      await file.sync();
    } finally {
      await file.close();
    }
    await realFiles.rename(temporary, path);
  } catch (error) {
    await realFiles.remove(temporary).catch(() => {});
    if (error instanceof CzctlError) throw error;
    const isFolder = (await realFiles.lstat(path).catch(() => undefined))?.kind === "folder";
    const why = isFolder ? "it is a folder" : messageOf(error);
    throw new CzctlError("failed", `Cannot back up ${hosts} to "${path}": ${why}`, {
      hint: isFolder
        ? `Move it away: mv ${shellWord(path)} ${shellWord(`${path}.old`)}`
        : "Make room for it, or move what is in its place, and try again",
      cause: error,
    });
  }
}

async function contentOf(hosts: string): Promise<Uint8Array> {
  try {
    const source = await realFiles.open(hosts, "read");
    return await source.read(MAX_HOSTS_BYTES).finally(() => source.close());
  } catch (error) {
    throw readError(hosts, error);
  }
}
