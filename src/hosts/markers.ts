import { CzctlError } from "../model/errors.ts";
import { type LineSpan, lineSpans, textOf } from "./bytes.ts";

/** The text between the user id and the end of a begin line; fixed, so that people can search for it. */
const PURPOSE = "added by czctl, removed by: czctl session close";

/**
 * Ends both marker lines when the file's last line had no newline and one was
 * added in front of the block. The file itself remembers it, so that it is
 * taken away again whoever removes the block (docs/decisions/0030-missing-newline.md).
 */
const ADDED_NEWLINE = " (and the newline before)";

export function beginLine(uid: number, addedNewline: boolean): string {
  return `# czctl begin ${uid} - ${PURPOSE}${addedNewline ? ADDED_NEWLINE : ""}\n`;
}

export function endLine(uid: number, addedNewline: boolean): string {
  return `# czctl end ${uid}${addedNewline ? ADDED_NEWLINE : ""}\n`;
}

/** Anything that could be a marker of ours, well formed or not. */
const LOOKS_LIKE_MARKER = /^[ \t]*#[ \t]*czctl[ \t]+(begin|end)(?![a-z0-9_-])/i;
const MARKER = /^# czctl (begin|end) (0|[1-9][0-9]{0,9})(?: (?:-|\(and)[ -~]*)?\r?\n?$/;

export interface Marker extends LineSpan {
  /** Line number, from 1. */
  readonly line: number;
  readonly kind: "begin" | "end";
  /** Undefined when the line cannot be read as a marker of ours. */
  readonly uid: number | undefined;
  readonly addedNewline: boolean;
}

/** Every line that is, or looks like, a marker. */
export function findMarkers(bytes: Uint8Array, lines = lineSpans(bytes)): Marker[] {
  const found: Marker[] = [];
  lines.forEach(({ start, end }, index) => {
    // Long lines cannot be markers; this bounds the work on odd files.
    const text = textOf(bytes.subarray(start, Math.min(end, start + 256)));
    const looks = LOOKS_LIKE_MARKER.exec(text);
    if (looks === null) return;
    const parts = end - start <= 256 ? MARKER.exec(text) : null;
    const uid = parts === null ? NaN : Number(parts[2]);
    found.push({
      start,
      end,
      line: index + 1,
      kind: looks[1]!.toLowerCase() === "end" ? "end" : "begin",
      uid: uid <= 0xffffffff ? uid : undefined,
      addedNewline: text.includes(ADDED_NEWLINE),
    });
  });
  return found;
}

/** A block of anybody: from its begin line to its end line, both included. */
export interface Block extends LineSpan {
  readonly uid: number;
  readonly begin: Marker;
  readonly endMarker: Marker;
}

/** The well-formed blocks: a begin line whose next marker is the end line of the same user. */
export function findBlocks(markers: readonly Marker[]): Block[] {
  const blocks: Block[] = [];
  markers.forEach((begin, index) => {
    const endMarker = markers[index + 1];
    if (begin.kind !== "begin" || begin.uid === undefined) return;
    if (endMarker?.kind !== "end" || endMarker.uid !== begin.uid) return;
    blocks.push({
      start: begin.start,
      end: endMarker.end,
      uid: begin.uid,
      begin,
      endMarker,
    });
  });
  return blocks;
}

/** The markers of the hosts file are not as czctl writes them; the file was left alone. */
export class HostsMarkerError extends CzctlError {
  /** The line numbers in question, from 1. */
  readonly lines: readonly number[];

  constructor(reason: string, lines: readonly number[], mend: string) {
    super("failed", `Cannot edit the hosts file: ${reason}`, { hint: mend });
    this.name = "HostsMarkerError";
    this.lines = lines;
  }
}
