/** How czctl grows with the number of services. */
import { join } from "node:path";
import { scale, startCluster } from "../cluster/mod.ts";
import { Sandbox } from "../e2e/sandbox.ts";
import { cpuSeconds, pssMegabytes } from "./processes.ts";

export interface ScaleStep {
  readonly services: number;
  readonly pods: number;
}

export const STEPS: readonly ScaleStep[] = [
  { services: 10, pods: 100 },
  { services: 100, pods: 1000 },
  { services: 1000, pods: 10_000 },
];

export interface ScaleRow extends ScaleStep {
  readonly ports: number;
  /** `czctl teleport` from start to return. */
  readonly openSeconds: number;
  /** CPU of czctl and svc until then. */
  readonly openCpu: number;
  /** svc and helper, once open. */
  readonly megabytes: number;
  /** Of the test cluster while opening: TCP connections ever, and requests. */
  readonly connections: number;
  readonly requests: number;
  /** Writes of /etc/hosts by opening, by the rollout. */
  readonly hostsWrites: number;
  readonly rolloutHostsWrites: number;
  /** A new pod for each service: changes of pods and of EndpointSlices, and what they cost svc. */
  readonly rolloutPodEvents: number;
  readonly rolloutSliceEvents: number;
  readonly rolloutCpu: number;
  readonly rolloutSeconds: number;
  readonly closeSeconds: number;
}

/** Without a change for this long, in ms: it is over. */
const CALM_MS = 1000;

/** Counts changes of the sandbox's hosts file: a rename onto it, or a write into it. */
function countWrites(box: Sandbox): { count(): number; close(): void } {
  const path = join(box.folder, "etc", "hosts");
  let writes = 0;
  let last = "";
  const look = () => {
    try {
      const { ino, mtime, size } = Deno.statSync(path);
      const now = `${ino} ${mtime?.getTime()} ${size}`;
      if (now !== last) writes++;
      last = now;
    } catch {
      // Between two names.
    }
  };
  look();
  writes = 0;
  const watcher = Deno.watchFs(join(box.folder, "etc"));
  void (async () => {
    for await (const event of watcher) {
      if (event.paths.some((one) => one === path)) look();
    }
  })();
  return {
    count() {
      look();
      return writes;
    },
    close: () => watcher.close(),
  };
}

function seconds(from: number): number {
  return (performance.now() - from) / 1000;
}

/** Waits until `value` has been the same for `calmMs`. */
async function calm(value: () => number | Promise<number>, calmMs: number, limitMs: number) {
  const from = performance.now();
  let last = await value();
  let since = from;
  while (performance.now() - since < calmMs) {
    if (performance.now() - from > limitMs) throw new Error("It never comes to rest");
    await new Promise((resolve) => setTimeout(resolve, 100));
    const now = await value();
    if (now !== last) since = performance.now();
    last = now;
  }
}

export async function scaleStep(step: ScaleStep): Promise<ScaleRow> {
  await using cluster = await startCluster({
    fixtures: scale({ ...step, namespace: "scale" }),
    lazyPods: true,
  });
  const box = await Sandbox.create();
  const env = { KUBECONFIG: cluster.kubeconfig };
  const czctl = async (...args: string[]) => {
    const output = await box.czctl(args, { env, timeoutMs: 120_000 });
    if (output.code !== 0) throw new Error(`czctl ${args.join(" ")}: ${output.stderr}`);
    return output.stdout;
  };
  const pids = () => box.processes("czfwd");
  const writes = countWrites(box);
  try {
    await cluster.control.resetCounters();
    const before = await cluster.control.counters();
    const start = performance.now();
    await czctl("teleport", "namespace", "scale", "--context", "token");
    const openSeconds = seconds(start);
    const after = await cluster.control.counters();
    const openCpu = cpuSeconds(pids());
    const { sessions } = JSON.parse(await czctl("session", "list", "-o", "json"));
    const ports = sessions[0].services
      .flatMap((one: { ports: { state: string }[] }) => one.ports)
      .filter((one: { state: string }) => one.state !== "blocked").length;
    // What opening leaves to do (the garbage it made, checks of names) is over.
    await calm(() => cpuSeconds(pids()), CALM_MS, 20_000);
    const megabytes = pssMegabytes(pids());
    const hostsWrites = writes.count();

    const victims = new Map<string, string>();
    for (const pod of await cluster.control.pods()) {
      victims.set(pod.name.replace(/-[^-]+-[^-]+$/, ""), pod.name);
    }
    await cluster.control.resetCounters();
    const changes = async () => (await cluster.control.counters()).changes;
    const cpuBefore = cpuSeconds(pids());
    const rolloutStart = performance.now();
    // Every service gets one pod anew, together and as fast as the cluster does it.
    for (const name of victims.values()) {
      await cluster.control.remove({ resource: "pods", namespace: "scale", name });
    }
    await calm(async () => (await changes()).pods ?? 0, CALM_MS, 120_000);
    const rolloutSeconds = seconds(rolloutStart) - CALM_MS / 1000;
    await calm(() => cpuSeconds(pids()), CALM_MS, 20_000);
    const rolloutCpu = cpuSeconds(pids()) - cpuBefore;
    const rolloutHostsWrites = writes.count() - hostsWrites;
    const { pods: rolloutPodEvents = 0, endpointslices: rolloutSliceEvents = 0 } = await changes();

    const closing = performance.now();
    await czctl("session", "close");
    const closeSeconds = seconds(closing);
    return {
      ...step,
      ports,
      openSeconds,
      openCpu,
      megabytes,
      connections: after.connectionsTotal - before.connectionsTotal,
      requests: Object.values(after.requests).reduce((sum, one) => sum + one, 0),
      hostsWrites,
      rolloutHostsWrites,
      rolloutPodEvents,
      rolloutSliceEvents,
      rolloutCpu,
      rolloutSeconds,
      closeSeconds,
    };
  } finally {
    writes.close();
    await box.close();
  }
}
