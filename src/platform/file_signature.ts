/** Changes whenever a file is written or replaced; undefined when it cannot be looked at. */
export async function fileSignature(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtime, ctime } = await Deno.stat(path);
    return [dev, ino, size, mtime?.getTime(), ctime?.getTime()].join(":");
  } catch {
    return undefined;
  }
}
