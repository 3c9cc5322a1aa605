/**
 * The write where a rename cannot work or would lose something (a bind-mounted
 * file, a read-only folder, a link, SELinux): only the bytes from the first
 * difference on are written, and the length is cut. The block stands at the end
 * of the file, so these are its own bytes; whatever else they are goes into a
 * journal first.
 */
import type { Files, OpenFile } from "../platform/files.ts";
import { commonPrefix, sameBytes } from "./bytes.ts";
import {
  emptyLines,
  filledTail,
  hashOf,
  type JournalRecord,
  removeJournal,
  writeJournal,
} from "./journal.ts";
import { type HostsPlace, MAX_HOSTS_BYTES } from "./place.ts";
import { ensureOwnFolder, firstUsable } from "./root_folder.ts";

/**
 * Turns `before` into `after`. False when the file no longer holds `before`:
 * then nothing was done. Throws the system's error when it could not be
 * written; the old bytes are then back, or the journal is there for the next run.
 * `settleAs`: what the next run makes of it when this one dies on the way.
 */
export async function writeInPlace(
  files: Files,
  place: HostsPlace,
  before: Uint8Array,
  after: Uint8Array,
  settleAs: JournalRecord["settleAs"] = "old",
): Promise<boolean> {
  const file = await files.open(place.hosts, "write");
  try {
    if (!sameBytes(await file.read(MAX_HOSTS_BYTES), before)) return false;
    const offset = commonPrefix(before, after);
    if (offset === after.length) {
      // A cut is one step by itself: no journal, so it works on a full disk too.
      await file.truncate(offset);
      await file.sync();
      return true;
    }
    const record: JournalRecord = {
      offset,
      prefixHash: hashOf(before.subarray(0, offset)),
      oldTail: before.subarray(offset),
      newTail: after.subarray(offset),
      settleAs,
    };
    const folder = await firstUsable(place.journalFolders, async (candidate) => {
      await ensureOwnFolder(files, candidate, place.owner);
      await writeJournal(files, candidate, record);
    });
    try {
      await putTail(file, record);
    } catch (error) {
      // The old bytes have their room on the disk still, so this works when it is full.
      await file.write(record.oldTail, offset);
      await file.truncate(before.length);
      await file.sync();
      if (settleAs === "old") await removeJournal(files, folder);
      throw error;
    }
    await removeJournal(files, folder);
    return true;
  } finally {
    await file.close();
  }
}

/**
 * The file has its final length before new bytes go in and until they are all
 * there, made up with empty lines: so the end of what is ours is always known,
 * even when somebody appends to what a crash left.
 */
async function putTail(file: OpenFile, record: JournalRecord): Promise<void> {
  const { offset, oldTail, newTail } = record;
  const room = emptyLines(newTail.length - oldTail.length);
  if (room.length > 0) await file.write(room, offset + oldTail.length);
  await file.write(filledTail(record), offset);
  if (newTail.length < oldTail.length) await file.truncate(offset + newTail.length);
  await file.sync();
}
