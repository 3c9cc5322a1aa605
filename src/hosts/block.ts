/**
 * The edit of /etc/hosts, as a pure function on bytes. Every byte outside the
 * block of the one user is kept as it is; when the block goes, the file is byte
 * for byte what it would be had it never been there.
 */
import { bytesOf, concat, type LineSpan, lineSpans, NEWLINE, sameBytes, textOf } from "./bytes.ts";
import {
  beginLine,
  type Block,
  endLine,
  findBlocks,
  findMarkers,
  HostsMarkerError,
  type Marker,
} from "./markers.ts";
import { isOwnLine, rangeList, remainsOf } from "./remains.ts";

/** One line of the block. */
export interface BlockLine {
  readonly address: string;
  readonly names: readonly string[];
}

/** Where the names begin, as in the guide: an address is padded to 17 columns. */
const ADDRESS_COLUMNS = 17;

/** The lines between the markers, as text. */
export function renderLines(lines: readonly BlockLine[]): string {
  return lines
    .map(({ address, names }) => `${address.padEnd(ADDRESS_COLUMNS - 1)} ${names.join(" ")}\n`)
    .join("");
}

/**
 * The file with the block of `uid` saying `lines`, or without it when there are
 * none. Undefined when nothing has to change.
 *
 * `known` are lines this process knows it has written: with them a block that
 * somebody cut one marker off is mended. Without, it is refused.
 *
 * Throws HostsMarkerError when the markers do not say clearly where the block
 * is; nothing is ever guessed.
 */
export function editBlock(
  file: Uint8Array,
  uid: number,
  lines: readonly BlockLine[],
  known: readonly BlockLine[] = [],
): Uint8Array | undefined {
  const { span, addedNewline } = locate(file, uid, known);
  const edited = lines.length === 0
    ? withoutSpan(file, span, addedNewline)
    : withLines(file, uid, lines, span, addedNewline);
  return sameBytes(edited, file) ? undefined : edited;
}

/** Where the block of `uid` is, if there is one. Throws HostsMarkerError. */
export function blockOf(file: Uint8Array, uid: number): Block | undefined {
  const markers = findMarkers(file);
  refuseUnreadable(file, markers);
  const own = markers.filter((marker) => marker.uid === uid);
  if (own.length === 0) return undefined;
  const block = findBlocks(markers).find((one) => one.uid === uid);
  if (own.length === 2 && block !== undefined) return block;
  throw unclear(file, own, uid);
}

interface Place {
  /** The bytes that are ours; undefined when there are none. */
  readonly span: LineSpan | undefined;
  readonly addedNewline: boolean;
}

function locate(file: Uint8Array, uid: number, known: readonly BlockLine[]): Place {
  try {
    const block = blockOf(file, uid);
    if (block === undefined) return { span: undefined, addedNewline: false };
    return { span: block, addedNewline: block.begin.addedNewline };
  } catch (error) {
    const mended = known.length > 0 ? halfBlock(file, uid, known) : undefined;
    if (mended === undefined) throw error;
    return mended;
  }
}

/**
 * A block with one marker cut off, during a session: the marker that is left
 * and the lines next to it that are exactly ones this process wrote.
 */
function halfBlock(file: Uint8Array, uid: number, known: readonly BlockLine[]): Place | undefined {
  const spans = lineSpans(file);
  const markers = findMarkers(file, spans);
  const own = markers.filter((marker) => marker.uid === uid);
  const [marker] = own;
  if (own.length !== 1 || marker === undefined) return undefined;
  if (markers.some((one) => one.uid === undefined)) return undefined;
  const ours = new Set(known.map((line) => renderLines([line]).trimEnd()));
  const isOurs = (span: LineSpan | undefined) =>
    span !== undefined && ours.has(textOf(file.subarray(span.start, span.end)).trimEnd());
  let first = marker.line - 1;
  let last = first;
  if (marker.kind === "begin") { while (isOurs(spans[last + 1])) last++; }
  else while (isOurs(spans[first - 1])) first--;
  return {
    span: { start: spans[first]!.start, end: spans[last]!.end },
    addedNewline: marker.addedNewline,
  };
}

function withLines(
  file: Uint8Array,
  uid: number,
  lines: readonly BlockLine[],
  span: LineSpan | undefined,
  addedNewline: boolean,
): Uint8Array {
  const render = (added: boolean) =>
    bytesOf(beginLine(uid, added) + renderLines(lines) + endLine(uid, added));
  if (span !== undefined) {
    return concat(
      file.subarray(0, span.start),
      render(addedNewline),
      foreignLines(file, span),
      file.subarray(span.end),
    );
  }
  const unfinished = file.length > 0 && file[file.length - 1] !== NEWLINE;
  return unfinished
    ? concat(file, Uint8Array.of(NEWLINE), render(true))
    : concat(file, render(false));
}

function withoutSpan(
  file: Uint8Array,
  span: LineSpan | undefined,
  addedNewline: boolean,
): Uint8Array {
  if (span === undefined) return file;
  const before = file.subarray(0, span.start);
  const after = concat(foreignLines(file, span), file.subarray(span.end));
  if (!addedNewline || before[before.length - 1] !== NEWLINE) return concat(before, after);
  if (after.length === 0) return before.subarray(0, before.length - 1);
  return concat(before, inheritNewline(after));
}

/**
 * What somebody wrote between the markers and cannot be ours. It is not thrown
 * away but moved behind the block, where it stays when the block goes.
 */
function foreignLines(file: Uint8Array, span: LineSpan): Uint8Array {
  const inside = file.subarray(span.start, span.end);
  const kept = lineSpans(inside).filter((line) => {
    const text = textOf(inside.subarray(line.start, line.end));
    return text.trim() !== "" && !isOwnLine(text) && findMarkers(bytesOf(text)).length === 0;
  });
  return concat(...kept.map((line) => inside.subarray(line.start, line.end)));
}

/**
 * When another user's block follows directly, the newline we added now stands
 * before that block: its markers take over the memory of it. Before
 * anything else the newline is needed and stays.
 */
function inheritNewline(after: Uint8Array): Uint8Array {
  const heir = findBlocks(findMarkers(after)).find((block) => block.start === 0);
  if (heir === undefined || heir.begin.addedNewline) return after;
  return concat(
    bytesOf(beginLine(heir.uid, true)),
    after.subarray(heir.begin.end, heir.endMarker.start),
    bytesOf(endLine(heir.uid, true)),
    after.subarray(heir.endMarker.end),
  );
}

function refuseUnreadable(file: Uint8Array, markers: readonly Marker[]): void {
  const unread = markers.filter((marker) => marker.uid === undefined);
  const odd = unread.map((marker) => marker.line);
  if (odd.length === 0) return;
  throw new HostsMarkerError(
    `${lineList(odd)} ${odd.length === 1 ? "looks" : "look"} like a czctl marker but ${
      odd.length === 1 ? "is" : "are"
    } not one`,
    odd,
    `Look at ${
      rangeList(remainsOf(file, unread))
    } of /etc/hosts, delete what is left of a czctl block there, ` +
      "then run: czctl doctor",
  );
}

function unclear(file: Uint8Array, own: readonly Marker[], uid: number): HostsMarkerError {
  const lines = own.map((marker) => marker.line);
  const begins = own.filter((marker) => marker.kind === "begin").length;
  const ends = own.length - begins;
  const reason = begins === ends && begins === 1
    ? "is out of order or has another block's marker inside"
    : begins === 1 && ends === 0
    ? "has no end line"
    : begins === 0 && ends === 1
    ? "has no begin line"
    : `has ${begins} begin and ${ends} end lines`;
  return new HostsMarkerError(
    `the czctl block of user ${uid} ${reason} (${lineList(lines)})`,
    lines,
    `Delete ${
      rangeList(remainsOf(file, own))
    } of /etc/hosts, what is left of that block, or bring back your copy with: ` +
      "sudo cp ~/hosts.original /etc/hosts; then run: czctl doctor",
  );
}

function lineList(lines: readonly number[]): string {
  return lines.length === 1
    ? `line ${lines[0]}`
    : `lines ${lines.slice(0, -1).join(", ")} and ${lines.at(-1)}`;
}
