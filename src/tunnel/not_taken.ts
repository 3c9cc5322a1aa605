/**
 * Who is ended when a pod does not take what it is sent. SPDY here has no flow
 * control by stream: such a pod stops its lane, and soon the whole link. Its own
 * program may wait for as long as it likes; others must not wait with it.
 */
import { LANES } from "./lanes.ts";
import type { SpdyStream } from "./spdy_stream.ts";

/** A link whose connection has taken nothing for this long is given up while others wait, in ms. */
const STUCK_LOST_MS = 5000;
/** And while those that wait are large uploads themselves: a pod that pauses holds up all of its own. */
const PAUSE_MS = 30_000;
/** What was sent this long before that may lie behind what is not taken, in the sockets on the way, in ms. */
const ON_THE_WAY_MS = 2000;

/**
 * True when a link whose write has waited for `stuckMs` is to be given up: when
 * others have sent something since, or the program is gone and only its bytes
 * are left (`orphans`). A connection whose bytes have not left goes to another
 * link unnoticed. Who only receives, or has asked before, loses nothing by the
 * halt and is no reason.
 */
export function stuckLinkIsLost(
  streams: readonly SpdyStream[],
  stuckMs: number,
  now: number,
  orphans: boolean,
): boolean {
  if (stuckMs < STUCK_LOST_MS) return false;
  if (streams.length === 0) return true;
  const since = now - stuckMs - ON_THE_WAY_MS;
  const behind = streams.filter((stream) => stream.blocked || stream.sentSince(since));
  return holdsUpOthers(behind, orphans, stuckMs >= PAUSE_MS);
}

export interface Unread {
  /** Lanes that are read no more, with whether a connection given up may be the reason. */
  readonly stuck: ReadonlyMap<number, boolean>;
  /** Connections of the link whose bytes have had no answer and may not have been read. */
  readonly waiting: readonly SpdyStream[];
  /** How many connections the link has in all. */
  readonly streams: number;
  /** For how long the far end has not answered, in ms. */
  readonly overdueMs: number;
  readonly orphans: boolean;
}

/**
 * Whom it costs that the far end reads no more in some lanes: the whole link
 * when all of them are silent, else only those who wait there, but for the one
 * that most likely is the reason.
 */
export function endedByUnread(unread: Unread): "link" | readonly SpdyStream[] {
  const { stuck, waiting, streams, overdueMs, orphans } = unread;
  if (streams === 0) return "link";
  const paused = overdueMs >= PAUSE_MS;
  if (stuck.size === LANES) return holdsUpOthers(waiting, orphans, paused) ? "link" : [];
  const ended = new Set<SpdyStream>();
  for (const [lane, orphaned] of stuck) {
    const behind = waiting.filter((stream) => stream.isIn(lane))
      .sort((a, b) => b.unanswered - a.unanswered);
    // One that is not even taken up waits behind something else, if only what an ended one left there.
    const reason = orphaned ? undefined : behind.find((stream) => stream.takenUp);
    for (const stream of behind) {
      if (stream !== reason && (paused || !stream.isHeavy)) ended.add(stream);
    }
  }
  return [...ended];
}

/** True when somebody waits behind another, who may be a connection given up. */
function holdsUpOthers(behind: readonly SpdyStream[], orphans: boolean, paused: boolean): boolean {
  if (orphans) return behind.length > 0;
  return behind.length > 1 && (paused || behind.some((stream) => !stream.isHeavy));
}
