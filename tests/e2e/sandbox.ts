import { join } from "node:path";
import { until as soon } from "../until.ts";

/** The compiled binary under test. */
export const CZCTL = join(import.meta.dirname!, "..", "..", "dist", "czctl");

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** Run as this user of the sandbox instead of root. */
  readonly user?: string;
  /** Kill the command after this many ms; 60 s unless told. */
  readonly timeoutMs?: number;
}

/** How `hosts` is put into the sandbox's /etc. */
export type HostsMount = "file" | "bind";

/**
 * A private view of the machine for one test: its own processes, and its own
 * /etc, /run, /usr/local, /home and HOME, so that nothing a test does reaches
 * the real ones and `killall czfwd` ends the test's only. The network is the
 * machine's own loopback. Whatever still runs inside ends with it. Needs root.
 */
export class Sandbox {
  private constructor(
    readonly folder: string,
    private readonly holder: Deno.ChildProcess,
    /** The first process inside, as seen from outside. */
    private readonly inside: number,
  ) {}

  static async create(
    options: { hosts?: string | Uint8Array; mount?: HostsMount } = {},
  ): Promise<Sandbox> {
    const folder = await Deno.makeTempDir({ prefix: "czctl-e2e-" });
    await Deno.chmod(folder, 0o755);
    for (const name of ["etc", "home", "homes", "run", "local", "mail"]) {
      await Deno.mkdir(join(folder, name), { mode: 0o755 });
    }
    await check(["cp", "-a", "/etc/.", join(folder, "etc")]);
    const hosts = join(folder, "etc", "hosts");
    await Deno.remove(hosts).catch(() => {});
    const content = options.hosts ?? "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n";
    await Deno.writeFile(
      hosts,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    await Deno.chmod(hosts, 0o644);
    // No question of a test goes to a real name server.
    await Deno.remove(join(folder, "etc", "resolv.conf")).catch(() => {});
    await Deno.writeTextFile(
      join(folder, "etc", "resolv.conf"),
      "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    );
    const script = [
      `mount --bind "$1/etc" /etc`,
      `mount --bind "$1/run" /run`,
      `mount --bind "$1/homes" /home`,
      `mount --bind "$1/mail" /var/mail`,
      // The journal of in-place edits lies there.
      `mkdir "$1/varlib" && mount --bind "$1/varlib" /var/lib`,
      `mkdir -p "$1/local/bin" && mount --bind "$1/local" /usr/local`,
      options.mount === "bind"
        ? `cp -p /etc/hosts "$1/hosts.bound" && mount --bind "$1/hosts.bound" /etc/hosts`
        : ":",
      `echo ready`,
      // Ends with the test, whatever happens to it: end of input.
      `exec cat`,
    ].join(" && ");
    const holder = new Deno.Command("unshare", {
      args: [
        "--mount",
        "--propagation=private",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        script,
        "sh",
        folder,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = holder.stdout.getReader();
    const first = await reader.read();
    reader.releaseLock();
    if (first.done || !new TextDecoder().decode(first.value).startsWith("ready")) {
      throw new Error("Cannot make a mount namespace for the test");
    }
    const children = await Deno.readTextFile(`/proc/${holder.pid}/task/${holder.pid}/children`);
    return new Sandbox(folder, holder, Number(children.trim()));
  }

  get home(): string {
    return join(this.folder, "home");
  }

  /** The hosts file as programs in the sandbox see it. */
  async hosts(): Promise<Uint8Array> {
    const { stdout } = await this.#spawn(["cat", "/etc/hosts"], {}).output();
    return stdout;
  }

  async hostsText(): Promise<string> {
    return new TextDecoder().decode(await this.hosts());
  }

  async writeHosts(content: string): Promise<void> {
    await this.sh(`printf '%s' "$CONTENT" > /etc/hosts`, { env: { CONTENT: content } });
  }

  /** Runs a program inside. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Output> {
    const child = this.#spawn(command, options).spawn();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended, and something it started still holds its output open.
      }
      late.reject(new Error(`Not done in time: ${command.join(" ")}`));
    }, options.timeoutMs ?? 60_000);
    const { code, stdout, stderr } = await Promise.race([child.output(), late.promise])
      .finally(() => clearTimeout(timer));
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return {
      code,
      stdout: text(stdout),
      stderr: text(stderr),
    };
  }

  sh(script: string, options: RunOptions = {}): Promise<Output> {
    return this.run(["sh", "-c", script], options);
  }

  czctl(args: readonly string[], options: RunOptions = {}): Promise<Output> {
    return this.run([CZCTL, ...args], options);
  }

  /** Starts a program inside and hands it over; the test ends it. */
  start(command: readonly string[], options: RunOptions = {}): Deno.ChildProcess {
    return this.#spawn(command, options).spawn();
  }

  /** pids, as seen inside, of the processes whose name is `name`. */
  async pidsOf(name: string): Promise<number[]> {
    const { stdout } = await this.sh(
      `for p in /proc/[0-9]*; do
         [ "$(cat $p/comm 2>/dev/null)" = "$NAME" ] || continue
         grep -q '^State:.Z' $p/status 2>/dev/null || echo "\${p#/proc/}"
       done`,
      { env: { NAME: name } },
    );
    return stdout.split("\n").filter((line) => line !== "").map(Number);
  }

  /** pids, as seen from outside, of the living processes whose name is `name`. */
  processes(name: string): number[] {
    const space = Deno.readLinkSync(`/proc/${this.inside}/ns/pid`);
    const found: number[] = [];
    for (const { name: entry } of Deno.readDirSync("/proc")) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        const stat = Deno.readTextFileSync(`/proc/${entry}/stat`);
        if (!stat.includes(`(${name}) `) || stat.includes(`(${name}) Z`)) continue;
        if (Deno.readLinkSync(`/proc/${entry}/ns/pid`) === space) found.push(Number(entry));
      } catch {
        // It has ended.
      }
    }
    return found;
  }

  async kill(pid: number, signal: string): Promise<void> {
    await this.run(["sh", "-c", `kill -${signal} ${pid}`]);
  }

  /** Ends it with everything that still runs inside; returns what of czctl that was. */
  async close(): Promise<string[]> {
    const left: string[] = [];
    for (const name of ["czfwd", "czctl"]) {
      for (const pid of await this.pidsOf(name)) left.push(`${name} (${pid})`);
    }
    await this.holder.stdin.close().catch(() => {});
    await this.holder.stdout.cancel().catch(() => {});
    await this.holder.status;
    await Deno.remove(this.folder, { recursive: true }).catch(() => {});
    return left;
  }

  #spawn(command: readonly string[], options: RunOptions): Deno.Command {
    const inside = options.user === undefined ? command : [
      "setpriv",
      `--reuid=${options.user}`,
      `--regid=${options.user}`,
      "--init-groups",
      ...command,
    ];
    return new Deno.Command("nsenter", {
      args: [
        `--target=${this.inside}`,
        "--mount",
        "--pid",
        `--wd=${options.cwd ?? this.home}`,
        ...inside,
      ],
      clearEnv: true,
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: options.user === undefined ? this.home : `/home/${options.user}`,
        LANG: "C.UTF-8",
        ...options.env,
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
  }
}

async function check(command: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command[0]!, {
    args: command.slice(1),
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`${command.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Waits until `condition` holds; throws with `what` when it does not within `ms`. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ms = 15_000,
): Promise<void> {
  // Most conditions start a program.
  await soon(what, condition, ms, 50);
}
