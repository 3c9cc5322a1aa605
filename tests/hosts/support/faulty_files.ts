/** Files that fail, or die, at a chosen step. They wrap the real ones; the product knows nothing of them. */
import type { Files, OpenFile } from "../../../src/platform/files.ts";

/** Called before each step; `half` is set for a write of which only a part is done. */
export interface Fault {
  before(step: string): void;
  /** For a write: how many of its bytes to write before `before` is called again; undefined: all. */
  partOf?(step: string, length: number): number | undefined;
}

/** Every step that changes something (or takes a descriptor) goes through `fault` first. */
export function faultyFiles(real: Files, fault: Fault): Files {
  return {
    lstat: (path) => real.lstat(path),
    open: async (path, how) => {
      fault.before(`open ${how} ${path}`);
      return faultyOpenFile(await real.open(path, how), path, fault);
    },
    readLink: (path) => real.readLink(path),
    rename: (from, to) => {
      fault.before(`rename ${from} ${to}`);
      return real.rename(from, to);
    },
    remove: (path) => {
      fault.before(`remove ${path}`);
      return real.remove(path);
    },
    makeFolder: (path, mode) => {
      fault.before(`makeFolder ${path}`);
      return real.makeFolder(path, mode);
    },
    removeFolder: (path) => {
      fault.before(`removeFolder ${path}`);
      return real.removeFolder(path);
    },
    syncFolder: (path) => {
      fault.before(`syncFolder ${path}`);
      return real.syncFolder(path);
    },
    tryLock: (path) => {
      fault.before(`tryLock ${path}`);
      return real.tryLock(path);
    },
  };
}

function faultyOpenFile(file: OpenFile, path: string, fault: Fault): OpenFile {
  return {
    stat: () => file.stat(),
    read: (limit) => file.read(limit),
    write: async (bytes, offset) => {
      const step = `write ${path}`;
      fault.before(step);
      const part = fault.partOf?.(step, bytes.length);
      if (part === undefined) return await file.write(bytes, offset);
      await file.write(bytes.subarray(0, part), offset);
      fault.before(`rest of ${step}`);
      await file.write(bytes.subarray(part), offset + part);
    },
    truncate: (length) => {
      fault.before(`truncate ${path}`);
      return file.truncate(length);
    },
    chown: (uid, gid) => {
      fault.before(`chown ${path}`);
      return file.chown(uid, gid);
    },
    chmod: (mode) => {
      fault.before(`chmod ${path}`);
      return file.chmod(mode);
    },
    sync: () => {
      fault.before(`sync ${path}`);
      return file.sync();
    },
    close: () => {
      fault.before(`close ${path}`);
      return file.close();
    },
  };
}

/** The system's error with this code, as a file operation throws it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}
