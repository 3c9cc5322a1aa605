/** What is measured: straight to the pod, kubectl port-forward, and the compiled czctl. */
import type { Cluster } from "../cluster/mod.ts";
import type { Kubectl } from "../cluster/kubectl.ts";
import { CZCTL, Sandbox, until } from "../e2e/sandbox.ts";
import { family } from "./processes.ts";

export interface Place {
  readonly host: string;
  readonly port: number;
}

export interface Tool {
  readonly name: "direct" | "kubectl" | "czctl";
  /** Where the pod's port can be reached. */
  place(port: number): Place;
  /** The processes of the tool. */
  pids(): number[];
  close(): Promise<void>;
}

export const NAMESPACE = "bench";

/** Past the tunnel: the ceiling. */
export async function direct(cluster: Cluster): Promise<Tool> {
  const pod = (await cluster.control.pods()).find((one) => one.namespace === NAMESPACE);
  if (pod?.address === undefined) throw new Error("The pod has no address");
  const host = pod.address;
  return {
    name: "direct",
    place: (port) => ({ host, port }),
    pids: () => [],
    close: () => Promise.resolve(),
  };
}

/**
 * One kubectl that forwards all ports of the pod, as its users have it: in a terminal of its own,
 * and so in a session of its own, as svc is. Sessions are what the scheduler shares the processor
 * out to (sched_autogroup): within the bench's own, kubectl would need a quarter less of it.
 */
export async function kubectl(
  cluster: Cluster,
  program: Kubectl,
  context: string,
  ports: readonly number[],
): Promise<Tool> {
  const child = new Deno.Command("setpriv", {
    args: [
      "--pdeathsig=KILL",
      "setsid",
      program.path,
      `--kubeconfig=${cluster.kubeconfig}`,
      `--context=${context}`,
      "port-forward",
      "-n",
      NAMESPACE,
      "deployment/bench",
      ...ports.map((port) => `:${port}`),
    ],
    stdin: "null",
    stdout: "piped",
    // It tells of every connection that the load has ended by a reset.
    stderr: "null",
  }).spawn();
  const places = new Map<number, Place>();
  const ready = Promise.withResolvers<void>();
  void (async () => {
    let text = "";
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      if (places.size === ports.length) continue;
      text += piece;
      for (const [, local, remote] of text.matchAll(/127\.0\.0\.1:(\d+) -> (\d+)/g)) {
        places.set(Number(remote), { host: "127.0.0.1", port: Number(local) });
      }
      if (places.size === ports.length) ready.resolve();
    }
    ready.reject(new Error("kubectl port-forward has ended"));
  })();
  await ready.promise;
  return {
    name: "kubectl",
    place: (port) => places.get(port)!,
    pids: () => family(child.pid),
    async close() {
      for (const pid of family(child.pid).reverse()) {
        try {
          Deno.kill(pid, "SIGTERM");
        } catch {
          // It has ended.
        }
      }
      await child.status;
    },
  };
}

/** A session of the compiled binary in a sandbox of its own. */
export class Czctl implements Tool {
  readonly name = "czctl";
  #places = new Map<number, Place>();

  private constructor(
    readonly box: Sandbox,
    private readonly env: Record<string, string>,
  ) {}

  /** Another build than dist/czctl, to compare two. */
  static binary = CZCTL;

  static async open(cluster: Cluster, context: string): Promise<Czctl> {
    const tool = new Czctl(await Sandbox.create(), { KUBECONFIG: cluster.kubeconfig });
    try {
      await tool.run("teleport", "namespace", NAMESPACE, "--context", context);
      const { sessions } = JSON.parse(await tool.run("session", "list", "-o", "json"));
      for (const service of sessions[0].services) {
        for (const { port } of service.ports) {
          tool.#places.set(port, { host: service.address, port });
        }
      }
      return tool;
    } catch (error) {
      await tool.box.close();
      throw error;
    }
  }

  async run(...args: string[]): Promise<string> {
    const output = await this.box.run([Czctl.binary, ...args], {
      env: this.env,
      timeoutMs: 120_000,
    });
    if (output.code !== 0) {
      throw new Error(`czctl ${args.join(" ")}: ${output.stdout}${output.stderr}`);
    }
    return output.stdout;
  }

  place(port: number): Place {
    return this.#places.get(port)!;
  }

  pids(): number[] {
    return this.box.processes("czfwd");
  }

  async close(): Promise<void> {
    try {
      await this.run("session", "close", "--all");
      await until("every czfwd has ended", () => this.pids().length === 0);
    } finally {
      await this.box.close();
    }
  }
}
