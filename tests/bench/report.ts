/** The results as one page: what `--write` puts into docs/performance.md. */
import { cpus, totalmem } from "node:os";
import type { Kubectl } from "../cluster/kubectl.ts";
import { SHARE_GOAL, type StalledRow } from "./stalled.ts";
import { DELAY_MS, FAR_GOAL, type FarRow } from "./far.ts";
import { type Credentials, MEASURES } from "./measures.ts";
import { HELD, IDLE_SERVICES, type MemoryRow } from "./memory.ts";
import type { LoadedMemory, Sample } from "./rounds.ts";
import type { ScaleRow } from "./scale.ts";
import { comparison, median, metText, rowsOf, spread, table, valuesOf } from "./table.ts";

export interface Results {
  readonly rounds: number;
  readonly windowMs: number;
  readonly kubectl: Kubectl;
  /** `czctl version`, one line. */
  readonly czctl: string;
  readonly samples: readonly Sample[];
  readonly memory: readonly MemoryRow[];
  /** MB with IDLE_SERVICES services; undefined when not measured. */
  readonly idle?: number;
  readonly far: readonly FarRow[];
  readonly stalled: readonly StalledRow[];
  readonly scale: readonly ScaleRow[];
  /** Run queue of the machine before the first load and after the last: others' work. */
  readonly load: readonly [number, number];
  readonly minutes: number;
  readonly failures: readonly string[];
  readonly afterLoad: readonly LoadedMemory[];
}

const NAMES: Record<Credentials, string> = {
  token: "token credentials",
  certificate: "client certificates",
};

/** Markers in docs/performance.md between which the results stand. */
export const BEGIN = "<!-- results: written by `deno task bench -- --write` -->";
export const END = "<!-- end of results -->";

export function report(results: Results): string {
  const parts = [conditions(results)];
  for (const credentials of ["token", "certificate"] as const) {
    const rows = rowsOf(results.samples, credentials);
    if (rows.length > 0) parts.push(`### With ${NAMES[credentials]}`, comparison(rows));
  }
  if (results.samples.length > 0) {
    parts.push("### What the rest of the way costs", restOfTheWay(results.samples));
  }
  if (results.far.length > 0) {
    parts.push(`### A far-away cluster (${DELAY_MS} ms more each way)`, far(results.far));
  }
  if (results.stalled.length > 0) {
    parts.push("### Beside a program that reads nothing", stalled(results.stalled));
  }
  if (results.memory.length + results.afterLoad.length > 0 || results.idle !== undefined) {
    parts.push("### Memory (sum of PSS over the tool's processes, MB)", memory(results));
  }
  if (results.scale.length > 0) parts.push("### From 10 to 1,000 services", scale(results.scale));
  return `${parts.join("\n\n")}\n`;
}

function conditions(results: Results): string {
  const machine = `${cpus().length} cores, ${(totalmem() / 1e9).toFixed(0)} GB of memory`;
  const spreads = MEASURES.flatMap((measure) =>
    (["kubectl", "czctl"] as const).flatMap((tool) =>
      (["token", "certificate"] as const).flatMap((credentials) => {
        const values = valuesOf(results.samples, measure.figures[0]!.id, tool, credentials);
        return values.length > 1 ? [spread(values)] : [];
      })
    )
  );
  const others = results.samples.map(({ cpu, seconds }) => {
    const { machine = 0, ...ours } = cpu;
    const used = Object.values(ours).reduce((sum, one) => sum + one, 0);
    return Math.max(0, machine - used) / seconds / cpus().length;
  });
  return [
    `- ${new Date().toISOString().slice(0, 10)}, ${machine}, Linux`,
    `- ${results.czctl} (compiled), Deno ${Deno.version.deno}, kubectl ${results.kubectl.version}`,
    `- ${results.rounds} rounds in turn, ${results.windowMs} ms each, after a round that does not count; medians`,
    ...results.failures.map((failure) => `- **failed**: ${failure}`),
    `- the whole run took ${results.minutes.toFixed(1)} minutes; run queue of the machine ` +
    `${results.load[0].toFixed(1)} before and ${results.load[1].toFixed(1)} after it` +
    (spreads.length > 0
      ? `; between rounds a figure moved by ±${(median(spreads) * 100).toFixed(0)} % (median), ±${
        (Math.max(...spreads) * 100).toFixed(0)
      } % at worst; other work took ${(median(others) * 100).toFixed(0)} % of the machine`
      : ""),
  ].join("\n");
}

/** Work per CPU second, by who used it: what no ratio of speeds can show on a machine this small. */
function restOfTheWay(samples: readonly Sample[]): string {
  const rows: string[][] = [];
  for (const measure of MEASURES) {
    const figure = measure.figures[0]!;
    const unit = figure.unit === "MB/s" ? 1e9 : 1e3;
    for (const tool of ["kubectl", "czctl", "direct"] as const) {
      const mine = samples.filter((one) =>
        one.figure === figure.id && one.tool === tool && one.credentials === "token"
      );
      if (mine.length === 0) continue;
      const cost = (who: string) =>
        median(mine.map((one) => (one.cpu[who] ?? 0) / (one.amount / unit))).toFixed(2);
      rows.push([
        figure.title,
        tool,
        `${median(mine.map((one) => one.value)).toFixed(figure.digits)} ${figure.unit}`,
        tool === "direct" ? "" : cost("tool"),
        tool === "direct" ? "" : cost("gateway"),
        cost("pods"),
        cost("load"),
      ]);
    }
  }
  return "CPU seconds per GB, or per 1,000 connections, requests or round trips, with token " +
    "credentials; `direct` is straight to the pod.\n\n" +
    table(["measure", "way", "result", "tunnel", "API server", "pod", "load"], rows);
}

function far(rows: readonly FarRow[]): string {
  return "Round trips (of 100 ms) until the first byte of the answer: the first connection of all, and " +
    "the median of those after it.\n\n" +
    table(
      ["credentials", "tool", "first", "later", "goal", "met"],
      rows.map((row) => [
        row.credentials,
        row.tool,
        row.first.toFixed(2),
        row.later.toFixed(2),
        row.tool === "czctl" ? `≤ ${FAR_GOAL}` : "",
        row.tool === "czctl" ? metText(row.later, FAR_GOAL, true) : "",
      ]),
    );
}

function stalled(rows: readonly StalledRow[]): string {
  return "Downloads of one service, alone and while another program has a download of the same " +
    "service open and reads nothing of it. Medians, in turn.\n\n" +
    table(
      ["credentials", "tool", "downloads", "alone, MB/s", "beside, MB/s", "share", "goal", "met"],
      rows.map((row) => {
        const share = row.beside / row.alone;
        const judged = row.tool === "czctl";
        return [
          row.credentials,
          row.tool,
          `${row.connections}`,
          row.alone.toFixed(0),
          row.beside.toFixed(0),
          `${(share * 100).toFixed(0)} %`,
          judged ? `≥ ${SHARE_GOAL * 100} %` : "",
          judged ? metText(share, SHARE_GOAL, false) : "",
        ];
      }),
    );
}

const IDLE_GOAL_MB = 180;

function memory(results: Results): string {
  const parts: string[] = [];
  const keys = [...new Set(results.memory.map((row) => `${row.credentials}/${row.tool}`))];
  if (keys.length > 0) {
    parts.push(table(
      ["credentials", "tool", ...HELD.map((count) => `${count.toLocaleString("en")} open`)],
      keys.map((key) => {
        const [credentials = "", tool = ""] = key.split("/");
        return [
          credentials,
          tool,
          ...HELD.map((count) =>
            results.memory.find((row) =>
              row.credentials === credentials && row.tool === tool && row.connections === count
            )?.megabytes.toFixed(0) ?? ""
          ),
        ];
      }),
    ));
  }
  if (results.afterLoad.length > 0) {
    parts.push(
      `After all the loads of the rounds: ${
        results.afterLoad.map((one) =>
          `${one.tool} ${one.megabytes.toFixed(0)} MB (${one.credentials})`
        ).join(", ")
      }.`,
    );
  }
  if (results.idle !== undefined) {
    parts.push(
      `With ${IDLE_SERVICES} idle services czctl takes ${results.idle.toFixed(0)} MB ` +
        `(goal: ≤ ${IDLE_GOAL_MB} MB, met: ${metText(results.idle, IDLE_GOAL_MB, true)}).`,
    );
  }
  return parts.join("\n\n");
}

/** Goals for the largest step. */
const SCALE_GOALS = { open: 5, memory: 200, rolloutCpu: 1, close: 2 };
/** The rollout the goal speaks of. */
const ROLLOUT_EVENTS = 5000;

function scale(rows: readonly ScaleRow[]): string {
  const last = rows.at(-1)!;
  const big = last.services >= 1000;
  const line = (
    title: string,
    pick: (row: ScaleRow) => number,
    digits: number,
    goal?: number,
  ) => [
    title,
    ...rows.map((row) => pick(row).toFixed(digits)),
    goal === undefined ? "" : `≤ ${goal}`,
    big && goal !== undefined ? metText(pick(last), goal, true) : "",
  ];
  const perEvents = (row: ScaleRow) => row.rolloutCpu / row.rolloutPodEvents * ROLLOUT_EVENTS;
  return table(
    ["services", ...rows.map((row) => row.services.toLocaleString("en")), "goal", "met"],
    [
      line("ports listening", (row) => row.ports, 0),
      line("pods behind them", (row) => row.pods, 0),
      line("`teleport` returns after, s", (row) => row.openSeconds, 2, SCALE_GOALS.open),
      line("CPU of svc until then, s", (row) => row.openCpu, 2),
      line("memory of svc and helper, MB", (row) => row.megabytes, 0, SCALE_GOALS.memory),
      line("connections to the API server", (row) => row.connections, 0),
      line("requests to the API server", (row) => row.requests, 0),
      line("writes of /etc/hosts", (row) => row.hostsWrites, 0),
      line("a new pod for each service: changes of pods", (row) => row.rolloutPodEvents, 0),
      line("- changes of EndpointSlices", (row) => row.rolloutSliceEvents, 0),
      line("- the cluster needed, s", (row) => row.rolloutSeconds, 1),
      line("- CPU of svc, s", (row) => row.rolloutCpu, 2),
      line("- CPU of svc for 5,000 pod events, s", perEvents, 2, SCALE_GOALS.rolloutCpu),
      line("- writes of /etc/hosts", (row) => row.rolloutHostsWrites, 0),
      line("`session close` returns after, s", (row) => row.closeSeconds, 2, SCALE_GOALS.close),
    ],
  );
}
