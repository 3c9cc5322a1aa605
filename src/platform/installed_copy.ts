import * as fs from "node:fs/promises";

const CHUNK = 1024 * 1024;

/**
 * Copies a program to `target`, which must not exist. Both files are opened
 * once and only their descriptors used from then on: the copy gets its owner,
 * then its mode, when it is complete, so nobody can run or change it before.
 * Throws the system's error, and leaves nothing at `target` then.
 */
export async function copyProgram(
  source: string,
  target: string,
  owner: { readonly uid: number; readonly gid: number; readonly mode: number },
): Promise<void> {
  const from = await fs.open(source, "r");
  try {
    if (!(await from.stat()).isFile()) throw new Error(`"${source}" is not a regular file`);
    const to = await fs.open(target, "wx", 0o600);
    try {
      await copyBytes(from, to);
      await to.chown(owner.uid, owner.gid);
      // After chown, which takes set-uid away.
      await to.chmod(owner.mode);
      await to.sync();
    } catch (error) {
      await to.close();
      await fs.unlink(target);
      throw error;
    }
    await to.close();
  } finally {
    await from.close();
  }
}

async function copyBytes(from: fs.FileHandle, to: fs.FileHandle): Promise<void> {
  const buffer = new Uint8Array(CHUNK);
  for (let at = 0;;) {
    const { bytesRead } = await from.read(buffer, 0, CHUNK, at);
    if (bytesRead === 0) return;
    for (let done = 0; done < bytesRead;) {
      done += (await to.write(buffer, done, bytesRead - done, at + done)).bytesWritten;
    }
    at += bytesRead;
  }
}

/** Makes a folder that everybody may look into and only its owner change (0755). */
export async function makePublicFolder(path: string): Promise<void> {
  await fs.mkdir(path, { mode: 0o755 });
  // The caller's umask may have taken more away.
  await fs.chmod(path, 0o755);
}
