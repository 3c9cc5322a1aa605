/**
 * What an in-place write is about to change, on disk before the first byte is:
 * whatever the moment of a crash, the next run can tell how far it came and put
 * the old bytes back.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { codeOf, type Files } from "../platform/files.ts";
import { bytesOf, concat, NEWLINE, sameBytes, textOf } from "./bytes.ts";
import { MAX_HOSTS_BYTES } from "./place.ts";

export interface JournalRecord {
  /** Bytes in front of this offset are not touched. */
  readonly offset: number;
  /** SHA-256 of those bytes, in hex. */
  readonly prefixHash: string;
  /** From the offset on: before and after. */
  readonly oldTail: Uint8Array;
  readonly newTail: Uint8Array;
  /** What a cut-short write shall become; `new` for one that itself puts a torn file right. */
  readonly settleAs: "old" | "new";
}

const NAME = "journal";
/** Base64 of two tails, and the rest. */
const MAX_JOURNAL_BYTES = MAX_HOSTS_BYTES * 3;

export function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Empty lines: what a reader may see of an in-place write that is under way. */
export function emptyLines(count: number): Uint8Array {
  return new Uint8Array(Math.max(0, count)).fill(NEWLINE);
}

/** The bytes an in-place write puts at the offset: a shorter tail is filled up until it is cut. */
export function filledTail({ oldTail, newTail }: JournalRecord): Uint8Array {
  return concat(newTail, emptyLines(oldTail.length - newTail.length));
}

/** Writes the record, in the place of an older one, so that it is on disk when this resolves. */
export async function writeJournal(
  files: Files,
  folder: string,
  record: JournalRecord,
): Promise<void> {
  const body = JSON.stringify({
    offset: record.offset,
    prefixHash: record.prefixHash,
    settleAs: record.settleAs,
    oldTail: Buffer.from(record.oldTail).toString("base64"),
    newTail: Buffer.from(record.newTail).toString("base64"),
  });
  const temporary = `${folder}/${NAME}.new`;
  if (await files.lstat(temporary) !== undefined) await files.remove(temporary);
  const file = await files.open(temporary, "create");
  try {
    try {
      await file.write(bytesOf(`${body}\n${hashOf(bytesOf(body))}\n`), 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await files.rename(temporary, `${folder}/${NAME}`);
  } catch (error) {
    await files.remove(temporary).catch(() => {});
    throw error;
  }
  await files.syncFolder(folder);
}

export async function removeJournal(files: Files, folder: string): Promise<void> {
  await files.remove(`${folder}/${NAME}`);
  await files.syncFolder(folder);
}

/** Keeps a record that fits nothing any more, out of the way. */
export async function setAside(files: Files, folder: string): Promise<string> {
  const path = `${folder}/${NAME}.unused`;
  await files.rename(`${folder}/${NAME}`, path);
  return path;
}

/** Removes a record that was never finished: nothing had been done for it yet. */
export async function removeUnfinished(files: Files, folder: string): Promise<void> {
  const path = `${folder}/${NAME}.new`;
  if (await files.lstat(path).catch(() => undefined) !== undefined) await files.remove(path);
}

/** The record of an unfinished write; `torn` when it is not readable as one. */
export async function readJournal(
  files: Files,
  folder: string,
): Promise<JournalRecord | "torn" | undefined> {
  let bytes: Uint8Array;
  try {
    const file = await files.open(`${folder}/${NAME}`, "read");
    try {
      bytes = await file.read(MAX_JOURNAL_BYTES);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
  const [body, hash] = textOf(bytes).split("\n");
  if (body === undefined || hash !== hashOf(bytesOf(body))) return "torn";
  const record = JSON.parse(body);
  return {
    offset: record.offset,
    prefixHash: record.prefixHash,
    settleAs: record.settleAs,
    oldTail: new Uint8Array(Buffer.from(record.oldTail, "base64")),
    newTail: new Uint8Array(Buffer.from(record.newTail, "base64")),
  };
}

/**
 * What the file should hold, given what a crash left in it: the content from
 * before the write, or from after it where that was complete (or is what the
 * record asks for), with what others have appended since. Undefined when this write cannot have left it so: then
 * somebody has rewritten the file, and theirs stays.
 */
export function recovered(current: Uint8Array, record: JournalRecord): Uint8Array | undefined {
  const { offset, oldTail, newTail } = record;
  const prefix = current.subarray(0, offset);
  if (prefix.length < offset || hashOf(prefix) !== record.prefixHash) return undefined;
  const tail = current.subarray(offset);
  const settled = record.settleAs === "old" ? oldTail : newTail;
  const grows = newTail.length > oldTail.length;
  if (grows && startsWith(tail, newTail)) return current;
  const writing = filledTail(record);
  if (isMixture(tail, oldTail, writing)) {
    return concat(prefix, settled, tail.subarray(writing.length));
  }
  if (!grows) return startsWith(tail, newTail) ? current : undefined;
  // The room for the longer tail was being made.
  if (!startsWith(tail, oldTail)) return undefined;
  let end = oldTail.length;
  while (end < writing.length && (tail[end] === NEWLINE || tail[end] === 0)) end++;
  return concat(prefix, settled, tail.subarray(end));
}

/** Whether each byte is an old or a new one, as far as the write went. */
function isMixture(tail: Uint8Array, oldTail: Uint8Array, writing: Uint8Array): boolean {
  if (tail.length < writing.length) return false;
  for (let i = 0; i < writing.length; i++) {
    if (tail[i] === writing[i] || tail[i] === oldTail[i]) continue;
    // Room that was made and not written yet; after a power cut it may read as zeros.
    if (i < oldTail.length || (tail[i] !== NEWLINE && tail[i] !== 0)) return false;
  }
  return true;
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return sameBytes(bytes.subarray(0, start.length), start);
}
