import type { Obj } from "./json.ts";

/**
 * Node's flags for the processes on the way of a byte: no full garbage collection before 512 MB. One
 * stops everything for 2 to 9 ms, and a connection lingers for a second, so that a thousand of them a
 * second outlive the quick collections: the p99 of every tool would be the test cluster's own. A real
 * node's Go collects beside the work.
 */
export const DATA_PATH_FLAGS: readonly string[] = ["--initial-old-space-size=512"];

/** What listens on one port of a pod. */
export interface Program {
  readonly program: string;
  /** The container's port, as clients know it. */
  readonly port: number;
  readonly options: Readonly<Record<string, string>>;
}

/** API process -> pod process. */
export type PodCommand =
  | {
    readonly type: "start";
    readonly id: string;
    readonly name: string;
    readonly namespace: string;
    readonly address: string;
    readonly programs: readonly Program[];
  }
  | { readonly type: "stop"; readonly id: string; readonly graceMs: number }
  | { readonly type: "fault"; readonly id: string; readonly fault: PodFault }
  | { readonly type: "stats"; readonly id: string };

/** Pod process -> API process. */
export type PodReport =
  | { readonly type: "started"; readonly id: string }
  | { readonly type: "failed"; readonly id: string; readonly error: string }
  | { readonly type: "stopped"; readonly id: string; readonly exitCode: number }
  | { readonly type: "faulty"; readonly id: string }
  | { readonly type: "exited"; readonly id: string; readonly exitCode: number }
  | { readonly type: "stats"; readonly id: string; readonly stats: PodStats };

/** `refuse`: nothing listens; `reset`: RST on every connection, old and new; `stall`: never reads. */
export type PodFault = "none" | "refuse" | "reset" | "stall";

export interface PodStats {
  readonly accepted: number;
  readonly open: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/**
 * Real listeners cannot have ports below 1024 without root: those are moved up.
 * Each pod has an address of its own, so nothing collides.
 */
export function backingPort(port: number): number {
  return port < 1024 ? port + 40_000 : port;
}

/**
 * Programs of a pod, from the arguments of its containers: `PROGRAM=PORT[?option=value&...]`.
 * A container without such arguments and with ports runs `http` on each TCP port.
 */
export function programsOf(pod: Obj): Program[] {
  const programs: Program[] = [];
  for (const container of pod.spec.containers ?? []) {
    let own = 0;
    for (const argument of container.args ?? []) {
      const found = /^([a-z-]+)=(\d+)(?:\?(.*))?$/.exec(argument);
      if (!found) continue;
      own++;
      programs.push({
        program: found[1]!,
        port: Number(found[2]),
        options: Object.fromEntries(new URLSearchParams(found[3] ?? "")),
      });
    }
    if (own > 0) continue;
    for (const port of container.ports ?? []) {
      if ((port.protocol ?? "TCP") !== "TCP") continue;
      programs.push({ program: "http", port: port.containerPort, options: {} });
    }
  }
  return programs;
}
