/** Watches: initial events, bookmarks, time-outs, and the ways they go wrong. */
import type { ServerResponse } from "node:http";
import type { Obj } from "./json.ts";
import { apiVersion, type Resource } from "./resources.ts";
import type { Matcher } from "./selectors.ts";
import { ApiError } from "./status.ts";
import type { Store, StoreEvent } from "./store.ts";

export interface WatchRequest {
  readonly resource: Resource;
  readonly namespace: string;
  readonly matches: Matcher;
  /** Undefined or 0: everything there is comes first. */
  readonly version: number | undefined;
  readonly sendInitialEvents: boolean;
  readonly bookmarks: boolean;
  readonly timeoutMs: number | undefined;
  /** Body of an event's object; `first` on the first event of the watch. */
  readonly encode: (object: Obj, first: boolean) => string;
}

interface OpenWatch {
  readonly resource: Resource;
  readonly namespace: string;
  readonly response: ServerResponse;
  readonly send: (event: StoreEvent) => void;
  readonly fail: (status: Obj) => void;
  held: StoreEvent[] | undefined;
}

export class Watches {
  readonly #open = new Set<OpenWatch>();
  #silent = false;

  constructor(readonly store: Store, readonly bookmarkMs: number) {
    store.listen((resource, event) => {
      for (const watch of this.#open) {
        if (watch.resource !== resource) continue;
        if (this.#silent) (watch.held ??= []).push(event);
        else watch.send(event);
      }
    });
  }

  list(): { resource: string; namespace: string }[] {
    return [...this.#open].map(({ resource, namespace }) => ({
      resource: resource.name,
      namespace,
    }));
  }

  /** Cut in the middle: the connection just ends, as when a proxy or the server dies. */
  cut(resource?: string): number {
    const hit = [...this.#open].filter((one) => !resource || one.resource.name === resource);
    for (const { response } of hit) response.destroy();
    return hit.length;
  }

  /** While silent no watch says anything, bookmarks included; what happened is lost or held. */
  silence(on: boolean, keep = false): void {
    this.#silent = on;
    if (on) return;
    for (const watch of this.#open) {
      const held = watch.held ?? [];
      watch.held = undefined;
      if (keep) { for (const event of held) watch.send(event); }
    }
  }

  /** 200 with an ERROR event, then the end: how a running watch learns that its version is gone. */
  expire(resource?: string): number {
    const error = new ApiError(
      410,
      "Expired",
      `too old resource version: 1 (${this.store.version})`,
    );
    const hit = [...this.#open].filter((one) => !resource || one.resource.name === resource);
    for (const watch of hit) watch.fail(error.toStatus());
    return hit.length;
  }

  /** Throws ApiError 410 before anything is sent. */
  start(request: WatchRequest, response: ServerResponse, contentType: string): void {
    const { resource, namespace, matches, version, encode } = request;
    const initial = version === undefined || version === 0 || request.sendInitialEvents;
    const events: StoreEvent[] = initial
      ? this.store.list(resource, namespace).map((object) => ({
        type: "ADDED",
        object,
        version: Number(object.metadata.resourceVersion),
      }))
      : [...this.store.since(resource, version)];
    response.writeHead(200, { "content-type": contentType, "cache-control": "no-cache, private" });
    response.flushHeaders();
    let first = true;
    const write = (type: string, object: Obj) => {
      response.write(`{"type":"${type}","object":${encode(object, first)}}\n`);
      first = false;
    };
    const send = (event: StoreEvent) => {
      const { object, before } = event;
      if (namespace !== "" && object.metadata.namespace !== namespace) return;
      const is = event.type !== "DELETED" && matches(object);
      const was = event.type !== "ADDED" && before !== undefined && matches(before);
      // A selector turns changes into comings and goings.
      if (is) write(was ? "MODIFIED" : "ADDED", object);
      else if (was) write("DELETED", object);
    };
    for (const event of events) send(event);
    const bookmark = (end: boolean) => {
      if (this.#silent) return;
      const object = {
        kind: resource.kind,
        apiVersion: apiVersion(resource),
        metadata: {
          resourceVersion: String(this.store.version),
          ...(end ? { annotations: { "k8s.io/initial-events-end": "true" } } : {}),
        },
        ...resource.zero,
      };
      response.write(`{"type":"BOOKMARK","object":${JSON.stringify(object)}}\n`);
    };
    if (request.sendInitialEvents && request.bookmarks) bookmark(true);
    const open: OpenWatch = {
      resource,
      namespace,
      response,
      send,
      held: undefined,
      fail: (status) => response.end(`{"type":"ERROR","object":${JSON.stringify(status)}}\n`),
    };
    this.#open.add(open);
    const timers: ReturnType<typeof setTimeout>[] = [];
    if (request.bookmarks) {
      timers.push(setInterval(() => bookmark(false), this.bookmarkMs));
    }
    if (request.timeoutMs !== undefined) {
      timers.push(setTimeout(() => response.end(), request.timeoutMs));
      // The watch cache sends a last bookmark two seconds before the end.
      if (request.bookmarks && request.timeoutMs > 2_000) {
        timers.push(setTimeout(() => bookmark(false), request.timeoutMs - 2_000));
      }
    }
    response.on("close", () => {
      this.#open.delete(open);
      for (const timer of timers) clearTimeout(timer);
    });
  }
}
