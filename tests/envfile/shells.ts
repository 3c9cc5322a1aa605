import { join } from "node:path";

/** Real shells to source real files with. */

export interface Shell {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
}

let zsh: Promise<string> | undefined;

/** sh, bash, dash and zsh, each also in modes that change how quotes are read. */
export async function shells(): Promise<readonly Shell[]> {
  zsh ??= ensureZsh();
  return [
    { name: "sh", command: ["sh"] },
    { name: "dash", command: ["dash"] },
    { name: "bash", command: ["bash", "--norc"] },
    { name: "bash --posix", command: ["bash", "--norc", "--posix"] },
    { name: "bash with history expansion", command: ["bash", "--norc", "-H", "-O", "extglob"] },
    { name: "zsh", command: [await zsh, "-f"] },
    {
      name: "zsh with rcquotes",
      command: [await zsh, "-f", "-o", "rcquotes", "-o", "extendedglob"],
    },
    { name: "zsh as sh", command: [await zsh, "--emulate", "sh", "-f"] },
  ];
}

/** The zsh of the PATH, else the Debian package: installed by root, unpacked by anybody else. */
async function ensureZsh(): Promise<string> {
  const works = async (path: string) => {
    try {
      return (await run([path, "-f", "-c", "exit 7"])).code === 7;
    } catch {
      return false;
    }
  };
  if (await works("zsh")) return "zsh";
  if (Deno.uid() === 0) {
    await must(["apt-get", "update"]);
    await must(["apt-get", "install", "-y", "--no-install-recommends", "zsh"]);
    return "zsh";
  }
  const folder = join(
    Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`,
    "czctl-zsh",
  );
  const unpacked = join(folder, "bin", "zsh");
  if (!await works(unpacked)) {
    await Deno.mkdir(folder, { recursive: true });
    await must(["apt-get", "download", "zsh"], folder);
    for await (const { name } of Deno.readDir(folder)) {
      if (/^zsh_.*\.deb$/.test(name)) await must(["dpkg-deb", "-x", name, "."], folder);
    }
  }
  return unpacked;
}

async function must(command: readonly [string, ...string[]], cwd?: string): Promise<void> {
  const { code, stderr } = await run(command, cwd);
  if (code !== 0) throw new Error(`${command.join(" ")} failed: ${stderr}`);
}

export interface RunResult {
  readonly code: number;
  readonly stdout: Uint8Array;
  readonly stderr: string;
}

/** Runs a command in an environment of its own; ends it after a minute. */
export async function run(
  [program, ...args]: readonly [string, ...string[]],
  cwd?: string,
  env: Record<string, string> = {},
): Promise<RunResult> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    env: { PATH: Deno.env.get("PATH")!, HOME: Deno.env.get("HOME") ?? "/", ...env },
    clearEnv: true,
    stdin: "null",
    signal: AbortSignal.timeout(60_000),
    ...(cwd !== undefined && { cwd }),
  }).output();
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}
