/**
 * A machine of its own for tests that need /etc, other users or mounts: the
 * root of this one under an overlay, in a private mount namespace. Whatever
 * happens in it is gone with it, and `changes` tells every file that was
 * touched anywhere.
 */
import assert from "node:assert/strict";

/** Where the namespace keeps its upper layer, a folder that exists everywhere and is not looked at. */
const STAGE = "/mnt";

export interface RunOptions {
  readonly as?: { readonly uid: number; readonly gid: number };
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
}

export interface RunResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class Machine implements AsyncDisposable {
  readonly #holder: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;

  private constructor(holder: Deno.ChildProcess) {
    this.#holder = holder;
    this.#lines = holder.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Whether such machines can be made here: it takes root, and a kernel with overlayfs. */
  static readonly available: boolean = Deno.uid() === 0 && (() => {
    const script = overlayScript("/bin/true");
    const { code } = new Deno.Command("unshare", {
      args: ["-m", "--propagation", "private", "sh", "-ec", script],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return code === 0;
  })();

  static async create(): Promise<Machine> {
    // It ends with its standard input, and so with this process, however that ends.
    const holder = new Deno.Command("unshare", {
      args: [
        "-m",
        "--propagation",
        "private",
        "sh",
        "-ec",
        overlayScript("/bin/sh -c 'echo up; exec cat'"),
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const machine = new Machine(holder);
    assert.equal((await machine.#lines.read()).value, "up\n");
    return machine;
  }

  /** The same file as seen from outside. */
  path(inside: string): string {
    return `/proc/${this.#holder.pid}/root${inside}`;
  }

  read(inside: string): Promise<string> {
    return Deno.readTextFile(this.path(inside));
  }

  async write(inside: string, content: string): Promise<void> {
    await Deno.writeTextFile(this.path(inside), content);
  }

  async exists(inside: string): Promise<boolean> {
    return await Deno.lstat(this.path(inside)).then(() => true, () => false);
  }

  /** The command line that runs a program inside; the environment is only what is given. */
  command(program: readonly string[], options: RunOptions = {}): [string, string[]] {
    const { as, env = {} } = options;
    const vars = Object.entries({ PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...env });
    const inside = ["env", "-i", ...vars.map(([key, value]) => `${key}=${value}`), ...program];
    const asUser = as === undefined ? inside : [
      "setpriv",
      `--reuid=${as.uid}`,
      `--regid=${as.gid}`,
      "--clear-groups",
      "--inh-caps=-all",
      ...inside,
    ];
    return ["nsenter", ["-t", `${this.#holder.pid}`, "-m", "-r", "-w", ...asUser]];
  }

  /** Runs a program inside to its end. */
  async run(program: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const child = this.start(program, options);
    const { input } = options;
    const writer = child.stdin.getWriter();
    if (input !== undefined) {
      const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
      await writer.write(bytes).catch(() => {});
    }
    await writer.close().catch(() => {});
    const { code, stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
  }

  /** Runs a shell script inside as root; fails the test when it fails. */
  async sh(script: string): Promise<string> {
    const { code, out, err } = await this.run(["sh", "-ec", script]);
    assert.equal(code, 0, err);
    return out;
  }

  start(program: readonly string[], options: RunOptions = {}): Deno.ChildProcess {
    const [command, args] = this.command(program, options);
    return new Deno.Command(command, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      ...(options.timeoutMs === undefined
        ? {}
        : { signal: AbortSignal.timeout(options.timeoutMs) }),
    }).spawn();
  }

  /**
   * Everything that is not as on the machine below: kind, mode, owner, size and
   * times by path. A folder counts when it is new or has another mode or owner.
   */
  async changes(): Promise<Map<string, string>> {
    const list = `cd ${STAGE}/upper && find . -mindepth 1 ` +
      `-type d -printf '%y %m %U %G\\t%p\\0' -o -printf '%y %m %U %G %s %T@ %C@ %l\\t%p\\0'`;
    // The upper layer is outside the new root, but in the namespace.
    const { success, stdout } = await new Deno.Command("nsenter", {
      args: ["-t", `${this.#holder.pid}`, "-m", "sh", "-c", list],
    }).output();
    assert.ok(success);
    const entries = new TextDecoder().decode(stdout).split("\0").filter((line) => line !== "");
    return new Map(
      entries.map((line): [string, string] => {
        const tab = line.indexOf("\t");
        return [line.slice(tab + 2), line.slice(0, tab)];
      }).filter(([path, facts]) => !isFolderBelow(path, facts)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder.stdin.close();
    await this.#lines.cancel();
    await this.#holder.status;
  }
}

/** An overlay copies every folder up that something happens in. */
function isFolderBelow(path: string, facts: string): boolean {
  if (!facts.startsWith("d ")) return false;
  try {
    const { mode, uid, gid } = Deno.lstatSync(path);
    return facts === `d ${(mode! & 0o7777).toString(8)} ${uid} ${gid}`;
  } catch {
    return false;
  }
}

function overlayScript(program: string): string {
  return `
mount -t tmpfs -o mode=755 czctl-test ${STAGE}
mkdir ${STAGE}/upper ${STAGE}/work ${STAGE}/root
# What a czctl that runs on this machine right now has there is not seen inside.
mkdir -p ${STAGE}/mask/run ${STAGE}/mask/var/lib ${STAGE}/mask/etc
for path in run/czctl var/lib/czctl etc/.hosts.czctl; do mknod ${STAGE}/mask/$path c 0 0; done
mount -t overlay -o lowerdir=${STAGE}/mask:/,upperdir=${STAGE}/upper,workdir=${STAGE}/work overlay ${STAGE}/root
mount --rbind /proc ${STAGE}/root/proc
mount --rbind /dev ${STAGE}/root/dev
mount --rbind /sys ${STAGE}/root/sys
exec chroot ${STAGE}/root ${program}
`;
}

/** The compiled binary of this tree; `deno task compile` makes it. */
export const BINARY = new URL("../../../dist/czctl", import.meta.url).pathname;

export function binaryIsThere(): boolean {
  try {
    return Deno.statSync(BINARY).isFile;
  } catch {
    return false;
  }
}
