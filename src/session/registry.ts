import { randomBytes } from "node:crypto";
import type { SessionInfo, TeleportRequest } from "../model/control.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import { askedOtherwise } from "./asked_otherwise.ts";
import type { Emit } from "./emit.ts";
import { Session, type SessionDeps } from "./session.ts";

/** The open sessions of one user, opened and closed one at a time per session. */
export class SessionRegistry {
  readonly #sessions = new Map<string, Session>();
  /** Sessions that are opening, by who holds them then. */
  readonly #opening = new Map<string, Promise<unknown>>();
  /** Aborted when svc ends: nothing new is let in, and what is opening is undone. */
  readonly #stop = new AbortController();

  constructor(
    private readonly deps: Omit<SessionDeps, "onReleased">,
    /** The last session has closed. */
    private readonly onIdle: () => void,
  ) {}

  get size(): number {
    return this.#sessions.size + this.#opening.size;
  }

  /** How many are being opened, or undone after that failed. */
  get opening(): number {
    return this.#opening.size;
  }

  /** See `Session.look`. */
  async look(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.look()));
  }

  list(): SessionInfo[] {
    return [...this.#sessions.values()].map((session) => session.info());
  }

  /** Opens a session, or finds it open already. Throws CzctlError; then nothing is left of it. */
  async open(
    request: TeleportRequest,
    emit: Emit,
    signal: AbortSignal,
  ): Promise<{ session: SessionInfo; already: boolean }> {
    if (this.#stop.signal.aborted) {
      throw new CzctlError("failed", "Cannot open a session: czfwd is stopping");
    }
    const holder = request.holder ?? randomBytes(8).toString("hex");
    const work = this.#open(request, holder, emit, AbortSignal.any([signal, this.#stop.signal]));
    this.#opening.set(holder, work);
    try {
      return await work;
    } catch (error) {
      await this.#drop(holder, emit);
      throw error;
    } finally {
      this.#opening.delete(holder);
      this.#reportIdle();
    }
  }

  /** Stays until a holder has been released; one whose client goes away is. */
  async hold(holder: string, signal: AbortSignal): Promise<void> {
    const session = [...this.#sessions.values()].find((one) => one.holders.has(holder));
    if (session === undefined) return;
    const gone = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => gone.resolve(), { once: true });
    if (!signal.aborted) await Promise.race([session.holders.released(holder), gone.promise]);
    await this.#drop(holder, () => {});
  }

  /**
   * One holder less, also where its session is only opening; the session that
   * nobody holds any more is closed.
   */
  async release(holder: string, emit: Emit): Promise<void> {
    await this.#opening.get(holder)?.catch(() => {});
    await this.#drop(holder, emit);
  }

  async #drop(holder: string, emit: Emit): Promise<void> {
    for (const [id, { holders }] of this.#sessions) {
      // It stays the holder while it closes: who asks again waits for the same end.
      if (holders.isOnly(holder)) await this.close([id], false, emit);
      else holders.remove(holder);
    }
  }

  /**
   * Openings of one cluster take turns, so that the same session asked for
   * twice opens once; one cluster that does not answer holds up no other.
   */
  readonly #turns = new Map<string, Promise<unknown>>();

  async #open(request: TeleportRequest, holder: string, emit: Emit, signal: AbortSignal) {
    const id = randomBytes(4).toString("hex");
    emit({ type: "progress", text: "Asking the cluster" });
    const session = await Session.prepare(id, request, {
      ...this.deps,
      onReleased: (heir) => this.#takeOver(heir),
    }, signal);
    const { clusterId } = session.identity;
    const turn = (this.#turns.get(clusterId) ?? Promise.resolve()).then(async () => {
      const same = [...this.#sessions.values()].find((other) => isSame(other, session));
      if (same?.isClosing) {
        await same.close().catch(() => {});
      } else if (same) {
        const missing = askedOtherwise(request, same.openedAs());
        // At once: it may lose its last holder meanwhile.
        if (missing.length === 0) same.holders.add(holder);
        await same.logInAs(session);
        await session.discard();
        if (missing.length > 0) throw openedOtherwise(same, missing);
        await same.look();
        return { session: same.info(), already: true };
      }
      await session.open(emit, signal);
      session.holders.add(holder);
      this.#sessions.set(id, session);
      return { session: session.info(), already: false };
    });
    this.#turns.set(clusterId, turn.catch(() => {}));
    return await turn;
  }

  /**
   * Closes the named sessions. Throws CzctlError `not_found` for an unknown id
   * before anything is closed; a failure while closing one is thrown after all
   * were tried, unless `force`.
   */
  async close(ids: readonly string[] | "all", force: boolean, emit: Emit): Promise<void> {
    const chosen = ids === "all" ? [...this.#sessions.keys()] : ids.map((id) => this.#find(id));
    let failure: unknown;
    for (const id of chosen) {
      const session = this.#sessions.get(id);
      if (!session) continue;
      emit({ type: "progress", text: `Closing session ${id}` });
      const before = session.info();
      try {
        await session.close();
      } catch (error) {
        this.deps.log.error("Cannot close a session cleanly", {
          session: id,
          error: messageOf(error),
        });
        if (!force) failure ??= error;
        else await this.deps.store.remove(id);
      }
      this.#sessions.delete(id);
      session.holders.clear();
      const { notes } = session.info();
      emit({ type: "closed", session: { ...before, notes } });
      // What closing itself had to say: a file that was left because the user has changed it.
      for (const text of notes) if (!before.notes.includes(text)) emit({ type: "note", text });
    }
    // Names that this one's cluster held are free for sessions of other clusters.
    for (const id of this.#sessions.keys()) this.#takeOver(id);
    this.#reportIdle();
    if (failure !== undefined) throw failure;
  }

  /** Lets nothing new in, undoes what is opening, closes all. */
  async stop(emit: Emit): Promise<void> {
    this.#stop.abort(
      new CzctlError("interrupted", "Cannot open the session: czfwd is stopping; it is undone"),
    );
    await Promise.allSettled(this.#opening.values());
    await this.close("all", true, emit);
  }

  #find(id: string): string {
    const matches = [...this.#sessions.keys()].filter((known) => known.startsWith(id));
    if (matches.length === 1) return matches[0]!;
    throw new CzctlError(
      "not_found",
      matches.length === 0 ? `Session "${id}" not found` : `Session id "${id}" is not unique`,
      { hint: "See the open sessions: czctl session list" },
    );
  }

  #takeOver(id: string): void {
    this.#sessions.get(id)?.takeOver().catch((error) =>
      this.deps.log.error("Cannot take over from a closed session", {
        session: id,
        error: messageOf(error),
      })
    );
  }

  #reportIdle(): void {
    if (this.size === 0) this.onIdle();
  }
}

function isSame(a: Session, b: Session): boolean {
  const x = a.identity;
  const y = b.identity;
  return x.clusterId === y.clusterId && x.domain === y.domain &&
    x.workload.kind === y.workload.kind && x.workload.name === y.workload.name &&
    x.workload.namespace === y.workload.namespace;
}

/** Done as though it had been asked for, the file that is missing would be noticed much later. */
function openedOtherwise(session: Session, missing: readonly string[]): CzctlError {
  const { kind, name } = session.identity.workload;
  return new CzctlError(
    "failed",
    `Cannot teleport: the session of ${kind}/${name} is open already, without ${
      missing.join(", ")
    }`,
    { hint: `Close it first: czctl session close ${session.id}` },
  );
}
