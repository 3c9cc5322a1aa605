import { CzctlError } from "../model/errors.ts";
import type { Clock } from "../model/clock.ts";
import { codeOf, type FileLock, type Files } from "../platform/files.ts";
import type { HostsPlace } from "./place.ts";
import { ensureOwnFolder, firstUsable } from "./root_folder.ts";

/** How often a held lock is tried again, in ms. */
const RETRY_MS = 20;

/** The one lock of the hosts file on this machine. It lies where only root can open it. */
export class HostsLock {
  readonly #files: Files;
  readonly #place: HostsPlace;
  readonly #clock: Clock;

  constructor(files: Files, place: HostsPlace, clock: Clock) {
    this.#files = files;
    this.#place = place;
    this.#clock = clock;
  }

  /** Throws CzctlError `failed` when somebody else holds it for all of `waitMs`. */
  async acquire(waitMs: number): Promise<FileLock> {
    const deadline = this.#clock.monotonic() + waitMs;
    for (;;) {
      const lock = await this.#try();
      if (lock !== undefined) return lock;
      if (this.#clock.monotonic() >= deadline) {
        throw new CzctlError(
          "failed",
          `Cannot lock the hosts file: another czctl has been editing it for ${waitMs / 1000} s`,
          { hint: "See who does with: ps -C czfwd -o pid,user,stat,lstart" },
        );
      }
      await this.#clock.sleep(RETRY_MS);
    }
  }

  /** Takes the lock file away again, when nobody holds it. */
  async remove(): Promise<void> {
    const lock = await this.#try().catch(() => undefined);
    if (lock === undefined) return;
    try {
      // While held: whoever waits for this file sees it gone and makes a new one.
      const folder = await this.#folder();
      await this.#files.remove(`${folder}/lock`);
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
    const path = `${await this.#folder()}/lock`;
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
