/** Processes from outside, by /proc: who they are and what they use. */

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  /** As in /proc/PID/comm. */
  readonly name: string;
}

/** Ticks of /proc/PID/stat in a second: 100 on every Linux that matters. */
const TICKS = 100;

function statOf(pid: number): { name: string; fields: string[] } | undefined {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const end = stat.lastIndexOf(")");
    return { name: stat.slice(stat.indexOf("(") + 1, end), fields: stat.slice(end + 2).split(" ") };
  } catch {
    return undefined;
  }
}

export function everyProcess(): ProcessInfo[] {
  const found: ProcessInfo[] = [];
  for (const entry of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(entry.name)) continue;
    const stat = statOf(Number(entry.name));
    if (stat === undefined) continue;
    found.push({ pid: Number(entry.name), parent: Number(stat.fields[1]), name: stat.name });
  }
  return found;
}

/** The process and all below it. */
export function family(pid: number): number[] {
  const all = everyProcess();
  const found = [pid];
  for (let i = 0; i < found.length; i++) {
    for (const one of all) if (one.parent === found[i]) found.push(one.pid);
  }
  return found;
}

/** The last word of the process's command line. */
export function lastArgument(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0").at(-2) ?? "";
  } catch {
    return "";
  }
}

/** CPU seconds the processes have used so far. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = statOf(pid);
    if (stat !== undefined) ticks += Number(stat.fields[11]) + Number(stat.fields[12]);
  }
  return ticks / TICKS;
}

/** Memory of the processes together, shared pages shared out (PSS), in MB of 1,000,000 bytes. */
export function pssMegabytes(pids: readonly number[]): number {
  let kib = 0;
  for (const pid of pids) {
    try {
      const text = Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
      kib += Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
    } catch {
      // It has ended.
    }
  }
  return kib * 1024 / 1e6;
}
