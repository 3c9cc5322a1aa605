/** A captured request and its answer. */
import type { TapConnectionInfo } from "../model/tap.ts";
import type { Header } from "./http1.ts";

export interface Exchange {
  /** Grows with time. */
  readonly id: string;
  readonly connection: TapConnectionInfo;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** The same moment on the clock that never jumps, in ms. */
  readonly started: number;
  readonly request: RequestMessage;
  response?: ResponseMessage;
  /** From the start to the first byte of the answer, and to its end, in ms. */
  firstByteMs?: number;
  totalMs?: number;
  state: "waiting" | "receiving" | "done" | "failed" | "upgraded";
  /** Why it failed, or why its end was not seen. */
  error?: string;
  /** `websocket`, `h2c`, `connect`: what the connection speaks since. */
  upgraded?: string;
  /** The request this one repeats. */
  replayOf?: string;
  /** No longer in the list: nothing more of it is kept. */
  evicted: boolean;
  /** Bytes it is accounted for. */
  cost: number;
}

export interface RequestMessage {
  readonly method: string;
  /** As sent: mostly a path with a query. */
  readonly target: string;
  readonly version: string;
  readonly headers: readonly Header[];
  readonly body: Body;
}

export interface ResponseMessage {
  readonly status: number;
  readonly reason: string;
  readonly version: string;
  readonly headers: readonly Header[];
  readonly body: Body;
}

/** A body without its chunked framing. */
export interface Body {
  /** Bytes seen. */
  size: number;
  /** The first of them. */
  readonly kept: Uint8Array[];
  keptSize: number;
  /** True when it ended as its framing said. */
  complete: boolean;
}

export function emptyBody(): Body {
  return { size: 0, kept: [], keptSize: 0, complete: false };
}

/** The kept bytes in one piece. */
export function keptBytes(body: Body): Uint8Array {
  const all = new Uint8Array(body.keptSize);
  let at = 0;
  for (const part of body.kept) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** `path` and `query` of a request target, whatever form it has. */
export function splitTarget(target: string): { path: string; query: string } {
  const rest = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "") || "/";
  const at = rest.indexOf("?");
  return at === -1 ? { path: rest, query: "" } : { path: rest.slice(0, at), query: rest.slice(at) };
}
