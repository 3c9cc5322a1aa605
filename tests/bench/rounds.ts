/** Runs the loads, tool after tool, round after round. */
import { type Cluster, deployment, service, startCluster } from "../cluster/mod.ts";
import type { Kubectl } from "../cluster/kubectl.ts";
import { type Credentials, type LoadResult, type Measure, PORTS } from "./measures.ts";
import { family, lastArgument, pssMegabytes } from "./processes.ts";
import { until } from "../e2e/sandbox.ts";
import { Czctl, direct, kubectl, NAMESPACE, type Place, type Tool } from "./tools.ts";

const LOAD = new URL("load.mjs", import.meta.url).pathname;
export const CONTEXT: Record<Credentials, string> = { token: "token", certificate: "admin" };

/** The cluster all of this runs against: one pod, in a process of its own. */
export function benchCluster(): Promise<Cluster> {
  const { http, echo, source, sink } = PORTS;
  return startCluster({
    fixtures: [
      deployment(NAMESPACE, "bench", {
        programs: [`http=${http}`, `echo=${echo}`, `source=${source}`, `sink=${sink}`],
        ports: PORTS,
        annotations: { "test-cluster/process": "own" },
      }),
      service(
        NAMESPACE,
        "bench",
        "bench",
        Object.entries(PORTS).map(([name, port]) => ({ name, port, targetPort: name })),
      ),
    ],
  });
}

/** The cluster's processes by role, for what the rest of the way costs. */
export function clusterPids(cluster: Cluster): Record<string, number[]> {
  const roles: Record<string, number[]> = { api: [], gateway: [], pods: [] };
  for (const pid of family(cluster.pid)) (roles[lastArgument(pid)] ??= []).push(pid);
  return roles;
}

export interface LoadOptions {
  readonly place: Place;
  readonly load: Readonly<Record<string, unknown>>;
  readonly pids?: Readonly<Record<string, readonly number[]>>;
  readonly ms?: number;
}

function startLoad(options: LoadOptions): Deno.ChildProcess {
  const { place, load, ...more } = options;
  return new Deno.Command("node", {
    args: [LOAD, JSON.stringify({ ...place, ...load, ...more })],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** Runs one load to its end. Throws when a connection failed. */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const child = startLoad(options);
  const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
  await child.stdin.close();
  const { success, stdout } = await child.output();
  clearTimeout(timer);
  if (!success) throw new Error(`The load "${options.load.load}" failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Runs `act` while a load that only keeps connections open (`hold`, `stall`) does so. */
export async function whileOpen<T>(
  place: Place,
  load: Readonly<Record<string, unknown>>,
  act: () => Promise<T>,
): Promise<T> {
  const child = startLoad({ place, load });
  const reader = child.stdout.getReader();
  try {
    const { done } = await reader.read();
    if (done) throw new Error(`The load "${load.load}" cannot open its connections`);
    return await act();
  } finally {
    await child.stdin.close().catch(() => {});
    await reader.cancel();
    await child.status;
  }
}

/** Whose a figure is. */
export interface ToolRow {
  readonly tool: Tool["name"];
  readonly credentials: Credentials;
}

/** Starts kubectl with every port of the pod, and czctl. */
function contenders(
  cluster: Cluster,
  program: Kubectl,
  credentials: Credentials,
): readonly (() => Promise<Tool>)[] {
  const context = CONTEXT[credentials];
  return [
    () => kubectl(cluster, program, context, Object.values(PORTS)),
    () => Czctl.open(cluster, context),
  ];
}

/** What `measure` finds out about kubectl and czctl, each started anew and closed before the next. */
export async function eachTool<Figures>(
  cluster: Cluster,
  program: Kubectl,
  credentials: Credentials,
  measure: (tool: Tool) => Promise<readonly Figures[]>,
): Promise<(ToolRow & Figures)[]> {
  const rows: (ToolRow & Figures)[] = [];
  for (const start of contenders(cluster, program, credentials)) {
    const tool = await start();
    try {
      for (const figures of await measure(tool)) {
        rows.push({ tool: tool.name, credentials, ...figures });
      }
    } finally {
      await tool.close();
    }
  }
  return rows;
}

export interface Sample extends ToolRow {
  readonly figure: string;
  readonly value: number;
  /** CPU seconds within the window, by who used them, and the work done in it. */
  readonly cpu: Readonly<Record<string, number>>;
  readonly amount: number;
  readonly seconds: number;
}

export interface LoadedMemory extends ToolRow {
  readonly megabytes: number;
}

export interface RoundOptions {
  /** Loads that failed, in words: nothing of them is in the samples. */
  readonly failures: string[];
  /** Filled with the memory of each tool (PSS, MB) once all its loads are over. */
  readonly afterLoad: LoadedMemory[];
  readonly cluster: Cluster;
  readonly kubectl: Kubectl;
  readonly credentials: Credentials;
  readonly measures: readonly Measure[];
  readonly rounds: number;
  readonly ms: number;
  readonly say: (text: string) => void;
}

/** How long a stream may go on after its connection has ended, in ms: a second, by containerd. */
const SETTLE_MS = 5000;

/**
 * Waits until nothing of the load before is under way any more: the far end goes on sending for a
 * second after a connection was given up, over the tunnel and at the cost of whoever is next.
 */
export async function settled(cluster: Cluster): Promise<void> {
  await until("the load before has ended", async () => {
    const { links } = await cluster.control.counters();
    return links.every((link) => link.streams === 0);
  }, SETTLE_MS);
}

async function measured(
  options: RoundOptions,
  measure: Measure,
  tool: Tool,
): Promise<LoadResult | undefined> {
  const { gateway = [], pods = [] } = clusterPids(options.cluster);
  try {
    await settled(options.cluster);
    await options.cluster.control.records({ single: measure.records ?? false });
    return await runLoad({
      place: tool.place(measure.port),
      load: measure.load,
      pids: { tool: tool.pids(), gateway, pods },
      ms: options.ms,
    });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const failure = `${tool.name}, ${options.credentials}, ${measure.figures[0]!.title}: ${text}`;
    options.failures.push(failure);
    options.say(failure);
    return undefined;
  }
}

/** kubectl and czctl in turn, and once straight to the pod. */
export async function runRounds(options: RoundOptions): Promise<Sample[]> {
  const { cluster, credentials, measures } = options;
  const samples: Sample[] = [];
  const tools: Tool[] = [];
  try {
    const straight = await direct(cluster);
    for (const start of contenders(cluster, options.kubectl, credentials)) {
      tools.push(await start());
    }
    // The first round does not count: what is compiled while it runs (czctl, the test cluster) is
    // slower in its first seconds, kubectl is not.
    for (let round = 0; round <= options.rounds; round++) {
      // Who is first changes: whatever the first leaves behind falls on both.
      const order = round % 2 === 0 ? tools.toReversed() : tools;
      for (const measure of measures) {
        for (const tool of round === 1 && credentials === "token" ? [...order, straight] : order) {
          const result = await measured(options, measure, tool);
          if (result === undefined || round === 0) continue;
          const { cpu, amount, seconds } = result;
          for (const figure of measure.figures) {
            samples.push({
              figure: figure.id,
              tool: tool.name,
              credentials,
              value: figure.value(result),
              cpu,
              amount,
              seconds,
            });
          }
          const figure = measure.figures[0]!;
          options.say(
            `${credentials} ${round}/${options.rounds}  ${tool.name.padEnd(8)}` +
              `${figure.title.padEnd(45)}${figure.value(result).toFixed(figure.digits)} ` +
              `${figure.unit}   ${
                Object.entries(cpu).map(([who, s]) => `${who} ${(s / seconds * 100).toFixed(0)}%`)
                  .join(" ")
              }`,
          );
        }
      }
    }
    for (const tool of tools) {
      const megabytes = pssMegabytes(tool.pids());
      options.afterLoad.push({ tool: tool.name, credentials, megabytes });
    }
    return samples;
  } finally {
    for (const tool of tools) await tool.close();
  }
}
