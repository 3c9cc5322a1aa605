import { ifPresent } from "./private_files.ts";

/** Reads the end of a growing file and follows it, over rotation and truncation. */
export interface TailOptions {
  /** How many of the last lines come first. */
  readonly lines: number;
  /** Go on with what is appended, until aborted. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/** Between two looks at the file, in ms. A watch would miss a rename on some file systems. */
const LOOK_EVERY_MS = 200;
const CHUNK = 64 * 1024;

/** Whole lines, each with its newline; undefined when there is no such file. */
export async function tail(
  path: string,
  options: TailOptions,
): Promise<AsyncIterable<string> | undefined> {
  const file = await ifPresent(Deno.open(path, { read: true }), undefined);
  return file && linesOf(path, file, options);
}

/** The same for a file that is not there yet: waits for it, then gives all of it. */
export async function* tailOnceThere(
  path: string,
  options: Pick<TailOptions, "signal">,
): AsyncGenerator<string> {
  const { signal } = options;
  while (!signal.aborted) {
    const found = await tail(path, { lines: Infinity, follow: true, signal });
    if (found !== undefined) return yield* found;
    await pause(signal);
  }
}

async function* linesOf(
  path: string,
  file: Deno.FsFile,
  options: TailOptions,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  try {
    const text = decoder.decode(await lastBytes(file, options.lines));
    const end = text.lastIndexOf("\n") + 1;
    rest = text.slice(end);
    const lines = wholeLines(text.slice(0, end));
    yield* lines.slice(Math.max(0, lines.length - options.lines));
    if (!options.follow) {
      if (rest !== "") yield `${rest}\n`;
      return;
    }
    while (!options.signal.aborted) {
      const buffer = new Uint8Array(CHUNK);
      const read = await file.read(buffer);
      if (read !== null) {
        rest += decoder.decode(buffer.subarray(0, read), { stream: true });
        const end = rest.lastIndexOf("\n") + 1;
        yield* wholeLines(rest.slice(0, end));
        rest = rest.slice(end);
        continue;
      }
      const next = await replaced(path, file);
      if (next !== undefined) {
        file.close();
        file = next;
        continue;
      }
      await pause(options.signal);
    }
  } finally {
    file.close();
  }
}

function wholeLines(text: string): string[] {
  return text === "" ? [] : text.split(/(?<=\n)/);
}

/** Enough of the end of the file for that many lines; leaves the position at the end. */
async function lastBytes(file: Deno.FsFile, lines: number): Promise<Uint8Array> {
  const size = (await file.stat()).size;
  let start = size;
  let found: Uint8Array = new Uint8Array();
  while (start > 0) {
    start = Math.max(0, start - CHUNK);
    await file.seek(start, Deno.SeekMode.Start);
    found = new Uint8Array(size - start);
    let at = 0;
    while (at < found.length) {
      const read = await file.read(found.subarray(at));
      if (read === null) break;
      at += read;
    }
    found = found.subarray(0, at);
    if (found.reduce((n, byte) => n + (byte === 10 ? 1 : 0), 0) > lines) break;
  }
  return found;
}

/** The new file under this name, opened; undefined while it is the same and has not shrunk. */
async function replaced(path: string, file: Deno.FsFile): Promise<Deno.FsFile | undefined> {
  const mine = await file.stat();
  const named = await ifPresent(Deno.stat(path), undefined);
  if (named === undefined) return undefined;
  const at = await file.seek(0, Deno.SeekMode.Current);
  if (mine.ino === named.ino && mine.dev === named.dev && named.size >= at) return undefined;
  return await ifPresent(Deno.open(path, { read: true }), undefined);
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, LOOK_EVERY_MS);
    signal.addEventListener("abort", done, { once: true });
  });
}
