/** Everything a cluster does to a session, and every kind of connection, for a while. */
import assert from "node:assert/strict";
import { type Cluster, deployment, type Obj, service, startCluster } from "../cluster/mod.ts";
import { cpuSeconds, pssMegabytes } from "../bench/processes.ts";
import { Sandbox, until } from "../e2e/sandbox.ts";
import { type Sockets, socketsOf } from "./sockets.ts";

const NAMESPACE = "soak";
const TRAFFIC = new URL("traffic.mjs", import.meta.url).pathname;
/** Connections under way at a time. */
const LINES = 40;
/** Between two things the cluster does, in ms. */
const STEP_MS = 700;
/** A session follows a change of the cluster within this, in ms. */
const FOLLOW_MS = 10_000;

export interface SoakReport {
  readonly seconds: number;
  /** How often each kind of connection was made. */
  readonly done: Readonly<Record<string, number>>;
  /** Connections cut by a disturbance that may cut them (the API server restarted, links dropped). */
  readonly excused: Readonly<Record<string, number>>;
  readonly steps: Readonly<Record<string, number>>;
  readonly before: Sockets;
  readonly after: Sockets;
  /** Memory of svc and helper in MB: least after a third of the time, least in the last third. */
  readonly memory: readonly [number, number];
  /** CPU share of svc when everything is over. */
  readonly idleCpu: number;
}

const GRACE_SECONDS = 15;

function fixtures(): Obj[] {
  const wild = {
    echo: 8081,
    source: 8082,
    reset: 8084,
    refuse: 8085,
  };
  const stuck = { calm: 8087, stall: 8086 };
  return [
    deployment(NAMESPACE, "web", {
      programs: ["http=8080"],
      ports: { http: 8080 },
      replicas: 3,
      // A removed pod finishes what it has begun, on a busy machine, too.
      graceSeconds: GRACE_SECONDS,
    }),
    service(NAMESPACE, "web", "web", [{ name: "http", port: 80, targetPort: "http" }]),
    ...([["wild", wild, 2], ["stuck", stuck, 1]] as const).flatMap(([name, ports, replicas]) => [
      deployment(NAMESPACE, name, {
        programs: Object.entries(ports).map(([program, port]) =>
          `${program === "calm" ? "echo" : program}=${port}`
        ),
        ports,
        replicas,
      }),
      service(
        NAMESPACE,
        name,
        name,
        Object.entries(ports).map(([port, number]) => ({
          name: port,
          port: number,
          targetPort: port,
        })),
      ),
    ]),
  ];
}

interface Service {
  readonly name: string;
  readonly address: string;
  readonly ports: readonly { readonly port: number; readonly state: string }[];
}

class Soak {
  readonly steps: Record<string, number> = {};
  #extras = 0;
  #present: string[] = [];
  readonly #env: Record<string, string>;

  constructor(
    readonly cluster: Cluster,
    readonly box: Sandbox,
    readonly disturb: (on: boolean) => Promise<void>,
  ) {
    this.#env = { KUBECONFIG: cluster.kubeconfig };
  }

  async czctl(...args: string[]): Promise<string> {
    const output = await this.box.czctl(args, { env: this.#env });
    assert.equal(output.code, 0, `czctl ${args.join(" ")}: ${output.stdout}${output.stderr}`);
    return output.stdout;
  }

  async services(): Promise<Service[]> {
    const { sessions } = JSON.parse(await this.czctl("session", "list", "-o", "json"));
    return sessions[0].services;
  }

  get svc(): number {
    const pids = this.box.processes("czfwd");
    const svc = pids.find((pid) =>
      Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0")[1] === "svc"
    );
    assert.ok(svc !== undefined, "svc runs");
    return svc;
  }

  sockets(): Sockets {
    return socketsOf(this.svc, Number(new URL(this.cluster.url).port));
  }

  /** One thing after the other, each checked where it has a result. */
  readonly kinds: Record<string, () => Promise<void>> = {
    rollout: async () => {
      await this.cluster.control.rollout({ namespace: NAMESPACE, deployment: "web" });
    },
    add: async () => {
      const name = `extra-${this.#extras++}`;
      await this.cluster.control.apply({
        objects: [
          service(NAMESPACE, name, "web", [{ name: "http", port: 8000, targetPort: "http" }]),
        ],
      });
      this.#present.push(name);
      await until(
        `${name} listens`,
        async () =>
          (await this.services()).some((one) =>
            one.name === name && one.ports.some((port) => port.state === "listening")
          ),
        FOLLOW_MS,
      );
    },
    edit: async () => {
      const name = this.#present.at(-1);
      if (name === undefined) return;
      const port = 8001 + Math.floor(Math.random() * 100);
      await this.cluster.control.apply({
        objects: [service(NAMESPACE, name, "web", [{ name: "http", port, targetPort: "http" }])],
      });
      await until(
        `${name} listens on ${port}`,
        async () =>
          (await this.services()).some((one) =>
            one.name === name && one.ports.some((each) => each.port === port)
          ),
        FOLLOW_MS,
      );
    },
    remove: async () => {
      const name = this.#present.shift();
      if (name === undefined) return;
      await this.cluster.control.remove({ resource: "services", namespace: NAMESPACE, name });
      await until(
        `${name} is gone`,
        async () => (await this.services()).every((one) => one.name !== name),
        FOLLOW_MS,
      );
    },
    scale: async () => {
      const replicas = 2 + Math.floor(Math.random() * 3);
      await this.cluster.control.scale({ namespace: NAMESPACE, name: "web", replicas });
    },
    cutWatches: async () => {
      await this.cluster.control.cutWatches({});
    },
    expireWatches: async () => {
      await this.cluster.control.expireWatches({});
    },
    dropLinks: async () => {
      await this.disturb(true);
      await this.cluster.control.drop({ what: "links" });
      await this.disturb(false);
    },
    // Every link is up and answers nothing, as after a change of networks.
    freeze: async () => {
      await this.disturb(true);
      await this.cluster.control.freeze({ frozen: true });
      await new Promise((resolve) => setTimeout(resolve, FREEZE_MS));
      await this.cluster.control.freeze({ frozen: false });
      await this.disturb(false);
    },
    restart: async () => {
      await this.disturb(true);
      await this.cluster.control.restart({ downMs: 300 });
      await this.disturb(false);
    },
  };

  async step(kind: string): Promise<void> {
    await this.kinds[kind]!();
    this.steps[kind] = (this.steps[kind] ?? 0) + 1;
  }

  /** Back to the services there were at first. */
  async clear(): Promise<void> {
    while (this.#present.length > 0) await this.step("remove");
  }
}

/** Seldom ones once, the others several times; repeated until the time is up. */
const ROUND = [
  ...["add", "rollout", "edit", "cutWatches", "add", "scale", "remove", "dropLinks"],
  ...["edit", "rollout", "remove", "expireWatches", "restart"],
];

/** A half-open network is noticed within 15 s; until then whatever goes over it may hang, in ms. */
const FREEZE_MS = 16_000;

/** Runs it all for `ms`, then compares with the beginning. Throws when anything is not as it must be. */
export async function soak(ms: number, say: (text: string) => void): Promise<SoakReport> {
  await using cluster = await startCluster({
    fixtures: fixtures(),
    timings: { maxGraceMs: GRACE_SECONDS * 1000 },
  });
  const box = await Sandbox.create();
  let traffic: Traffic | undefined;
  let failed = true;
  try {
    let tell = (_line: unknown): Promise<void> => Promise.resolve();
    const run = new Soak(cluster, box, (disturbed) => tell({ disturbed }));
    const hostsBefore = await box.hosts();
    await run.czctl("teleport", "namespace", NAMESPACE, "--context", "token");
    const places: Record<string, { host: string; port: number }> = {};
    const byPort: Record<number, string> = {
      80: "http",
      8081: "echo",
      8082: "source",
      8084: "reset",
      8085: "refuse",
      8086: "stall",
      8087: "calm",
    };
    for (const { address, ports } of await run.services()) {
      for (const { port } of ports) places[byPort[port]!] = { host: address, port };
    }
    const before = run.sockets();

    traffic = startTraffic(places);
    tell = traffic.tell;

    const memory: { at: number; megabytes: number }[] = [];
    const start = performance.now();
    const sampler = setInterval(
      () => memory.push({ at: performance.now() - start, megabytes: pssMegabytes([run.svc]) }),
      500,
    );
    try {
      const round = ms > WARM_MS ? [...ROUND, "freeze"] : ROUND;
      for (let i = 0; performance.now() - start < ms; i++) {
        await run.step(round[i % round.length]!);
        if (i % round.length === round.length - 1) {
          const { accepted, toServer } = run.sockets();
          say(
            `${((performance.now() - start) / 1000).toFixed(0)} s  ${
              memory.at(-1)?.megabytes.toFixed(0)
            } MB  ${accepted} connections, ${toServer} to the API server`,
          );
        }
        await new Promise((resolve) => setTimeout(resolve, STEP_MS));
      }
    } finally {
      clearInterval(sampler);
    }
    const seconds = (performance.now() - start) / 1000;
    await tell({ stop: true });
    const { done, excused, failures } = JSON.parse(await traffic.line());
    assert.ok((await traffic.child.status).success, "the traffic ran to its end");
    say(`traffic over after ${((performance.now() - start) / 1000).toFixed(0)} s`);
    assert.deepEqual(failures, [], "no connection failed that must not");
    await run.clear();

    // The stalled pod goes first: what it has not taken waits for as long as it is there, and a
    // server that waits for it does not notice that its client has left.
    await cluster.control.rollout({ namespace: NAMESPACE, deployment: "stuck" });
    const after = await settled(run, before);
    await zombieFree(cluster);
    say(`settled after ${((performance.now() - start) / 1000).toFixed(0)} s`);
    const idleCpu = await idleShare(run.svc);
    assert.ok(idleCpu < IDLE_CPU, `svc is at rest, not at ${(idleCpu * 100).toFixed(1)} % CPU`);
    const trend = memoryTrend(memory, ms);
    const log = await box.sh(
      "grep -hE '^[^ ]+ error |Cannot accept a connection' ~/.codezero/log/czfwd.log* || true",
    );
    assert.equal(log.stdout, "", "nothing went wrong inside");
    await run.czctl("session", "close");
    await until("every czfwd has ended", () => box.processes("czfwd").length === 0);
    assert.deepEqual(await box.hosts(), hostsBefore, "the hosts file is as before");
    failed = false;
    return { seconds, done, excused, steps: run.steps, before, after, memory: trend, idleCpu };
  } finally {
    if (traffic !== undefined) {
      try {
        traffic.child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await traffic.child.status;
      await traffic.close();
    }
    if (failed) say((await box.sh("tail -50 ~/.codezero/log/czfwd.log")).stdout);
    await box.close();
  }
}

interface Traffic {
  readonly child: Deno.ChildProcess;
  /** Resolves when the traffic knows. */
  tell(command: unknown): Promise<void>;
  /** The next line it prints. */
  line(): Promise<string>;
  close(): Promise<void>;
}

function startTraffic(places: Record<string, { host: string; port: number }>): Traffic {
  const child = new Deno.Command("node", {
    args: [TRAFFIC, JSON.stringify({ places, lines: LINES })],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const input = child.stdin.getWriter();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const line = async () => {
    for (;;) {
      const end = text.indexOf("\n");
      if (end >= 0) {
        const found = text.slice(0, end);
        text = text.slice(end + 1);
        return found;
      }
      const { value, done } = await output.read();
      if (done) throw new Error("The traffic has ended");
      text += value;
    }
  };
  return {
    child,
    line,
    async tell(command) {
      await input.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`));
      await line();
    },
    async close() {
      await input.close().catch(() => {});
      await output.cancel();
    },
  };
}

/** CPU of svc with nobody using it: a timer that was left behind would show here. */
const IDLE_CPU = 0.05;

async function idleShare(pid: number): Promise<number> {
  const seconds = 3;
  const from = cpuSeconds([pid]);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  return (cpuSeconds([pid]) - from) / seconds;
}

/** A pod has a second link when a program that reads nothing has held up the first. */
const LINKS_PER_POD = 2;

/** Waits until nothing is open that was not open at first, but for links that are kept for a while. */
async function settled(run: Soak, before: Sockets): Promise<Sockets> {
  let after = run.sockets();
  const pods = (await run.cluster.control.pods()).filter((pod) => pod.namespace === NAMESPACE);
  const links = pods.length * LINKS_PER_POD;
  await until(
    "what the traffic opened is closed",
    () => {
      after = run.sockets();
      return after.accepted === before.accepted && after.closeWait === 0 &&
        after.listening === before.listening && after.toServer <= before.toServer + links &&
        after.descriptors <= before.descriptors + links;
    },
    20_000,
  ).catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify({ before, after, links })}`);
  });
  return after;
}

/** No link is left to a pod that is no more, and no stream is open in any. */
async function zombieFree(cluster: Cluster): Promise<void> {
  let left: unknown[] = [];
  await until("no stream is open and no link leads to a removed pod", async () => {
    const pods = await cluster.control.pods();
    const names = new Set(pods.map((pod) => `${pod.namespace}/${pod.name}`));
    const { links } = await cluster.control.counters();
    left = links.filter((link) => link.streams > 0 || !names.has(link.pod));
    return left.length === 0 && pods.every((pod) => !pod.terminating);
  }, 20_000).catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify(left)}`);
  });
}

/** Least memory in the second and in the last third of the run: what garbage comes and goes is out of it. */
function memoryTrend(
  samples: readonly { at: number; megabytes: number }[],
  ms: number,
): [number, number] {
  const least = (from: number, to: number) =>
    Math.min(
      ...samples.filter(({ at }) => at >= from * ms && at < to * ms).map((one) => one.megabytes),
    );
  const middle = least(1 / 3, 2 / 3);
  const last = least(2 / 3, 1);
  assert.ok(last < MEMORY_MAX_MB, `memory stays bounded: ${last.toFixed(0)} MB`);
  if (ms < WARM_MS) return [middle, last];
  assert.ok(
    last - middle < MEMORY_TREND_MB,
    `memory does not grow: ${middle.toFixed(0)} MB, then ${last.toFixed(0)} MB`,
  );
  return [middle, last];
}

/** Traffic like this needs 75 to 115 MB; every stalled program may hold some more. */
const MEMORY_MAX_MB = 180;
/** Heaps and buffers grow to their size in the first minute: a shorter run shows no trend, in ms. */
const WARM_MS = 150_000;
/** More than this between the thirds of a run is a leak, in MB; five minutes showed 0. */
const MEMORY_TREND_MB = 15;
