/**
 * The hosts file as svc keeps it: says what is wanted, and a helper makes it so
 * for as long as the keeper lives. A helper that goes away is replaced, a block
 * that somebody changed is put back, and at the end everything is restored.
 */
import type { Clock } from "../model/clock.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import type { HostsEntry, HostsResult } from "../model/hosts.ts";
import type { Logger } from "../model/log.ts";
import { fileSignature } from "../platform/file_signature.ts";
import { HelperGone, HelperLink } from "./helper_link.ts";
import { SYSTEM_PLACE } from "./place.ts";

/** How often the hosts file is looked at (one stat), in ms. */
const LOOK_MS = 500;
/** Between two starts of a helper that keeps going away, in ms. */
const FIRST_RESTART_MS = 100;
const LAST_RESTART_MS = 5_000;
/** A helper that lived this long was well: the next one is started without delay. */
const WELL_MS = 10_000;
/**
 * How long an edit waits for a helper that does not start, in ms. The old one's
 * last edit is waited for 3 s by each start; when there is none to be had (the
 * binary is gone, or of another version), closing must come to its end.
 */
const NO_HELPER_MS = 5_000;

export interface HostsKeeperOptions {
  /**
   * The installed set-uid copy, or (when already root) the own binary and
   * `helper`. Asked before each start: `czctl start --prefix` moves the copy.
   */
  readonly command: () => Promise<readonly string[]>;
  readonly log: Logger;
  readonly clock: Clock;
  /** Version the helper must have; anything else is refused. */
  readonly version: string;
  /** Environment of the helper; empty unless told. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RelaySpec {
  readonly address: string;
  /** Below 1024. */
  readonly port: number;
  /** Port of the user's own listener on the same address. */
  readonly to: number;
}

export interface HostsState {
  readonly state: "running" | "restarting" | "failed";
  readonly pid?: number;
  /** Why it does not run, or why the hosts file is not as wanted. */
  readonly reason?: string;
}

interface Waiter {
  readonly revision: number;
  resolve(result: HostsResult): void;
  reject(error: unknown): void;
}

export class HostsKeeper {
  readonly #options: HostsKeeperOptions;
  readonly #relays = new Map<string, RelaySpec>();
  readonly #closing = new AbortController();
  #link: HelperLink | undefined;
  #nextLink = Promise.withResolvers<HelperLink>();
  /** Undefined until something was asked for: a keeper without entries writes nothing. */
  #wanted: readonly HostsEntry[] | undefined;
  #revision = 0;
  #applied = 0;
  #applying = false;
  #waiters: Waiter[] = [];
  #result: HostsResult | undefined;
  /** What the hosts file was when the block was as wanted; undefined: to be looked at. */
  #seen: string | undefined;
  #failure: string | undefined;
  #startFailure: string | undefined;
  #startedAt = 0;
  #restartMs = FIRST_RESTART_MS;
  #closed: Promise<void> | undefined;

  private constructor(options: HostsKeeperOptions, link: HelperLink) {
    this.#options = options;
    this.#nextLink.promise.catch(() => {});
    this.#attach(link);
    this.#look();
  }

  /** Starts a helper. Throws CzctlError `not_elevated` when there is none that fits. */
  static async start(options: HostsKeeperOptions): Promise<HostsKeeper> {
    return new HostsKeeper(options, await startLink(options));
  }

  get state(): HostsState {
    if (this.#link !== undefined) {
      return {
        state: "running",
        pid: this.#link.pid,
        ...(this.#failure === undefined ? {} : { reason: this.#failure }),
      };
    }
    if (this.#startFailure === undefined) return { state: "restarting" };
    return { state: "failed", reason: this.#startFailure };
  }

  /** What is in the file, as far as known. */
  get result(): HostsResult | undefined {
    return this.#result;
  }

  /**
   * Makes the block say exactly these entries. Calls that come while an edit is
   * under way are served together: the latest wins, and all resolve with its
   * result. Throws what the helper refuses, and when there is none for 5 s; it
   * is tried again all the same until something else is wanted.
   */
  apply(entries: readonly HostsEntry[]): Promise<HostsResult> {
    if (this.#closing.signal.aborted) return Promise.reject(closedError());
    this.#wanted = entries;
    const revision = ++this.#revision;
    const result = new Promise<HostsResult>((resolve, reject) => {
      this.#waiters.push({ revision, resolve, reject });
    });
    this.#applySoon();
    return result;
  }

  /** Has a low port relayed until `unrelay`. Throws CzctlError when it cannot be. */
  async relay(spec: RelaySpec): Promise<void> {
    for (;;) {
      const link = this.#link ?? await this.#nextLink.promise;
      try {
        await link.ask({ op: "relay", ...spec });
        this.#relays.set(keyOf(spec), spec);
        return;
      } catch (error) {
        if (!(error instanceof HelperGone) || this.#closing.signal.aborted) throw error;
        await link.gone;
      }
    }
  }

  async unrelay(spec: { readonly address: string; readonly port: number }): Promise<void> {
    this.#relays.delete(keyOf(spec));
    const { address, port } = spec;
    // Without a helper nothing listens, which is what was asked for.
    await this.#link?.ask({ op: "unrelay", address, port }).catch((error) => {
      if (!(error instanceof HelperGone)) throw error;
    });
  }

  /**
   * Takes the block out, ends the helper and the relays. Throws CzctlError when
   * the file could not be restored.
   */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#closing.abort(closedError());
    this.#nextLink.reject(closedError());
    for (const waiter of this.#waiters.splice(0)) waiter.reject(closedError());
    // A helper that is gone left its block behind: a new one takes it out.
    const link = this.#link ?? await startLink(this.#options);
    try {
      await link.end();
    } catch (error) {
      if (!(error instanceof HelperGone)) throw error;
      await (await startLink(this.#options)).end();
    }
  }

  #attach(link: HelperLink): void {
    this.#link = link;
    this.#startFailure = undefined;
    this.#startedAt = this.#options.clock.monotonic();
    this.#nextLink.resolve(link);
    link.gone.then((reason) => this.#replace(reason));
  }

  async #replace(reason: CzctlError | undefined): Promise<void> {
    this.#link = undefined;
    this.#nextLink = Promise.withResolvers();
    this.#nextLink.promise.catch(() => {});
    const { signal } = this.#closing;
    const { log, clock } = this.#options;
    if (signal.aborted) return;
    log.warn("The helper ended; starting another", { reason: reason?.message });
    const goneAt = clock.monotonic();
    if (clock.monotonic() - this.#startedAt > WELL_MS) this.#restartMs = FIRST_RESTART_MS;
    for (;;) {
      try {
        await clock.sleep(this.#restartMs, signal);
        this.#restartMs = Math.min(this.#restartMs * 2, LAST_RESTART_MS);
        const link = await startLink(this.#options);
        if (signal.aborted) return void await link.end().catch(() => {});
        this.#attach(link);
        break;
      } catch (error) {
        if (signal.aborted) return;
        this.#startFailure = messageOf(error);
        log.error("The helper does not start", { reason: this.#startFailure });
        if (clock.monotonic() - goneAt > NO_HELPER_MS) this.#refuseAll(error);
      }
    }
    if (this.#wanted !== undefined) this.#again();
    await this.#relayAgain();
  }

  /** Without a helper nothing can be done for those who wait; the next one begins with all of it. */
  #refuseAll(error: unknown): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
    this.#nextLink.reject(error);
    this.#nextLink = Promise.withResolvers();
    this.#nextLink.promise.catch(() => {});
  }

  async #relayAgain(): Promise<void> {
    for (const spec of [...this.#relays.values()]) {
      try {
        await this.#link?.ask({ op: "relay", ...spec });
      } catch (error) {
        if (error instanceof HelperGone) return;
        this.#options.log.warn("A low port could not be relayed again", {
          port: keyOf(spec),
          reason: messageOf(error),
        });
      }
    }
  }

  /** Applies the wanted entries once more, for nobody in particular. */
  #again(): void {
    this.#revision++;
    this.#applySoon();
  }

  #applySoon(): void {
    if (this.#applying) return;
    this.#applying = true;
    this.#applyAll();
  }

  async #applyAll(): Promise<void> {
    try {
      while (this.#applied < this.#revision && !this.#closing.signal.aborted) {
        // Without a helper: the next one begins with all that is wanted.
        if (this.#link === undefined || !(await this.#applyOnce(this.#link))) return;
      }
    } finally {
      this.#applying = false;
    }
  }

  /** False when the helper went away. */
  async #applyOnce(link: HelperLink): Promise<boolean> {
    const revision = this.#revision;
    try {
      const before = await hostsSignature();
      const result = (await link.ask({ op: "apply", entries: this.#wanted ?? [] }))!;
      // After a change the file is looked at once more; what it was before an
      // edit that changed nothing is surely what we know.
      this.#seen = result.changed ? undefined : before;
      this.#result = result;
      this.#failure = undefined;
      this.#settle(revision, (waiter) => waiter.resolve(result));
    } catch (error) {
      if (error instanceof HelperGone) return false;
      const reason = messageOf(error);
      if (reason !== this.#failure) {
        this.#options.log.error("The hosts file is not as wanted", { reason });
      }
      this.#failure = reason;
      this.#seen = undefined;
      this.#settle(revision, (waiter) => waiter.reject(error));
    }
    return true;
  }

  #settle(revision: number, settle: (waiter: Waiter) => void): void {
    this.#applied = revision;
    const due = this.#waiters.filter((waiter) => waiter.revision <= revision);
    this.#waiters = this.#waiters.filter((waiter) => waiter.revision > revision);
    due.forEach(settle);
  }

  /** Notices when somebody else wrote the file, and has the block checked. */
  async #look(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#options.clock.sleep(LOOK_MS, signal);
      } catch {
        return;
      }
      if (this.#wanted === undefined || this.#link === undefined) continue;
      if (this.#applying) continue;
      if (await hostsSignature() !== this.#seen) this.#again();
    }
  }
}

/** One that is gone has a signature, too: it is not the one that was seen. */
async function hostsSignature(): Promise<string> {
  return await fileSignature(SYSTEM_PLACE.hosts) ?? "gone";
}

async function startLink(options: HostsKeeperOptions): Promise<HelperLink> {
  const link = await HelperLink.start(await options.command(), options.env ?? {}, options.clock);
  if (link.hello.version === options.version) return link;
  await link.end().catch(() => {});
  throw new CzctlError(
    "not_elevated",
    `Cannot use the installed helper: it is version ${link.hello.version}, ` +
      `this is ${options.version}`,
    { hint: "Bring them together with: czctl stop; czctl start" },
  );
}

function keyOf(spec: { readonly address: string; readonly port: number }): string {
  return `${spec.address}:${spec.port}`;
}

function closedError(): CzctlError {
  return new CzctlError("failed", "Cannot edit the hosts file: closing");
}
