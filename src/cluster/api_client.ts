import { createHash } from "node:crypto";
import type { ApiTarget, ApiTargetSource } from "../model/api_target.ts";
import type { Clock } from "../model/clock.ts";
import type { ObjectQuery, ResourceName } from "../model/objects.ts";
import type { HttpClient, HttpResponse } from "../platform/http.ts";
import { DialError } from "../platform/tcp.ts";
import { untilAborted } from "../platform/until_aborted.ts";
import {
  answerError,
  ApiError,
  type ClusterLabel,
  connectionError,
  readStatus,
  type RequestSubject,
} from "./api_errors.ts";
import { resourcePath } from "./resources.ts";

export interface ListResult<T> {
  readonly items: T[];
  readonly resourceVersion: string;
  /** Whose `resourceVersion` that is. */
  readonly server: string;
}

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: RawObject;
}

/** As JSON.parse gives it. */
// deno-lint-ignore no-explicit-any
export type RawObject = any;

export interface RequestLimits {
  readonly signal?: AbortSignal;
  /** Until the head of the answer, in ms. */
  readonly deadlineMs?: number;
  readonly dialDeadlineMs?: number;
  readonly fresh?: boolean;
  /** Only this server will do, as `onServer` told it; ApiError 410 where another has taken its place. */
  readonly server?: string;
  /** Told which server is asked. */
  readonly onServer?: (server: string) => void;
}

/** Objects a page; kubectl's default for big lists. */
const PAGE = 500;
const HEAD_MS = 30_000;
const BODY_IDLE_MS = 30_000;
/** The longest line of a watch, in characters: etcd holds at most 1.5 MiB an object. */
const MAX_LINE = 16 << 20;
const BUSY_TRIES = 3;
/**
 * A connection that is broken off before an answer is made anew so many times, after a pause in ms:
 * load balancers do that when the server behind them restarts. client-go asks ten times, a second apart.
 */
const BROKEN_TRIES = 2;
const BROKEN_MS = 500;
/** The longest body of an error that is read, in bytes; a Status object is a few hundred. */
const MAX_ERROR = 256 << 10;

/**
 * GET, list and watch against one API server. A 401 makes it ask for fresh
 * credentials once; 429, and Retry-After, are obeyed a few times. Throws ApiError
 * for an answer that is no success and CzctlError `unreachable` for none.
 */
export class ApiClient {
  readonly label: ClusterLabel;
  readonly #http: HttpClient;
  readonly #targets: ApiTargetSource;
  readonly #clock: Clock;

  constructor(
    options: { label: ClusterLabel; http: HttpClient; targets: ApiTargetSource; clock: Clock },
  ) {
    this.label = options.label;
    this.#http = options.http;
    this.#targets = options.targets;
    this.#clock = options.clock;
  }

  /** One object. */
  async get(
    resource: ResourceName,
    namespace: string | undefined,
    name: string,
    limits: RequestLimits = {},
  ): Promise<RawObject> {
    const subject = subjectOf("get", resource, namespace, name);
    const response = await this.#send(resourcePath(resource, namespace, name), limits);
    const object = await this.#json(response, subject);
    if (typeof object?.metadata?.name !== "string") throw this.#notFromServer("an object");
    return object;
  }

  /** Any path, for heartbeats and versions. */
  async raw(path: string, limits: RequestLimits = {}): Promise<RawObject> {
    const subject = { verb: "get", resource: path };
    return await this.#json(await this.#send(path, limits), subject);
  }

  /** Asks the server to judge something, a SelfSubjectAccessReview for example; nothing is stored. */
  async review(path: string, question: unknown, limits: RequestLimits = {}): Promise<RawObject> {
    const subject = { verb: "create", resource: path };
    return await this.#json(
      await this.#send(path, limits, false, JSON.stringify(question)),
      subject,
    );
  }

  /**
   * A whole collection, page by page; `pick` takes what is needed of each
   * object so that the rest can be freed at once, and leaves it out with
   * undefined. Starts again once when the list expires between two pages.
   */
  async list<T>(
    resource: ResourceName,
    namespace: string | undefined,
    query: ObjectQuery,
    pick: (object: RawObject) => T | undefined,
    limits: RequestLimits = {},
  ): Promise<ListResult<T>> {
    const subject = subjectOf("list", resource, namespace);
    for (let expired = false;;) {
      const items: T[] = [];
      let next = "";
      let server: string | undefined;
      const asked = {
        ...limits,
        onServer: (now: string) => server ??= now,
      };
      try {
        while (true) {
          const path = withQuery(resourcePath(resource, namespace), query, {
            limit: String(PAGE),
            ...(next ? { continue: next } : {}),
          });
          const page = await this.#json(
            await this.#send(path, server === undefined ? asked : { ...asked, server }),
            subject,
          );
          // Taken for an empty list, a proxy's own answer would end everything a session has.
          if (!isList(page)) throw this.#notFromServer("a list");
          for (const object of page.items ?? []) {
            const picked = pick(object);
            if (picked !== undefined) items.push(picked);
          }
          next = page.metadata?.continue ?? "";
          if (!next) {
            const resourceVersion = page.metadata?.resourceVersion ?? "";
            return { items, resourceVersion, server: server ?? "" };
          }
        }
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 410 || expired || !next) throw error;
        expired = true;
      }
    }
  }

  /**
   * Events from `resourceVersion` on, until the server ends the watch. A 410
   * inside the stream throws ApiError 410 like one in front of it.
   * `onBytes` hears of every sign of life.
   */
  async *watch(
    resource: ResourceName,
    namespace: string | undefined,
    query: ObjectQuery,
    options: {
      resourceVersion: string;
      /** Where that comes from; ApiError 410 when the kubeconfig leads elsewhere by now. */
      server: string;
      timeoutSeconds: number;
      signal: AbortSignal;
      onBytes?: () => void;
    },
  ): AsyncGenerator<WatchEvent> {
    const subject = subjectOf("watch", resource, namespace);
    const path = withQuery(resourcePath(resource, namespace), query, {
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: options.resourceVersion,
      timeoutSeconds: String(options.timeoutSeconds),
    });
    const { signal, server } = options;
    const response = await this.#send(path, { signal, server }, true);
    if (response.status !== 200) throw await this.#failure(response, subject);
    options.onBytes?.();
    try {
      for await (const line of this.#lines(response, options.onBytes)) {
        const event = JSON.parse(line) as WatchEvent;
        if (event.type === "ERROR") {
          const status = readStatus(JSON.stringify(event.object));
          throw answerError(
            this.label,
            subject,
            status.code ?? 500,
            JSON.stringify(event.object),
            undefined,
          );
        }
        yield event;
      }
    } catch (error) {
      throw this.#translate(error);
    } finally {
      response.cancel();
    }
  }

  async *#lines(response: HttpResponse, onBytes?: () => void): AsyncGenerator<string> {
    const decoder = new TextDecoder();
    let parts: string[] = [];
    let length = 0;
    for (let chunk = await response.read(); chunk; chunk = await response.read()) {
      onBytes?.();
      const pieces = decoder.decode(chunk, { stream: true }).split("\n");
      for (let index = 0; index < pieces.length - 1; index++) {
        parts.push(pieces[index]!);
        const line = parts.join("");
        parts = [];
        length = 0;
        if (line !== "") yield line;
      }
      const rest = pieces[pieces.length - 1]!;
      if (rest !== "") parts.push(rest);
      length += rest.length;
      if (length > MAX_LINE) throw new DialError("closed", "a watch event is too long");
    }
    // A line without its end was cut off in the middle: not an event.
  }

  async #json(response: HttpResponse, subject: RequestSubject): Promise<RawObject> {
    if (response.status !== 200 && response.status !== 201) {
      throw await this.#failure(response, subject);
    }
    let text: string;
    try {
      text = await response.text();
    } catch (error) {
      throw this.#translate(error);
    }
    try {
      return JSON.parse(text);
    } catch {
      throw this.#notFromServer("JSON");
    }
  }

  #notFromServer(wanted: string): unknown {
    return this.#translate(
      new DialError("tls", `the answer is not ${wanted}, so it is not from an API server`),
    );
  }

  async #failure(response: HttpResponse, subject: RequestSubject): Promise<ApiError> {
    let text = "";
    try {
      text = await response.text(MAX_ERROR);
    } catch {
      // The status says enough.
    }
    const retryAfter = response.headers.get("retry-after");
    return answerError(this.label, subject, response.status, text, retryAfter);
  }

  async #send(
    path: string,
    limits: RequestLimits,
    watching = false,
    body?: string,
  ): Promise<HttpResponse> {
    let refreshed = false;
    const targets: ApiTargetSource = (asked) => {
      const { signal } = limits;
      return signal ? untilAborted(this.#targets(asked), signal) : this.#targets(asked);
    };
    let target = await targets();
    for (let tries = 1;; tries++) {
      limits.signal?.throwIfAborted();
      const server = serverOf(target);
      if (limits.server !== undefined && limits.server !== server) {
        throw new ApiError("failed", "The kubeconfig leads to another API server now", {
          status: 410,
          reason: "Expired",
        });
      }
      limits.onServer?.(server);
      let response: HttpResponse;
      try {
        response = await this.#http.request(target, {
          path,
          headers: {
            accept: "application/json",
            "user-agent": "czctl",
            ...(body === undefined ? {} : { "content-type": "application/json" }),
          },
          ...(body === undefined ? {} : { method: "POST" as const, body }),
          headDeadlineMs: limits.deadlineMs ?? HEAD_MS,
          bodyIdleMs: watching ? 0 : limits.deadlineMs ?? BODY_IDLE_MS,
          ...(limits.dialDeadlineMs === undefined ? {} : { dialDeadlineMs: limits.dialDeadlineMs }),
          ...(limits.signal ? { signal: limits.signal } : {}),
          ...(limits.fresh ? { fresh: true } : {}),
        });
      } catch (error) {
        const broken = error instanceof DialError && error.kind === "closed";
        if (!broken || watching || tries > BROKEN_TRIES) throw this.#translate(error);
        await this.#clock.sleep(BROKEN_MS, limits.signal);
        continue;
      }
      if (response.status === 401 && !refreshed) {
        refreshed = true;
        await response.text(MAX_ERROR).catch(() => {});
        // Another request may have brought fresh credentials meanwhile.
        const now = await targets();
        const other = now.headers.authorization !== target.headers.authorization ||
          now.tls?.cert !== target.tls?.cert;
        target = other ? now : await targets({ refresh: true });
        continue;
      }
      const { status } = response;
      const retryAfter = response.headers.get("retry-after");
      const seconds = Number(retryAfter ?? "1");
      // Like client-go: a server that says when is asked again, whatever it cannot do now.
      const soon = seconds * 1000 <= (limits.deadlineMs ?? HEAD_MS);
      const busy = status === 429 || status >= 500 && retryAfter !== undefined && soon;
      if (busy && tries <= BUSY_TRIES) {
        await response.text(MAX_ERROR).catch(() => {});
        const wait = Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0.2), 10) * 1000 : 1000;
        await this.#clock.sleep(wait, limits.signal);
        continue;
      }
      if (response.status >= 300 && response.status < 400) {
        response.cancel();
        throw this.#translate(
          new DialError("tls", `it redirects to "${response.headers.get("location") ?? ""}"`),
        );
      }
      return response;
    }
  }

  #translate(error: unknown): unknown {
    return connectionError(this.label, error);
  }
}

/** A Status, or what a proxy answers with 200 in JSON, is none. */
function isList(page: RawObject): boolean {
  return typeof page?.kind === "string" && page.kind.endsWith("List") &&
    (Array.isArray(page.items) || page.items === null || page.items === undefined);
}

/** The same for one cluster as long as it stays at its address. */
function serverOf({ host, port, basePath, tls }: ApiTarget): string {
  return `${host}:${port}${basePath} ${tls?.ca === undefined ? "" : digestOf(tls.ca)}`;
}

/** Of a bundle that may be the system's, a quarter of a megabyte: computed once. */
function digestOf(ca: string): string {
  if (lastDigest?.ca !== ca) {
    lastDigest = { ca, digest: createHash("sha256").update(ca).digest("base64") };
  }
  return lastDigest.digest;
}

let lastDigest: { readonly ca: string; readonly digest: string } | undefined;

function subjectOf(
  verb: string,
  resource: ResourceName,
  namespace: string | undefined,
  name?: string,
): RequestSubject {
  return {
    verb,
    resource,
    ...(namespace ? { namespace } : {}),
    ...(name === undefined ? {} : { name }),
  };
}

function withQuery(path: string, query: ObjectQuery, more: Record<string, string>): string {
  const search = new URLSearchParams(more);
  if (query.labelSelector) search.set("labelSelector", query.labelSelector);
  if (query.fieldSelector) search.set("fieldSelector", query.fieldSelector);
  return `${path}?${search}`;
}
