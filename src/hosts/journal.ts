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
}

const NAME = "journal";
/** Base64 of two tails, and the rest. */
const MAX_JOURNAL_BYTES = MAX_HOSTS_BYTES * 3;

export function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The bytes an in-place write puts at the offset: a shorter tail is filled up with empty lines until it is cut. */
export function filledTail(record: JournalRecord): Uint8Array {
  const { oldTail, newTail } = record;
  if (newTail.length >= oldTail.length) return newTail;
  return concat(newTail, new Uint8Array(oldTail.length - newTail.length).fill(NEWLINE));
}

/** Writes the record so that it is on disk when this resolves. */
export async function writeJournal(
  files: Files,
  folder: string,
  record: JournalRecord,
): Promise<void> {
  const body = JSON.stringify({
    offset: record.offset,
    prefixHash: record.prefixHash,
    oldTail: Buffer.from(record.oldTail).toString("base64"),
    newTail: Buffer.from(record.newTail).toString("base64"),
  });
  const path = `${folder}/${NAME}`;
  const file = await files.open(path, "create");
  try {
    await file.write(bytesOf(`${body}\n${hashOf(bytesOf(body))}\n`), 0);
    await file.sync();
  } catch (error) {
    await file.close();
    await files.remove(path);
    throw error;
  }
  await file.close();
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

/**
 * The record of an unfinished write; `torn` when the crash came while the
 * record itself was written, so that the hosts file was not touched yet.
 */
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
    oldTail: new Uint8Array(Buffer.from(record.oldTail, "base64")),
    newTail: new Uint8Array(Buffer.from(record.newTail, "base64")),
  };
}

/**
 * The content from before the write, given what the crash left. What others
 * have appended since then is kept; where putting the old bytes back would move
 * it, the write is finished instead, so that this step can be cut short as
 * well. Undefined when the content is not what this write can have left: then
 * somebody has rewritten the file, and theirs stays.
 */
export function recovered(current: Uint8Array, record: JournalRecord): Uint8Array | undefined {
  const { offset, oldTail, newTail } = record;
  const prefix = current.subarray(0, offset);
  if (prefix.length < offset || hashOf(prefix) !== record.prefixHash) return undefined;
  const tail = current.subarray(offset);
  if (sameBytes(tail, newTail)) return concat(prefix, oldTail);
  const writing = filledTail(record);
  const longest = Math.max(oldTail.length, writing.length);
  const mine = Math.min(tail.length, longest);
  for (let i = 0; i < mine; i++) {
    const fits = tail[i] === oldTail[i] || tail[i] === writing[i] ||
      // A file system may show the end of a torn, growing write as zeros.
      (i >= oldTail.length && tail[i] === 0);
    if (!fits) return undefined;
  }
  if (mine < oldTail.length && mine < newTail.length) return undefined;
  const appended = tail.subarray(longest);
  const forward = appended.length > 0 && newTail.length > oldTail.length;
  return concat(prefix, forward ? newTail : oldTail, appended);
}
