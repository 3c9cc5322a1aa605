/**
 * One edit of the hosts file: lock; finish what a crash left; read; edit;
 * write; read back and compare; unlock. Whatever fails or dies on the way, the
 * file is as before or as after (docs/hosts.md).
 */
import type { Clock } from "../model/clock.ts";
import { CzctlError } from "../model/errors.ts";
import { codeOf, type FileFacts, type Files, type OpenFile } from "../platform/files.ts";
import { sameBytes } from "./bytes.ts";
import { writeInPlace } from "./in_place.ts";
import {
  type JournalRecord,
  readJournal,
  recovered,
  removeJournal,
  removeUnfinished,
  setAside,
} from "./journal.ts";
import { HostsLock } from "./lock.ts";
import { type HostsPlace, MAX_HOSTS_BYTES } from "./place.ts";
import { missingError, readError, RENAME_CANNOT, replaceByRename, writeError } from "./replace.ts";
import { checkWay } from "./way.ts";

/** How long a held lock is waited for, in ms. */
export const LOCK_WAIT_MS = 5_000;
/** How often an edit begins anew because somebody else wrote meanwhile. */
const ATTEMPTS = 20;

export interface TransactionOptions {
  /** SELinux is on: a new file would get another label. */
  readonly keepInode?: boolean;
  readonly lockWaitMs?: number;
  /** For a caller who is not root: where the file is a link, only root may have a say in where it leads. */
  readonly checkWay?: boolean;
  /** Hears what recovery did, in words. */
  readonly note?: (text: string) => void;
}

export interface EditResult {
  readonly changed: boolean;
  /** The content the edit was made from. */
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

/** Gives the new content, or undefined to leave the file alone; may throw to refuse. */
export type Edit = (current: Uint8Array) => Uint8Array | undefined;

export class HostsTransaction {
  readonly #files: Files;
  readonly #place: HostsPlace;
  readonly #lock: HostsLock;
  readonly #options: TransactionOptions;
  /** Set once a rename over the file turned out to be impossible here. */
  #renameFails = false;

  constructor(files: Files, place: HostsPlace, clock: Clock, options: TransactionOptions = {}) {
    this.#files = files;
    this.#place = place;
    this.#lock = new HostsLock(files, place, clock);
    this.#options = options;
  }

  /**
   * Edits the file. Throws CzctlError `failed` when it cannot be locked, read
   * or written; it then has its old content. What `edit` throws is passed on.
   */
  async run(edit: Edit): Promise<EditResult> {
    const lock = await this.#lock.acquire(this.#options.lockWaitMs ?? LOCK_WAIT_MS);
    try {
      if (this.#options.checkWay === true) await this.#checkWay();
      await this.#recover();
      return await this.#edit(edit);
    } catch (error) {
      // Without a system's code it is a bug, or what `edit` throws.
      throw codeOf(error) === undefined ? error : writeError(this.#place.hosts, error);
    } finally {
      lock.release();
    }
  }

  /** Only finishes what a crash left behind. Throws as `run` does. */
  async recover(): Promise<void> {
    await this.run(() => undefined);
  }

  /** Removes the lock file; for the end of the program. */
  async close(): Promise<void> {
    await this.#lock.remove();
    for (const folder of this.#place.journalFolders) {
      // Fails when something is in it, and then it stays.
      await this.#files.removeFolder(folder).catch(() => {});
    }
  }

  async #edit(edit: Edit): Promise<EditResult> {
    let first: Uint8Array | undefined;
    // Set when somebody wrote to the old file while it was being replaced.
    let base: Uint8Array | undefined;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const file = await this.#openHosts();
      if (file === undefined) return this.#editNothing(edit, attempt > 0);
      try {
        const facts = await file.stat();
        const onDisk = await file.read(MAX_HOSTS_BYTES);
        first ??= onDisk;
        const before: Uint8Array = base ?? onDisk;
        const after = edit(before) ?? before;
        if (sameBytes(after, onDisk)) return { changed: attempt > 0, before: first, after };
        const written = await this.#write(facts, onDisk, after);
        if (written === "changed meanwhile") continue;
        base = written.byRename ? await lateContent(file, facts, onDisk) : undefined;
        if (base !== undefined) continue;
        const now = await this.#read();
        if (sameBytes(now, after)) return { changed: true, before: first, after };
        // Somebody wrote right behind us: theirs counts, and our block goes in again.
      } finally {
        await file.close();
      }
    }
    throw busyError(this.#place.hosts);
  }

  async #checkWay(): Promise<void> {
    const { hosts, owner } = this.#place;
    if ((await this.#files.lstat(hosts))?.kind === "link") {
      await checkWay(this.#files, hosts, owner);
    }
  }

  /** There is nothing to take out of a file that is gone; everything else needs one. */
  #editNothing(edit: Edit, changed: boolean): EditResult {
    const none = new Uint8Array();
    if (!sameBytes(edit(none) ?? none, none)) throw missingError(this.#place.hosts);
    return { changed, before: none, after: none };
  }

  async #write(
    facts: FileFacts,
    before: Uint8Array,
    after: Uint8Array,
  ): Promise<"changed meanwhile" | { byRename: boolean }> {
    const { hosts } = this.#place;
    const named = await this.#files.lstat(hosts);
    const keepInode = this.#options.keepInode === true || this.#renameFails ||
      named?.kind === "link" || facts.links > 1;
    if (!keepInode) {
      try {
        const done = await replaceByRename(this.#files, this.#place, facts, after);
        return done ? { byRename: true } : "changed meanwhile";
      } catch (error) {
        const code = codeOf(error) ?? "";
        if (!RENAME_CANNOT.has(code)) throw writeError(hosts, error);
        if (code === "EBUSY" || code === "EXDEV") this.#renameFails = true;
      }
    }
    try {
      const done = await writeInPlace(this.#files, this.#place, before, after);
      return done ? { byRename: false } : "changed meanwhile";
    } catch (error) {
      throw writeError(hosts, error);
    }
  }

  /** Undefined when there is none. */
  async #openHosts(): Promise<OpenFile | undefined> {
    const { hosts } = this.#place;
    let file: OpenFile;
    try {
      file = await this.#files.open(hosts, "read");
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw readError(hosts, error);
    }
    if ((await file.stat()).kind === "file") return file;
    await file.close();
    throw new CzctlError("failed", `Cannot edit ${hosts}: it is not a regular file`);
  }

  async #read(): Promise<Uint8Array> {
    const file = await this.#openHosts();
    if (file === undefined) return new Uint8Array();
    try {
      return await file.read(MAX_HOSTS_BYTES);
    } finally {
      await file.close();
    }
  }

  async #recover(): Promise<void> {
    const note = this.#options.note ?? (() => {});
    if (await this.#files.lstat(this.#place.temporary) !== undefined) {
      await this.#files.remove(this.#place.temporary).catch(() => {});
    }
    for (const folder of this.#place.journalFolders) {
      await removeUnfinished(this.#files, folder);
      const record = await readJournal(this.#files, folder);
      if (record === undefined) continue;
      if (record !== "torn" && !(await this.#finish(record))) {
        const path = await setAside(this.#files, folder);
        note(`The hosts file was rewritten after a crash; the record of it is kept in ${path}`);
        continue;
      }
      if (record !== "torn") note("Put the hosts file right after an edit that was cut short");
      // Gone already when the way back had a journal of its own there.
      await removeJournal(this.#files, folder).catch((error) => {
        if (codeOf(error) !== "ENOENT") throw error;
      });
    }
  }

  /** False when the record has nothing to do with what the file holds now. */
  async #finish(record: JournalRecord): Promise<boolean> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const current = await this.#read();
      const target = recovered(current, record);
      if (target === undefined) return false;
      if (sameBytes(target, current)) return true;
      try {
        // A write like any other, with a journal in the place of this one.
        if (await writeInPlace(this.#files, this.#place, current, target, "new")) return true;
      } catch (error) {
        throw writeError(this.#place.hosts, error);
      }
    }
    throw busyError(this.#place.hosts);
  }
}

function busyError(path: string): CzctlError {
  return new CzctlError("failed", `Cannot edit ${path}: another program keeps writing it`, {
    hint: `Look for it with: sudo fuser -v ${path}`,
  });
}

/** What somebody wrote to the replaced file between our reading it and the rename. */
async function lateContent(
  old: OpenFile,
  facts: FileFacts,
  before: Uint8Array,
): Promise<Uint8Array | undefined> {
  const now = await old.stat();
  if (now.size === facts.size && now.modifiedMs === facts.modifiedMs) return undefined;
  const late = await old.read(MAX_HOSTS_BYTES);
  return sameBytes(late, before) ? undefined : late;
}
