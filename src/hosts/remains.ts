/** What damaged blocks leave in the hosts file, by line number, for whoever mends it by hand. */
import { type LineSpan, lineSpans, textOf } from "./bytes.ts";
import { findBlocks, findMarkers, type Marker } from "./markers.ts";

/** Lines of a file, from 1, both included. */
export interface LineRange {
  readonly first: number;
  readonly last: number;
}

/** A line of ours, switched off by somebody or not: addresses of 127.1.0.0/16 are czctl's alone. */
const OWN_LINE = /^[ \t]*#?[ \t]*127\.1\.[0-9]{1,3}\.[0-9]{1,3}[ \t]/;

export function isOwnLine(text: string): boolean {
  return OWN_LINE.test(text);
}

/**
 * The given markers with the lines of ours that belong to each: below a begin
 * line, above an end line, as far as nothing else is between. Where a marker
 * cannot be read, the one at the other end of the lines belongs to it.
 */
export function remainsOf(file: Uint8Array, markers: readonly Marker[]): LineRange[] {
  const spans = lineSpans(file);
  const all = findMarkers(file, spans);
  const whole = findBlocks(all).flatMap(({ begin, endMarker }) => [begin.line, endMarker.line]);
  return merged(markers.map(({ line, kind, uid }) => {
    const step = kind === "begin" ? 1 : -1;
    let at = line;
    while (isOwnSpan(file, spans[at - 1 + step])) at += step;
    const other = all.find((one) => one.line === at + step);
    const unclear = other !== undefined && (uid === undefined || other.uid === undefined);
    if (unclear && other.kind !== kind && !whole.includes(other.line)) at += step;
    return { first: Math.min(line, at), last: Math.max(line, at) };
  }));
}

/** The lines that give an address of 127.1.0.0/16 a name and are in nobody's block, damaged ones included. */
export function strayLines(file: Uint8Array): LineRange[] {
  const spans = lineSpans(file);
  const markers = findMarkers(file, spans);
  const known = [
    ...findBlocks(markers).map(({ begin, endMarker }) => ({
      first: begin.line,
      last: endMarker.line,
    })),
    ...remainsOf(file, markers),
  ];
  const isKnown = (line: number) => known.some(({ first, last }) => first <= line && line <= last);
  return merged(
    spans.flatMap((span, index) => {
      const line = index + 1;
      const text = textOf(file.subarray(span.start, span.end)).split("#", 1)[0]!;
      const named = isOwnLine(text) && /\S[ \t]+\S/.test(text);
      return named && !isKnown(line) ? [{ first: line, last: line }] : [];
    }),
  );
}

/** `line 4`, `lines 4 to 9`, `lines 1, 4 to 9 and 12`. */
export function rangeList(ranges: readonly LineRange[]): string {
  const parts = ranges.map(({ first, last }) =>
    first === last ? `${first}` : `${first} ${last === first + 1 ? "and" : "to"} ${last}`
  );
  const single = ranges.length === 1 && ranges[0]!.first === ranges[0]!.last;
  const list = parts.length < 2
    ? parts.join()
    : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
  return `line${single ? "" : "s"} ${list}`;
}

function isOwnSpan(file: Uint8Array, span: LineSpan | undefined): boolean {
  return span !== undefined && isOwnLine(textOf(file.subarray(span.start, span.end)));
}

/** In order, with those that touch made one. */
function merged(ranges: readonly LineRange[]): LineRange[] {
  const result: LineRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = result.at(-1);
    if (before === undefined || range.first > before.last + 1) result.push(range);
    else {
      result[result.length - 1] = {
        first: before.first,
        last: Math.max(before.last, range.last),
      };
    }
  }
  return result;
}
