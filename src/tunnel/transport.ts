import type { TunnelError } from "./errors.ts";

/** The ways to carry a port-forward, in the order they are tried. */
export const TRANSPORTS = ["spdy", "spdy_websocket", "channels"] as const;
export type TransportKind = typeof TRANSPORTS[number];

/** The pod a link goes to. */
export interface PodRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/**
 * What a link tells the connection behind one of its streams. Called from the
 * link's read loop: must neither throw nor block.
 */
export interface StreamEvents {
  /**
   * Bytes from the pod. They lie in the link's own read memory: keep `lease`
   * retained for as long as they are used, or copy them. With `more` a call of
   * `flush` (or `data` without it) follows before the link waits for anything.
   */
  data(bytes: Uint8Array, lease: Lease, more: boolean): void;
  /** No more is at hand: what `data` was given with `more` must go out. */
  flush(): void;
  /** The pod's side has ended its output; nothing more comes. */
  end(): void;
  /** The stream is over, cleanly (no error) or not. Always the last call, exactly once. */
  closed(error: TunnelError | undefined): void;
}

/** Memory lent to several readers; reused when all have released it. */
export interface Lease {
  readonly size: number;
  retain(): void;
  release(): void;
}

/** Bytes that must be free in front of a payload: enough for every transport's heads (22 at most). */
export const HEAD_ROOM = 32;

/** One forwarded connection inside a link, seen from the local side. */
export interface LinkStream {
  readonly link: Link;
  /** True once any payload has been handed to the connection's write call. */
  readonly wrotePayload: boolean;
  /**
   * Sends `length` payload bytes that lie in `buffer` at HEAD_ROOM. The memory
   * in front of them is overwritten. Undefined: taken, the buffer may
   * be reused at once; a promise: when that resolves. Never rejects: a broken
   * link is told by `closed`.
   */
  send(buffer: Uint8Array, length: number): Promise<void> | undefined;
  /** Ends the local side's output (half-close). */
  end(): void;
  /** Gives the stream up in both directions; `closed` is not called any more. */
  abort(): void;
  /**
   * The connection cannot take more (`true`) or can again (`false`): while any
   * stream of a link is choked nothing is read from it.
   */
  choke(choked: boolean): void;
}

export type LinkState = "open" | "draining" | "closed";

/** One connection to one pod through the API server. */
export interface Link {
  readonly pod: PodRef;
  readonly kind: TransportKind;
  readonly state: LinkState;
  /** Streams open now. */
  readonly streams: number;
  /** False when a new stream belongs on another link: stalled, draining, used up, or ids run out. */
  readonly takesStreams: boolean;
  /** True when the far end broke it off at once, without having said anything. */
  readonly mute: boolean;
  /** True while one of its streams is a large upload, which may come to a halt: new ones are better off elsewhere. */
  readonly bulky: boolean;
  /** Milliseconds (monotonic) when the last stream began or ended. */
  readonly usedAt: number;
  /** Milliseconds (monotonic) when the far end was last heard. */
  readonly heardAt: number;
  /** Opens a stream to a port of the pod; nothing is waited for. */
  open(port: number, events: StreamEvents): LinkStream;
  /** Resolves true when the far end answered a PING within `ms`. */
  probe(ms: number): Promise<boolean>;
  /** No new streams; closed when the last one ends. */
  drain(reason: string): void;
  /** The pod's programs have ended: drains, and ends the streams on which nothing comes any more. */
  podDied(): void;
  /** Ends it and all its streams now. */
  close(error?: TunnelError): void;
  /** This process itself stood still until `now` (monotonic, ms): what has not happened proves nothing. */
  stoodStill(now: number): void;
  /** Called by the pool about once a second with the monotonic time in ms. */
  tick(now: number): void;
}
