/** Samples to rows, rows to text. */
import { type Credentials, type Figure, MEASURES } from "./measures.ts";
import type { Sample } from "./rounds.ts";

export interface Row {
  readonly title: string;
  readonly unit: string;
  readonly kubectl: string;
  readonly czctl: string;
  readonly ratio: string;
  readonly goal: string;
  readonly met: string;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Half the distance between the best and the worst round, as a share of the median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values);
}

export function goalText(goal: number | undefined, below: boolean): string {
  return goal === undefined ? "" : `${below ? "≤" : "≥"} ${goal}`;
}

export function metText(value: number, goal: number | undefined, below: boolean): string {
  if (goal === undefined) return "";
  return (below ? value <= goal : value >= goal) ? "yes" : "**no**";
}

export function figures(): Figure[] {
  return MEASURES.flatMap((measure) => measure.figures);
}

export function valuesOf(
  samples: readonly Sample[],
  figure: string,
  tool: Sample["tool"],
  credentials: Credentials,
): number[] {
  return samples.filter((one) =>
    one.figure === figure && one.tool === tool && one.credentials === credentials
  ).map((one) => one.value);
}

/** One row for each figure that was measured. */
export function rowsOf(samples: readonly Sample[], credentials: Credentials): Row[] {
  const rows: Row[] = [];
  for (const figure of figures()) {
    const theirs = valuesOf(samples, figure.id, "kubectl", credentials);
    const ours = valuesOf(samples, figure.id, "czctl", credentials);
    if (theirs.length === 0 || ours.length === 0) continue;
    const ratio = median(ours) / median(theirs);
    const goal = figure.goal?.[credentials];
    const below = figure.below ?? false;
    rows.push({
      title: figure.title,
      unit: figure.unit,
      kubectl: median(theirs).toFixed(figure.digits),
      czctl: median(ours).toFixed(figure.digits),
      ratio: ratio.toFixed(2),
      goal: goalText(goal, below),
      met: metText(ratio, goal, below),
    });
  }
  return rows;
}

/** A Markdown table with columns wide enough to be read as it is; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, i) => Math.max(3, ...lines.map((line) => (line[i] ?? "").length)));
  const line = (cells: readonly string[]) =>
    `| ${
      widths.map((width, i) =>
        i === 0 ? (cells[i] ?? "").padEnd(width) : (cells[i] ?? "").padStart(width)
      ).join(" | ")
    } |`;
  const rule = `| ${
    widths.map((width, i) => i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`).join(" | ")
  } |`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

export function comparison(rows: readonly Row[]): string {
  return table(
    ["measure", "unit", "kubectl", "czctl", "ratio", "goal", "met"],
    rows.map((row) => [
      row.title,
      row.unit,
      row.kubectl,
      row.czctl,
      row.ratio,
      row.goal,
      row.met,
    ]),
  );
}
