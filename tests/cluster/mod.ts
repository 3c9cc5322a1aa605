/**
 * The test cluster: a real HTTPS Kubernetes API server on loopback with real
 * pods behind it. See README.md.
 */
import { join } from "node:path";
import { bundleServer } from "./bundle.ts";
import { guide, type Obj } from "./fixtures.ts";
import {
  DEFAULT_FORWARD,
  DEFAULT_TIMINGS,
  DEFAULT_USERS,
  type ForwardTimings,
  type ReadyLine,
  type ServerConfig,
  type Timings,
  type UserConfig,
} from "./server/config.ts";
import type { Control } from "./server/control_api.ts";

export * from "./fixtures.ts";
export { DEFAULT_USERS, GRACEFUL, LEAST_RIGHTS } from "./server/config.ts";
export type { ForwardTimings, Rule, Timings, UserConfig } from "./server/config.ts";
export type { Control, Counters, PodPlace } from "./server/control_api.ts";

export interface ClusterOptions {
  /** "guide": the guide's six services in `sample-project`; or objects of one's own. */
  readonly fixtures?: "guide" | "empty" | readonly Obj[];
  /** Contexts of the kubeconfig; the default has admin, token, exec, least, none. */
  readonly users?: readonly UserConfig[];
  readonly timings?: Partial<Timings>;
  readonly forward?: Partial<ForwardTimings>;
  /** Port of the API server; any by default. */
  readonly port?: number;
  /** Processes that carry port-forwards (1). */
  readonly gateways?: number;
  readonly lazyPods?: boolean;
  /** Delay on the wire, each way, in ms. */
  readonly delayMs?: number;
  /** Kubernetes version shown, e.g. "1.36". */
  readonly version?: string;
}

export interface Cluster {
  /** Path of the generated kubeconfig; contexts: admin (current), token, exec, least, none. */
  readonly kubeconfig: string;
  /** URL of the API server at the start; `control.restart` can move it. */
  readonly url: string;
  readonly caPem: string;
  readonly contexts: readonly string[];
  readonly control: Control;
  readonly controlUrl: string;
  readonly folder: string;
  /** Of the API process; the others are its children. */
  readonly pid: number;
  /** Ends every process and removes the folder. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A client of the control API of a cluster, from any process. */
export function controlClient(url: string): Control {
  return new Proxy({} as Control, {
    get: (_target, name) => async (params: unknown = {}) => {
      const response = await fetch(`${url}/${String(name)}`, {
        method: "POST",
        body: JSON.stringify(params),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(`Test cluster: ${answer.error}`);
      return answer;
    },
  });
}

async function readLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The test cluster ended before it was ready");
    text += value;
  }
  await reader.cancel();
  return text.slice(0, text.indexOf("\n"));
}

/** Starts a cluster and resolves when everything in it is ready. Needs Node >= 20 on the PATH. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const bundle = await bundleServer();
  const folder = await Deno.makeTempDir({ prefix: "test-cluster-" });
  const fixtures = options.fixtures ?? "guide";
  const config: ServerConfig = {
    folder,
    objects: fixtures === "guide" ? guide() : fixtures === "empty" ? [] : fixtures,
    users: options.users ?? DEFAULT_USERS,
    timings: { ...DEFAULT_TIMINGS, ...options.timings },
    forward: { ...DEFAULT_FORWARD, ...options.forward },
    port: options.port ?? 0,
    gateways: options.gateways ?? 1,
    lazyPods: options.lazyPods ?? false,
    delayMs: options.delayMs ?? 0,
    version: options.version ?? "1.36",
  };
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command("node", {
      args: [bundle, "api"],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
  } catch (cause) {
    await Deno.remove(folder, { recursive: true });
    throw new Error("Cannot start the test cluster: it needs Node 20 or newer on the PATH", {
      cause,
    });
  }
  const input = child.stdin.getWriter();
  let closed: Promise<void> | undefined;
  const close = () =>
    closed ??= (async () => {
      await input.close().catch(() => {});
      await child.status;
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    })();
  try {
    await input.write(new TextEncoder().encode(`${JSON.stringify(config)}\n`));
    const ready: ReadyLine = JSON.parse(await readLine(child.stdout));
    return {
      kubeconfig: join(folder, "kubeconfig"),
      url: ready.url,
      caPem: ready.caPem,
      contexts: ready.contexts,
      controlUrl: ready.controlUrl,
      control: controlClient(ready.controlUrl),
      folder,
      pid: ready.pid,
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
