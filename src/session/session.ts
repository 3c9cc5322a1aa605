import {
  type EnvFileInfo,
  lostText,
  type SessionInfo,
  type TeleportRequest,
} from "../model/control.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/log.ts";
import type { Discovery } from "../cluster/discovery.ts";
import type { EnvFileRecord } from "../envfile/file.ts";
import { TunnelEngine } from "../tunnel/engine.ts";
import type { TapSource } from "../model/tap.ts";
import type { AddressBook } from "./addresses.ts";
import type { Claims } from "./claims.ts";
import type { Emit } from "./emit.ts";
import { Forwarder } from "./forwarder.ts";
import { Holders } from "./holders.ts";
import type { HostsBoard } from "./hosts_board.ts";
import { LostNamespaces } from "./lost_namespaces.ts";
import { outsideNames } from "./outside.ts";
import { unfitting } from "./plan.ts";
import { Reachability } from "./reachability.ts";
import { refuseCollision, refuseNoServices, refuseNothingTunnelled, whereOf } from "./refusals.ts";
import type { Relays } from "./rooms.ts";
import type { OpenedAs } from "./asked_otherwise.ts";
import { before } from "./deadline.ts";
import { describeOpened, leftOutNotes } from "./describe.ts";
import { SessionEnvironment } from "./session_environment.ts";
import type { SessionStore } from "./store.ts";
import {
  kubeconfigOf,
  lookUp,
  namedNamespaces,
  planOptions,
  type SessionIdentity,
  type SessionSubject,
} from "./subject.ts";

/** The first full picture of a namespace must be there within this, in ms. */
const DISCOVERY_DEADLINE_MS = 30_000;
/** How long a session may take to follow its cluster again after a new log-in, in ms. */
const RECONNECT_MS = 3_000;

export interface SessionDeps {
  readonly home: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly addresses: AddressBook;
  readonly claims: Claims;
  readonly board: HostsBoard;
  readonly relays: Relays;
  readonly store: SessionStore;
  readonly tap: TapSource | undefined;
  readonly saveAddresses: () => Promise<void>;
  readonly onReleased: (sessionId: string) => void;
}

/** What `teleport` opens and `session close` ends. */
export class Session {
  readonly holders = new Holders();
  #state: SessionInfo["state"] = "opening";
  #discovery: Discovery | undefined;
  #engine: TunnelEngine | undefined;
  #forwarder: Forwarder | undefined;
  /** Set once it is written. */
  #environment: SessionEnvironment | undefined;
  #envRecord: EnvFileRecord | undefined;
  readonly #reachability: Reachability;
  readonly #lost: LostNamespaces;
  readonly #createdAt: string;
  readonly #notes: string[];
  readonly #log: Logger;
  #closing: Promise<void> | undefined;

  private constructor(
    readonly id: string,
    private readonly subject: SessionSubject,
    private readonly request: TeleportRequest,
    private readonly deps: SessionDeps,
  ) {
    this.#createdAt = new Date(deps.clock.now()).toISOString();
    this.#log = deps.log.with({ session: id });
    this.#reachability = new Reachability(deps.clock, this.#log);
    this.#lost = new LostNamespaces(
      namedNamespaces(subject),
      (namespace) => subject.cluster.namespaceState(namespace),
      this.#log,
    );
    this.#notes = [...subject.notes];
  }

  /**
   * Looks the workload up and makes a session of it, nothing changed yet.
   * Throws CzctlError for whatever is wrong with the kubeconfig, the cluster,
   * the rights or the names.
   */
  static async prepare(
    id: string,
    request: TeleportRequest,
    deps: SessionDeps,
    signal: AbortSignal,
  ): Promise<Session> {
    return new Session(id, await lookUp(request, deps, signal), request, deps);
  }

  get identity(): SessionIdentity {
    return this.subject.identity;
  }

  get isClosing(): boolean {
    return this.#state === "closing";
  }

  /** Opens it; on any failure, and when aborted, everything done is undone before it throws. */
  async open(emit: Emit, signal: AbortSignal): Promise<void> {
    try {
      await this.#open(emit, signal);
      signal.throwIfAborted();
      this.#state = "ready";
    } catch (error) {
      await this.close().catch((failure) =>
        this.#log.error("Cannot undo a failed opening completely", { error: messageOf(failure) })
      );
      throw signal.aborted
        ? new CzctlError("interrupted", "Interrupted; what had been done is undone")
        : error;
    }
  }

  async #open(emit: Emit, signal: AbortSignal): Promise<void> {
    const { deps, request } = this;
    const { cluster, namespaces } = this.subject;
    const environment = await this.#claimEnvironment(signal);
    await this.#record();
    const engine = new TunnelEngine({
      targets: cluster.targets,
      kubectl: cluster.kubectl,
      log: this.#log,
      clock: deps.clock,
      ...(deps.tap === undefined ? {} : { tap: tapOf(deps.tap, this.id) }),
      ...(request.holdMs === undefined ? {} : { holdMs: request.holdMs }),
    });
    this.#engine = engine;
    emit({ type: "progress", text: `Reading the services of ${whereOf(namespaces)}` });
    const forwards = Promise.all(
      namedNamespaces(this.subject).map((namespace) =>
        cluster.portForwardAnswer(namespace, signal)
      ),
    );
    forwards.catch(() => {});
    const discovery = this.#discover(engine);
    this.#discovery = discovery;
    await this.#allowed(
      before(
        discovery.ready,
        DISCOVERY_DEADLINE_MS,
        deps.clock,
        signal,
        () =>
          new CzctlError(
            "unreachable",
            `Cannot read the services of ${whereOf(namespaces)} within 30 s: ${
              this.#reachability.info.reason ?? "no answer"
            }`,
            {
              hint: `Check the connection to the cluster: ${cluster.kubectl} get services`,
            },
          ),
      ),
      signal,
    );
    const [own, ...others] = await forwards;
    if (own?.refusal) await this.#allowed(Promise.reject(own.refusal), signal);
    for (const { refusal } of others) if (refusal) this.#notes.push(refusal.message);
    for (const { note } of await forwards) if (note !== undefined) this.#notes.push(note);
    const options = planOptions(request, this.identity);
    const services = discovery.services;
    refuseNoServices(services, {
      where: whereOf(namespaces),
      namespace: this.identity.workload.namespace,
      selector: request.labelSelector,
      kubectl: cluster.kubectl,
    });
    for (
      const [flag, globs] of [["--exclude", options.exclude], ["--only", options.only]] as const
    ) {
      for (const glob of unfitting(services.values(), globs)) {
        this.#notes.push(`${flag} ${glob} fits no service of ${whereOf(namespaces)}`);
      }
    }
    refuseCollision(services.values(), options, this.identity.clusterId, deps.claims);
    const outside = outsideNames(services.values(), options, deps.clock, signal);
    outside.catch(() => {});
    this.#forwarder = new Forwarder({
      sessionId: this.id,
      clusterId: this.identity.clusterId,
      options,
      engine,
      relays: deps.relays,
      addresses: deps.addresses,
      claims: deps.claims,
      board: deps.board,
      clock: deps.clock,
      log: this.#log,
      outside,
      onReleased: deps.onReleased,
      saveAddresses: deps.saveAddresses,
    });
    emit({
      type: "progress",
      text: `Opening tunnels for ${services.size} service${services.size === 1 ? "" : "s"}`,
    });
    await this.#forwarder.apply(services);
    for (const [name, reason] of (await outside).found) {
      this.#notes.push(`The name ${name} is left out: ${reason}`);
    }
    refuseNothingTunnelled(this.#forwarder.services(), {
      where: whereOf(namespaces),
      namespace: namespaces === "all" ? undefined : namespaces[0],
      kubectl: cluster.kubectl,
    });
    signal.throwIfAborted();
    if (environment) {
      emit({ type: "progress", text: "Computing the environment" });
      this.#environment = environment;
      await environment.start(signal);
    }
    // Whatever changed while the session was opening.
    await this.#forwarder.apply(discovery.services);
    describeOpened(
      this.info(),
      deps.home,
      this.#forwarder.blocked,
      emit,
    );
  }

  /** Waits for a step; where a right is missing it throws everything that is missing, at once. */
  async #allowed(step: Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await step;
    } catch (error) {
      const { namespaces, cluster } = this.subject;
      const denied = error instanceof CzctlError && error.code === "denied";
      // With all namespaces the way out is to name some, whatever else is missing.
      if (!denied || namespaces === "all") throw error;
      throw await cluster.rightsRefusal(namespaces, signal) ?? error;
    }
  }

  #discover(engine: TunnelEngine): Discovery {
    return this.subject.cluster.discover({
      namespaces: this.subject.namespaces,
      ...(this.request.labelSelector === undefined
        ? {}
        : { labelSelector: this.request.labelSelector }),
    }, {
      onChange: (services) => {
        this.#lost.follow(services.values());
        this.#forwarder?.apply(services).then(
          () => this.#environment?.addressesChanged(),
          (error) =>
            this.#log.error("Cannot follow a change of the cluster", { error: messageOf(error) }),
        );
      },
      onHealth: (health) => this.#reachability.note(health),
      onPodGone: (uid) => engine.retirePod(uid),
      onPodNamed: (uid) => engine.revivePod(uid),
      onPodLeaving: (service, uid, leaving) => engine.podLeaves(service, uid, leaving),
      onNote: (text) => this.#notes.push(text),
    });
  }

  #claimEnvironment(signal: AbortSignal): Promise<SessionEnvironment | undefined> {
    const { workload } = this.identity;
    return SessionEnvironment.claim({
      request: this.request,
      workload,
      objects: this.subject.cluster.objects,
      addressOf: (service) => this.#forwarder?.addressOf(workload.namespace, service),
      clock: this.deps.clock,
      log: this.#log,
      persist: (record) => {
        this.#envRecord = record;
        return this.#record();
      },
    }, signal);
  }

  /** Lets go of a prepared session that is not going to be opened. */
  discard(): Promise<void> {
    return this.subject.cluster.close();
  }

  /** Goes on with the log-in of a prepared session of the same workload, which has just worked. */
  async logInAs(other: Session): Promise<void> {
    const { cluster } = this.subject;
    if (cluster.context !== other.subject.cluster.context) return;
    cluster.logInAs(other.subject.cluster);
    if (this.#reachability.info.reachable) return;
    await cluster.reconnect();
    await this.#reachability.untilReachable(RECONNECT_MS);
  }

  /** Another session of the same cluster has closed: take what it held. */
  async takeOver(): Promise<void> {
    if (this.#state === "closing") return;
    await this.#forwarder?.takeOver();
  }

  /** As it was asked for, for whoever asks for it again. */
  openedAs(): OpenedAs {
    return {
      request: this.request,
      namespaces: this.subject.namespaces,
      envFile: this.#environment?.info(),
    };
  }

  /** Finds out what is only asked for when somebody looks. */
  async look(): Promise<void> {
    if (this.#reachability.info.reachable) await this.#lost.look();
  }

  info(): SessionInfo {
    const lost = this.#lost.list;
    const envFile: EnvFileInfo | undefined = this.#environment?.info();
    return {
      id: this.id,
      workload: this.identity.workload,
      context: this.subject.cluster.context,
      server: this.subject.cluster.server,
      namespaces: this.subject.namespaces === "all" ? ["*"] : this.subject.namespaces,
      createdAt: this.#createdAt,
      state: this.#state,
      cluster: this.#reachability.info,
      ...(lost.length === 0 ? {} : { lost }),
      services: this.#forwarder?.services() ?? [],
      ...(envFile === undefined ? {} : { envFile }),
      ...kubeconfigOf(this.request),
      kubectl: this.subject.cluster.kubectl,
      notes: [
        ...lost.map(lostText),
        ...this.#notes,
        ...(this.#discovery?.notes ?? []),
        ...leftOutNotes(this.#forwarder?.leftOut ?? []),
        ...(this.#environment?.notes ?? []),
      ],
    };
  }

  /** Ends it and undoes what it did. Every step is tried; throws the first failure at the end. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#state = "closing";
    const failures: unknown[] = [];
    const attempt = async (step: () => Promise<unknown> | undefined) => {
      try {
        await step();
      } catch (error) {
        failures.push(error);
        this.#log.error("A step of closing failed", { error: messageOf(error) });
      }
    };
    await attempt(() => this.#discovery?.close());
    await attempt(() => this.#forwarder?.close());
    await attempt(async () => {
      const left = await this.#environment?.close();
      if (left !== undefined) this.#notes.push(left);
    });
    await attempt(() => this.#engine?.close());
    await attempt(() => this.subject.cluster.close());
    if (failures.length > 0) throw failures[0];
    await this.deps.store.remove(this.id);
  }

  #record(): Promise<void> {
    return this.deps.store.write({
      version: 1,
      id: this.id,
      pid: this.deps.store.pid,
      createdAt: this.#createdAt,
      workload: this.identity.workload,
      context: this.subject.cluster.context,
      ...(this.#envRecord === undefined ? {} : { envFile: this.#envRecord }),
    });
  }
}

/** Tells the inspector whose connections these are: two sessions may have services of one name. */
function tapOf(tap: TapSource, session: string): TapSource {
  return {
    get watching() {
      return tap.watching;
    },
    open: (connection) => tap.open({ ...connection, session }),
  };
}
