import { join } from "node:path";
import type { Cluster } from "../../tests/cluster/mod.ts";
import type { Narrator } from "./narrator.ts";
import { fetchCommand, programs } from "./programs.ts";

const NAMESPACE = "sample-project";

/** What the demo shows, against a running cluster. */
export class Demo {
  readonly #czctl = join(import.meta.dirname!, "..", "..", "dist", "czctl");

  constructor(
    private readonly say: Narrator,
    private readonly cluster: Cluster,
    private readonly home: string,
  ) {}

  async show(asRoot: boolean): Promise<void> {
    const { say } = this;
    say.fact(
      `${this.cluster.url}, namespace ${NAMESPACE}: web, sockets, server, sails, echo, database`,
    );
    if (!asRoot) return await this.#withoutRoot();

    const hostsBefore = await Deno.readFile("/etc/hosts");
    say.step("Before: the cluster's names mean nothing here");
    await this.#expectFailure(["getent", "hosts", "sample-project-web.sample-project"]);

    say.step("Teleporting: every Service gets an address, a tunnel and its names");
    await this.#run([
      this.#czctl,
      "teleport",
      "deployment",
      "web",
      "-n",
      NAMESPACE,
      "-f",
      "env.sh",
    ]);

    say.step("Now ordinary programs reach each service by its name in the cluster");
    for (const program of programs()) {
      say.fact(program.what);
      await this.#run(program.command, program.expect);
    }

    say.step("The workload's own environment is in env.sh, as the kubelet would compute it");
    await this.#run(
      ["sh", "-c", '. ./env.sh && echo "$POD_NAME talks to $SERVER_URL"'],
      /talks to/,
    );

    say.step("Restarting the web deployment while a client keeps asking");
    await this.#restartUnderLoad();

    say.step("Closing: everything is undone");
    await this.#run([this.#czctl, "teleport", "--clean"]);
    const hostsAfter = await Deno.readFile("/etc/hosts");
    if (!equal(hostsBefore, hostsAfter)) throw new Error("/etc/hosts is not what it was");
    say.good(`/etc/hosts is byte for byte what it was (${hostsAfter.length} bytes)`);
    await this.#expectFailure(["getent", "hosts", "sample-project-web.sample-project"]);
    await this.#run(["sh", "-c", "ls env.sh 2>/dev/null || echo env.sh is gone, too"], /gone/);
  }

  async #withoutRoot(): Promise<void> {
    const { say } = this;
    say.step("The workload's environment needs no root");
    await this.#run([this.#czctl, "environment", "deployment", "web", "-n", NAMESPACE, "env.sh"]);
    await this.#run(
      ["sh", "-c", '. ./env.sh && echo "$POD_NAME talks to $SERVER_URL"'],
      /talks to/,
    );
    say.step("teleport needs root once, and says so");
    await this.#expectFailure([this.#czctl, "teleport", "deployment", "web", "-n", NAMESPACE]);
  }

  async #restartUnderLoad(): Promise<void> {
    const pods = new Set<string>();
    let asked = 0;
    let failed = 0;
    let going = true;
    const client = (async () => {
      while (going) {
        const output = await this.#output(
          fetchCommand("http://sample-project-web.sample-project/"),
        );
        asked++;
        const pod = /^Hello from (\S+)/.exec(output.stdout)?.[1];
        if (pod === undefined) failed++;
        else pods.add(pod);
      }
    })();
    await this.cluster.control.rollout({ namespace: NAMESPACE, deployment: "web" });
    const deadline = performance.now() + 20_000;
    while (pods.size < 2 && performance.now() < deadline) {
      await new Promise((r) => setTimeout(r, 50));
    }
    going = false;
    await client;
    if (failed > 0 || pods.size < 2) {
      throw new Error(
        `${failed} of ${asked} requests failed, answers came from ${[...pods].join(", ")}`,
      );
    }
    this.say.good(
      `${asked} requests, none failed; first ${[...pods][0]} answered, then ${[...pods][1]}`,
    );
  }

  /** Closes whatever is still open, also after a failure half way. */
  async cleanUp(): Promise<void> {
    await this.#output([this.#czctl, "stop"]).catch(() => {});
  }

  async #run(command: readonly string[], expect?: RegExp): Promise<void> {
    this.say.command(command);
    const output = await this.#output(command);
    this.say.output(output.stdout + output.stderr);
    if (output.code !== 0) {
      throw new Error(`${command.join(" ")} ended with exit code ${output.code}`);
    }
    if (expect && !expect.test(output.stdout)) {
      throw new Error(`${command.join(" ")} gave an unexpected answer`);
    }
  }

  async #expectFailure(command: readonly string[]): Promise<void> {
    this.say.command(command);
    const output = await this.#output(command);
    this.say.output(output.stdout + output.stderr);
    if (output.code === 0) throw new Error(`${command.join(" ")} should have failed`);
    this.say.fact(`exit code ${output.code}`);
  }

  async #output(
    command: readonly string[],
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const { code, stdout, stderr } = await new Deno.Command(command[0]!, {
      args: command.slice(1),
      cwd: this.home,
      env: { HOME: this.home, KUBECONFIG: this.cluster.kubeconfig, NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
