import { CzctlError } from "../model/errors.ts";
import type { Clock } from "../model/clock.ts";
import { codeOf, type FileLock, type Files } from "../platform/files.ts";
import type { HostsPlace } from "./place.ts";
import { ensureOwnFolder, firstUsable } from "./root_folder.ts";

/** How often a held lock is tried again, in ms. */
const RETRY_MS = 20;

/** A lock between helpers on this machine. It lies where only root can open it. */
class RootLock {
  readonly #files: Files;
  readonly #place: HostsPlace;
  readonly #clock: Clock;
  readonly #name: string;

  constructor(files: Files, place: HostsPlace, clock: Clock, name: string) {
    this.#files = files;
    this.#place = place;
    this.#clock = clock;
    this.#name = name;
  }

  /** Throws what `held` makes when somebody else holds it for all of `waitMs`. */
  protected async take(waitMs: number, held: () => CzctlError): Promise<FileLock> {
    const deadline = this.#clock.monotonic() + waitMs;
    for (;;) {
      const lock = await this.#try();
      if (lock !== undefined) return lock;
      if (this.#clock.monotonic() >= deadline) throw held();
      await this.#clock.sleep(RETRY_MS);
    }
  }

  /** Takes the lock file away again, when nobody holds it. */
  async remove(): Promise<void> {
    const lock = await this.#try().catch(() => undefined);
    if (lock !== undefined) await this.discard(lock);
  }

  /** Gives the lock back and takes its file away. */
  async discard(lock: FileLock): Promise<void> {
    try {
      // While held: whoever waits for this file sees it gone and makes a new one.
      const folder = await this.#folder();
      await this.#files.remove(`${folder}/${this.#name}`);
      await this.#files.removeFolder(folder);
    } catch {
      // Something else lies there, or somebody was quicker: either is fine.
    } finally {
      lock.release();
    }
  }

  #folder(): Promise<string> {
    return firstUsable(
      this.#place.lockFolders,
      (folder) => ensureOwnFolder(this.#files, folder, this.#place.owner),
    );
  }

  async #try(): Promise<FileLock | undefined> {
    const path = `${await this.#folder()}/${this.#name}`;
    let lock: FileLock | undefined;
    try {
      lock = await this.#files.tryLock(path);
    } catch (error) {
      // The folder was removed between the two steps.
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
    if (lock === undefined) return undefined;
    // The one who held it may have removed the file: then this lock guards nothing.
    const current = await this.#files.lstat(path);
    if (current?.inode === lock.inode) return lock;
    lock.release();
    return undefined;
  }
}

/** The one lock of the hosts file on this machine. */
export class HostsLock extends RootLock {
  constructor(files: Files, place: HostsPlace, clock: Clock) {
    super(files, place, clock, "lock");
  }

  /** Throws CzctlError `failed` when somebody else holds it for all of `waitMs`. */
  acquire(waitMs: number): Promise<FileLock> {
    return this.take(waitMs, () =>
      new CzctlError(
        "failed",
        `Cannot lock the hosts file: another czctl has been editing it for ${waitMs / 1000} s`,
        { hint: "See who does with: ps -C czfwd -o pid,user,stat,lstart" },
      ));
  }
}

/**
 * Held by a helper for its whole life: a user has one block, and two helpers
 * that keep it as they think right would undo each other's edits for ever.
 */
export class BlockLock extends RootLock {
  constructor(files: Files, place: HostsPlace, clock: Clock, uid: number) {
    super(files, place, clock, `block-${uid}`);
  }

  /** Throws CzctlError `failed` when another helper keeps the block for all of `waitMs`. */
  acquire(waitMs: number): Promise<FileLock> {
    return this.take(waitMs, () =>
      new CzctlError(
        "failed",
        "Cannot edit /etc/hosts: another czfwd of this user keeps the block there, " +
          "started with another HOME",
        { hint: "Use that HOME (as sudo or a login shell sets it), or end it: killall czfwd" },
      ));
  }
}
