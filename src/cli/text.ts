/**
 * Text from a cluster or another process on its way to a terminal. Names and
 * messages there are written by strangers: an escape sequence could rename the
 * window, hide lines or type into the shell.
 */
import { HARMFUL, hexOf, spelled } from "../model/harmful.ts";

/** One line that can be shown anywhere: harmful characters are spelled out, line breaks become blanks. */
export function plain(text: string): string {
  return text.toWellFormed().replace(/\r?\n/g, " ").replace(HARMFUL, spelled);
}

/** The same for text of several lines, which stay lines; tabs stay as well. */
export function plainLines(text: string): string {
  return text.toWellFormed().replace(
    HARMFUL,
    (found) => found === "\n" || found === "\t" ? found : spelled(found),
  );
}

/** JSON whose strings hold no harmful character in the raw; C0 is escaped by JSON itself. */
export function plainJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(
    HARMFUL,
    (found) => found === "\n" ? found : `\\u${hexOf(found, 4)}`,
  );
}

/** Decoration in ASCII, for terminals and pipes that are not known to be UTF-8. */
export function ascii(text: string): string {
  return text.replace(/[–—]/g, "-").replace(/…/g, "...").replace(/→/g, "->").replace(/✔/g, "ok");
}

/** `1 service`, `2 services`. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** Rows as aligned columns with two blanks between; the last column is not padded. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, at) => widths[at] = Math.max(widths[at] ?? 0, width(cell)));
  }
  return rows.map((row) =>
    row.map((cell, at) => at === row.length - 1 ? cell : pad(cell, widths[at]!)).join("  ")
      .trimEnd()
  );
}

/** Padded on the right to a width in characters. */
export function pad(text: string, to: number): string {
  return text + " ".repeat(Math.max(0, to - width(text)));
}

function width(text: string): number {
  return [...text].length;
}

/** `45s`, `12m`, `3h20m`, `5d`: how long ago, for people. */
export function ago(fromMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - fromMs) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d`;
}

/** `812 B`, `1.5 MB`: sizes in powers of 1000. */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  let unit = "";
  for (unit of ["kB", "MB", "GB", "TB"]) {
    value /= 1000;
    if (value < 999.95) break;
  }
  return `${value.toFixed(1)} ${unit}`;
}
