import type { Clock } from "../model/clock.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import type { ObjectQuery, ResourceName } from "../model/objects.ts";
import type { ApiClient, RawObject } from "./api_client.ts";
import { ApiError, subjectText } from "./api_errors.ts";

export interface WatchLoopOptions<T> {
  readonly api: ApiClient;
  readonly resource: ResourceName;
  /** Undefined: the whole cluster. */
  readonly namespace: string | undefined;
  readonly query: ObjectQuery;
  /** Takes what is needed of an object. */
  readonly pick: (object: RawObject) => T;
  /** An object appeared, changed or went. Never called for one that is the same. */
  readonly onEvent: (key: string, before: T | undefined, now: T | undefined) => void;
  /** The first full picture is there, and again after every relist. */
  readonly onSynced?: () => void;
  /** Undefined: all is well again. */
  readonly onProblem?: (problem: CzctlError | undefined) => void;
  /** The right is missing or the resource unknown (403, 404): true ends the loop, for a fallback. */
  readonly onDenied?: (error: ApiError) => boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** 0 to 1; Math.random where absent. */
  readonly random?: () => number;
}

type State = "listing" | "watching" | "polling" | "backoff" | "closed";

/** Waits between tries: doubling from the first to the last, in ms, each with jitter down to half. */
const BACKOFF_MS = [250, 15_000] as const;
/** What the server is asked to end a watch after: client-go's 5 to 10 minutes. */
const TIMEOUT_S = [300, 600] as const;
/** Behind the server's own limit a watch gets this much, in ms. */
const GRACE_MS = 15_000;
/**
 * A watch without a byte for this long is opened anew from where it stands,
 * in ms. API servers send a bookmark a minute, so a healthy one never is.
 */
const SILENCE_MS = 75_000;
/** Everything is listed anew this often, in ms, to repair what may have been missed. */
const RESYNC_MS = 600_000;
/**
 * Where listing is allowed and watching is not, the next list comes this much
 * later, in ms: well below the 10 s that a connection waits for a ready pod.
 */
const POLL_MS = 5_000;
/** And so many times later than the list took, so that a big cluster is not listed all the time. */
const POLL_SHARE = 10;
/** Whether watching is allowed by now is asked this often meanwhile, in ms. */
const WATCH_AGAIN_MS = 60_000;
/**
 * Where it has been allowed before, after the next list already, so many times:
 * an API server that starts refuses everybody until it has read its roles.
 */
const SOON_AGAIN = 6;
/** So many watches in a row that ended too soon are told as a problem. */
const MANY = 5;
/** A watch that ended sooner than this counts as a failure: no busy loop against a broken proxy. */
const SHORT_MS = 1_000;

/**
 * Keeps a picture of one collection: lists, watches from there, resumes from
 * the last event or bookmark, and starts over when the server has forgotten
 * that point. Where watching is forbidden it lists again and again. Never ends
 * by itself and never stays silent: every wait has a deadline, and what is
 * wrong is told through `onProblem`.
 */
export class WatchLoop<T> {
  readonly #options: WatchLoopOptions<T>;
  readonly #items = new Map<string, { readonly version: string; readonly value: T }>();
  readonly #closing = new AbortController();
  /** Ends the current watch or wait; the loop goes on at once. */
  #interrupt = new AbortController();
  #state: State = "listing";
  #version = "";
  /** Whose version that is: a cluster made anew counts from the beginning. */
  #server = "";
  #listedAt = -Infinity;
  /** How long that took, in ms. */
  #listMs = 0;
  /** When watching was forbidden last; undefined when it was not. */
  #unwatchedAt: number | undefined;
  /** So many times in a row; and whether it ever was allowed. */
  #unwatched = 0;
  #hasWatched = false;
  /** The last try that failed was answered. */
  #answered = false;
  /** Tries in a row that ended too soon; decides the next wait. */
  #failures = 0;
  /** Tries in a row that were not even answered. */
  #misses = 0;
  #finished: Promise<void> | undefined;
  synced = false;

  constructor(options: WatchLoopOptions<T>) {
    this.#options = options;
  }

  get state(): State {
    return this.#state;
  }

  get size(): number {
    return this.#items.size;
  }

  /** What a user should know of how it follows, in words. */
  get note(): string | undefined {
    if (this.#unwatchedAt === undefined) return undefined;
    const { resource, namespace } = this.#options;
    const subject = subjectText({ verb: "watch", resource, ...(namespace && { namespace }) });
    return `May not watch ${subject}: listed every ${Math.round(this.#pollMs / 1000)} s instead`;
  }

  get #pollMs(): number {
    return Math.max(POLL_MS, this.#listMs * POLL_SHARE);
  }

  values(): T[] {
    return [...this.#items.values()].map((item) => item.value);
  }

  start(): this {
    this.#finished ??= this.#run();
    return this;
  }

  /** Starts the watch anew, now: the connection under it may be dead. */
  kick(): void {
    this.#interrupt.abort();
  }

  /** Ends it; resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#interrupt.abort();
    await this.#finished;
  }

  /** Forgets everything, telling it as deletions; for a closed loop. */
  clear(): void {
    for (const key of [...this.#items.keys()]) this.#delete(key);
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#closing.signal.aborted) {
      this.#interrupt = new AbortController();
      const signal = AbortSignal.any([this.#closing.signal, this.#interrupt.signal]);
      const started = clock.monotonic();
      try {
        if (this.#version === "" || clock.monotonic() - this.#listedAt > RESYNC_MS) {
          this.#state = "listing";
          await this.#list(signal);
          if (this.#failures > 0) this.#options.onProblem?.(undefined);
        }
        if (this.#mayWatch()) {
          this.#state = "watching";
          await this.#watch(signal);
        } else {
          await this.#poll(signal);
          continue;
        }
        if (clock.monotonic() - started >= SHORT_MS) continue;
      } catch (error) {
        if (this.#closing.signal.aborted) break;
        if (this.#interrupt.signal.aborted) continue;
        if (this.#state === "watching" && error instanceof ApiError && error.status === 403) {
          this.#unwatchable();
          continue;
        }
        if (!this.#judge(error)) break;
      }
      await this.#pause(signal);
    }
    this.#state = "closed";
  }

  #mayWatch(): boolean {
    const at = this.#unwatchedAt;
    if (at === undefined) return true;
    const soon = this.#hasWatched && this.#unwatched <= SOON_AGAIN;
    return this.#options.clock.monotonic() - at >= (soon ? POLL_MS : WATCH_AGAIN_MS);
  }

  /** A list shows what has been missed, and whether that is forbidden by now as well. */
  #unwatchable(): void {
    const { clock, log, resource } = this.#options;
    const now = clock.monotonic();
    if (this.#unwatchedAt === undefined) log.info("may not watch, listing instead", { resource });
    this.#unwatchedAt = now;
    this.#unwatched++;
    if (now - this.#listedAt >= POLL_MS) this.#version = "";
  }

  /** Waits for the next list; all is well meanwhile. */
  async #poll(signal: AbortSignal): Promise<void> {
    this.#state = "polling";
    this.#version = "";
    this.#healthy();
    await this.#options.clock.sleep(this.#pollMs, signal);
  }

  /** False: the loop ends. */
  #judge(error: unknown): boolean {
    const { log, resource } = this.#options;
    if (error instanceof ApiError && (error.status === 410 || error.reason === "Expired")) {
      log.debug("watch expired", { resource });
      this.#version = "";
      return true;
    }
    if (!(error instanceof CzctlError)) {
      // Not an answer anybody sends: garbage from a proxy, or a bug. Either
      // way what is known may be wrong, so it starts over rather than dying.
      log.error("watch broke", { resource, problem: String(error) });
      this.#version = "";
      this.#options.onProblem?.(
        new CzctlError("unreachable", `Cannot watch ${resource}: ${messageOf(error)}`),
      );
      return true;
    }
    if (error instanceof ApiError && (error.status === 403 || error.status === 404)) {
      if (this.#options.onDenied?.(error)) return false;
    }
    log.debug("watch failed", { resource, problem: error.message });
    // It is there again: what it does not know yet it may know in a moment.
    const answered = error instanceof ApiError;
    if (answered && !this.#answered) this.#failures = 0;
    this.#answered = answered;
    this.#retryAfter = error instanceof ApiError ? error.retryAfterMs : undefined;
    // A cut is ordinary (a load balancer's limit, a server restarting): it is
    // told when the next try fails as well, or when there is no end of cuts.
    this.#misses++;
    if (this.#misses > 1 || this.#failures >= MANY || !this.synced) {
      this.#options.onProblem?.(error);
    }
    return true;
  }

  #retryAfter: number | undefined;

  async #pause(signal: AbortSignal): Promise<void> {
    this.#state = "backoff";
    const [first, last] = BACKOFF_MS;
    const full = Math.min(first * 2 ** this.#failures, last);
    const random = this.#options.random ?? Math.random;
    const wait = Math.max(full / 2 + random() * full / 2, this.#retryAfter ?? 0);
    this.#retryAfter = undefined;
    this.#failures++;
    try {
      await this.#options.clock.sleep(wait, signal);
    } catch {
      // Kicked or closed.
    }
  }

  #healthy(): void {
    this.#failures = 0;
    this.#options.onProblem?.(undefined);
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { api, resource, namespace, query, pick, clock } = this.#options;
    const started = clock.monotonic();
    const listed = await api.list(resource, namespace, query, (object) => ({
      key: keyOf(object),
      version: String(object.metadata?.resourceVersion ?? ""),
      value: pick(object),
    }), { signal });
    const gone = new Set(this.#items.keys());
    for (const { key, version, value } of listed.items) {
      gone.delete(key);
      this.#set(key, version, value);
    }
    for (const key of gone) this.#delete(key);
    this.#version = listed.resourceVersion;
    this.#server = listed.server;
    this.#listedAt = clock.monotonic();
    this.#listMs = this.#listedAt - started;
    this.synced = true;
    this.#misses = 0;
    this.#options.onSynced?.();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { api, resource, namespace, query, pick, clock } = this.#options;
    const random = this.#options.random ?? Math.random;
    const [least, most] = TIMEOUT_S;
    const timeoutSeconds = Math.round(least + random() * (most - least));
    const silent = new AbortController();
    const giveUp = () => silent.abort();
    let cancelSilence = clock.after(SILENCE_MS, giveUp);
    let cancelStood: (() => void) | undefined;
    const cancelLimit = clock.after(timeoutSeconds * 1000 + GRACE_MS, giveUp);
    try {
      const events = api.watch(resource, namespace, query, {
        resourceVersion: this.#version,
        server: this.#server,
        timeoutSeconds,
        signal: AbortSignal.any([signal, silent.signal]),
        onBytes: () => {
          this.#misses = 0;
          this.#unwatchedAt = undefined;
          this.#unwatched = 0;
          this.#hasWatched = true;
          this.#answered = false;
          cancelSilence();
          cancelSilence = clock.after(SILENCE_MS, giveUp);
          // Well again once it has stood for a moment; the first bytes alone
          // prove nothing (a proxy that accepts and hangs up).
          if (this.#failures > 0) cancelStood ??= clock.after(SHORT_MS, () => this.#healthy());
        },
      });
      for await (const event of events) {
        const version = event.object?.metadata?.resourceVersion;
        if (typeof version === "string" && version !== "") this.#version = version;
        if (event.type === "BOOKMARK") continue;
        const key = keyOf(event.object);
        if (event.type === "DELETED") this.#delete(key);
        else this.#set(key, String(version ?? ""), pick(event.object));
      }
    } catch (error) {
      // Silence is no failure: the next watch resumes from here.
      if (!silent.signal.aborted || signal.aborted) throw error;
      this.#options.log.debug("watch silent, opened anew", { resource });
    } finally {
      cancelSilence();
      cancelLimit();
      cancelStood?.();
    }
  }

  #set(key: string, version: string, value: T): void {
    const before = this.#items.get(key);
    if (before && before.version === version && version !== "") return;
    this.#items.set(key, { version, value });
    this.#options.onEvent(key, before?.value, value);
  }

  #delete(key: string): void {
    const before = this.#items.get(key);
    if (!before) return;
    this.#items.delete(key);
    this.#options.onEvent(key, before.value, undefined);
  }
}

function keyOf(object: RawObject): string {
  const { namespace, name } = object.metadata;
  return namespace ? `${namespace}/${name}` : name;
}
