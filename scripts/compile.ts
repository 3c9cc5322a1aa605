/**
 * `deno task compile`: main.ts and all it needs -> dist/czctl.
 *
 * Bundled first, with code splitting: a command then loads only the chunks it
 * needs (docs/decisions/0060-code-splitting.md).
 */
import { parseArgs } from "node:util";
import { join } from "node:path";
import { baseBinary } from "./base_binary.ts";
import { BuildError, runScript } from "./build_error.ts";

/** What the program may do, kind by kind; each role gives up more at its start. No FFI, never `-A`. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-run",
  "--allow-env",
  "--allow-sys",
  "--no-prompt",
];

/** Nothing of the building folder, and nothing from the network, may get in or be looked for. */
const ISOLATION = ["--no-config", "--no-lock", "--no-npm", "--no-remote", "--no-check"];

const ROOT = new URL("..", import.meta.url).pathname;

export interface CompileOptions {
  /** Where the binary goes. */
  readonly output?: string;
  readonly denortBin?: string;
  readonly sha256?: string;
  readonly cacheFolder?: string;
  readonly note?: (text: string) => void;
}

/** Makes the binary and returns its path. Throws BuildError. */
export async function compile(options: CompileOptions = {}): Promise<string> {
  const output = options.output ?? join(ROOT, "dist", "czctl");
  const wanted = await pinnedVersion();
  if (Deno.version.deno !== wanted) {
    throw new BuildError(
      `Cannot compile with Deno ${Deno.version.deno}: use ./scripts/deno (${wanted})`,
    );
  }
  const base = await checkedBase(options);
  const staging = join(ROOT, "dist", "bundle");
  await bundle(staging);
  await stamp(staging);
  await deno(
    ["compile", "--quiet", ...PERMISSIONS, "--no-code-cache", ...ISOLATION, "--output", output]
      .concat(join(staging, "main.js")),
    { DENORT_BIN: base },
  );
  return output;
}

/** Path of the checked and disarmed base binary for this machine. Throws BuildError. */
export function checkedBase(options: CompileOptions = {}): Promise<string> {
  return baseBinary({
    version: Deno.version.deno,
    target: Deno.build.target,
    cacheFolder: options.cacheFolder ?? cacheFolder(),
    denortBin: options.denortBin ?? Deno.env.get("DENORT_BIN"),
    sha256: options.sha256,
    denoDir: denoDir(),
    note: options.note ?? (() => {}),
  });
}

async function bundle(folder: string): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  await deno(["bundle", "--quiet", "--code-splitting", "--outdir", folder, join(ROOT, "main.ts")]);
}

/** Writes version and commit in place of the markers of src/platform/build_info.ts. */
async function stamp(folder: string): Promise<void> {
  const config = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const facts = { "@czctl-version@": config.version as string, "@czctl-commit@": await commit() };
  const seen = new Set<string>();
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.name.endsWith(".js")) continue;
    const path = join(folder, entry.name);
    let text = await Deno.readTextFile(path);
    let changed = false;
    for (const [marker, value] of Object.entries(facts)) {
      if (!text.includes(marker)) continue;
      seen.add(marker);
      text = text.replaceAll(marker, value);
      changed = true;
    }
    if (changed) await Deno.writeTextFile(path, text);
  }
  if (seen.size !== 2) throw new BuildError("Cannot find the version markers in the bundle");
}

/** The commit being built; a clone without git gets it from CZCTL_COMMIT, or "unknown". */
async function commit(): Promise<string> {
  const given = Deno.env.get("CZCTL_COMMIT");
  if (given && /^[0-9a-f]{7,40}$/.test(given)) return given.slice(0, 12);
  // An unpacked archive may lie inside somebody else's repository.
  if (await git(["rev-parse", "--show-prefix"]) !== "") return "unknown";
  const head = await git(["rev-parse", "--short=12", "HEAD"]);
  if (head === undefined || head === "") return "unknown";
  const changes = await git(["status", "--porcelain", "--untracked-files=no"]);
  return changes === "" ? head : `${head}-dirty`;
}

async function git(args: string[]): Promise<string | undefined> {
  try {
    const done = await new Deno.Command("git", {
      args: ["-C", ROOT, ...args],
      stdin: "null",
      stderr: "null",
    }).output();
    return done.success ? new TextDecoder().decode(done.stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

async function pinnedVersion(): Promise<string> {
  const script = await Deno.readTextFile(join(ROOT, "scripts", "deno"));
  return /^version=(\S+)$/m.exec(script)?.[1] ?? Deno.version.deno;
}

async function deno(args: string[], env: Record<string, string> = {}): Promise<void> {
  const done = await new Deno.Command(Deno.execPath(), {
    args,
    env,
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (done.success) return;
  const said = new TextDecoder().decode(done.stderr).trim();
  throw new BuildError(`Cannot ${args[0]} czctl: deno said:\n${said}`);
}

/** Where the checked base binary is kept for the next build. */
function cacheFolder(): string {
  const home = Deno.env.get("HOME");
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? (home ? join(home, ".cache") : undefined);
  return cache === undefined ? join(ROOT, "dist", "cache") : join(cache, "czctl-build");
}

function denoDir(): string | undefined {
  const home = Deno.env.get("HOME");
  return Deno.env.get("DENO_DIR") ?? (home ? join(home, ".cache", "deno") : undefined);
}

if (import.meta.main) {
  await runScript(async () => {
    const { values } = parseArgs({
      args: Deno.args,
      options: { "base-sha256": { type: "string" }, output: { type: "string" } },
    });
    const started = performance.now();
    const say = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
    const output = await compile({
      note: (text) => say(`  ${text}`),
      ...(values["base-sha256"] === undefined ? {} : { sha256: values["base-sha256"] }),
      ...(values.output === undefined ? {} : { output: values.output }),
    });
    const size = (await Deno.stat(output)).size / 1_000_000;
    const seconds = (performance.now() - started) / 1000;
    say(`${output}  ${size.toFixed(1)} MB in ${seconds.toFixed(1)} s`);
  });
}
