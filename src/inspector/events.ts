/** `/api/events`: what changes, as server-sent events. */
import type { SessionInfo } from "../model/control.ts";
import type { Clock } from "../model/clock.ts";
import { answer, problem } from "./answers.ts";
import { sessionFacts, shapeOf, type Traffic, trafficOf } from "./facts.ts";

/** How often live figures are looked at while somebody listens. */
const TICK_MS = 1000;
/** Changes to requests are told together, so that a busy tunnel does not flood a page. */
const FLUSH_MS = 200;
/** How often what is only known on asking the cluster is asked, while somebody listens. */
const LOOK_MS = 5_000;
/** A comment line in between, so that a vanished listener is noticed. */
const HEARTBEAT_MS = 15_000;
/** Listeners at once, of each kind: one kind cannot shut the other out. */
const MAX_LISTENERS = 16;
/** Bytes a listener may lag behind before it is dropped (a page then reconnects). */
const MAX_BACKLOG = 1024 * 1024;

export interface EventSources {
  readonly clock: Clock;
  readonly sessions: () => readonly SessionInfo[];
  /** Somebody looks: finds out what is not known by itself. */
  readonly look: () => void;
  /** What else a listener is told at its start. */
  readonly hello: (full: boolean) => Readonly<Record<string, unknown>>;
  /** Summaries of these requests, as they are now. */
  readonly requests: (ids: readonly string[]) => readonly unknown[];
  /** Connections that could not be read, as they are now. */
  readonly unreadable: () => readonly unknown[];
}

interface Listener {
  readonly full: boolean;
  readonly send: (text: string) => void;
  readonly end: () => void;
  shape: string;
}

/**
 * Events: `hello` (settings), `sessions` (all of them, when more than figures
 * changed), `traffic` (figures of the ports where they changed: port key ->
 * [connections, bytes down, bytes up]); with the token also `requests`
 * (new or changed summaries), `unreadable`, `cleared` and `capture`.
 */
export class LiveEvents {
  readonly #sources: EventSources;
  readonly #listeners = new Set<Listener>();
  #traffic = new Map<string, Traffic>();
  #changed = new Set<string>();
  #unreadableChanged = false;
  #cancelTick: (() => void) | undefined;
  #cancelFlush: (() => void) | undefined;
  #sinceHeartbeat = 0;
  #sinceLook = 0;
  #closed = false;

  constructor(sources: EventSources) {
    this.#sources = sources;
  }

  /** The answer to one listener; `onEnd` is called once when it has gone. */
  listen(full: boolean, onEnd: () => void): Response {
    const alike = [...this.#listeners].filter((listener) => listener.full === full).length;
    if (this.#closed || alike >= MAX_LISTENERS) {
      onEnd();
      return problem(503, "Too many listeners");
    }
    let listener: Listener | undefined;
    const remove = () => {
      if (listener === undefined || !this.#listeners.delete(listener)) return;
      if (this.#listeners.size === 0) this.#cancelTick?.();
      onEnd();
    };
    const encoder = new TextEncoder();
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const end = () => {
          remove();
          try {
            controller.close();
          } catch {
            // The far end has gone already.
          }
        };
        const send = (text: string) => {
          if ((controller.desiredSize ?? 0) <= -MAX_BACKLOG) return end();
          controller.enqueue(encoder.encode(text));
        };
        listener = { full, send, end, shape: "" };
        this.#listeners.add(listener);
        send(event("hello", this.#sources.hello(full)));
        const sessions = this.#sources.sessions();
        this.#tellSessions([listener], sessions);
        if (this.#listeners.size === 1) {
          this.#traffic = trafficOf(sessions);
          this.#schedule();
        }
      },
      cancel: remove,
    }, new ByteLengthQueuingStrategy({ highWaterMark: 0 }));
    return answer(200, stream, { "content-type": "text/event-stream" });
  }

  /** Tells holders of the token. */
  publish(name: string, data: unknown): void {
    const text = event(name, data);
    for (const listener of [...this.#listeners]) if (listener.full) listener.send(text);
  }

  /** A captured request is new or has changed. */
  requestChanged(id: string): void {
    if (this.#listeners.size === 0) return;
    this.#changed.add(id);
    this.#flushSoon();
  }

  /** A connection that could not be read was counted. */
  unreadableChanged(): void {
    if (this.#listeners.size === 0) return;
    this.#unreadableChanged = true;
    this.#flushSoon();
  }

  /** The list was emptied. */
  cleared(): void {
    this.#changed.clear();
    this.publish("cleared", {});
    this.publish("unreadable", this.#sources.unreadable());
  }

  /** Sessions or their services may have changed: look now rather than at the next tick. */
  sessionsChanged(): void {
    if (this.#listeners.size > 0) {
      this.#tellSessions([...this.#listeners], this.#sources.sessions());
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelTick?.();
    this.#cancelFlush?.();
    for (const listener of [...this.#listeners]) listener.end();
  }

  #flushSoon(): void {
    this.#cancelFlush ??= this.#sources.clock.after(FLUSH_MS, () => {
      this.#cancelFlush = undefined;
      const ids = [...this.#changed];
      this.#changed.clear();
      if (ids.length > 0) this.publish("requests", this.#sources.requests(ids));
      if (this.#unreadableChanged) this.publish("unreadable", this.#sources.unreadable());
      this.#unreadableChanged = false;
    });
  }

  #schedule(): void {
    this.#cancelTick = this.#sources.clock.after(TICK_MS, () => {
      if (this.#closed || this.#listeners.size === 0) return;
      this.#schedule();
      this.#tick();
    });
  }

  #tick(): void {
    this.#sinceLook += TICK_MS;
    if (this.#sinceLook >= LOOK_MS) {
      this.#sinceLook = 0;
      this.#sources.look();
    }
    const sessions = this.#sources.sessions();
    this.#tellSessions([...this.#listeners], sessions);
    const traffic = trafficOf(sessions);
    const changes: Record<string, Traffic> = {};
    for (const [key, now] of traffic) {
      const before = this.#traffic.get(key);
      if (before === undefined || now.some((figure, at) => figure !== before[at])) {
        changes[key] = now;
      }
    }
    this.#traffic = traffic;
    this.#sinceHeartbeat += TICK_MS;
    let text = "";
    if (Object.keys(changes).length > 0) text = event("traffic", changes);
    else if (this.#sinceHeartbeat >= HEARTBEAT_MS) text = ": still here\n\n";
    if (text === "") return;
    this.#sinceHeartbeat = 0;
    for (const listener of [...this.#listeners]) listener.send(text);
  }

  /** Works the facts out once for each kind of listener, however many there are. */
  #tellSessions(listeners: readonly Listener[], sessions: readonly SessionInfo[]): void {
    for (const full of [true, false]) {
      const alike = listeners.filter((listener) => listener.full === full);
      if (alike.length === 0) continue;
      const facts = sessions.map((session) => sessionFacts(session, full));
      const shape = shapeOf(facts);
      const behind = alike.filter((listener) => listener.shape !== shape);
      if (behind.length === 0) continue;
      const text = event("sessions", facts);
      for (const listener of behind) {
        listener.shape = shape;
        listener.send(text);
      }
    }
  }
}

function event(name: string, data: unknown): string {
  // JSON has no line break of its own, so one data line holds it.
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
