import type { ServiceInfo } from "../model/control.ts";
import type { Clock } from "../model/clock.ts";
import type { HostsEntry, LeftOutName } from "../model/hosts.ts";
import type { Logger } from "../model/log.ts";
import type { ClusterService } from "../model/service.ts";
import type { AddressBook } from "./addresses.ts";
import { BoundAddress } from "./bound_address.ts";
import type { Claim, Claims } from "./claims.ts";
import { type HostsBoard, namesOfEntry, ownName } from "./hosts_board.ts";
import type { OutsideNames } from "./outside.ts";
import {
  type Plan,
  type PlannedAddress,
  Planner,
  type PlanOptions,
  type UnplannedService,
} from "./plan.ts";
import type { Engine, Relays } from "./rooms.ts";

/** How often a port that could not be bound is tried again, in ms. */
const RETRY_BLOCKED_MS = 5_000;
/** Listeners opened at once; enough to keep the helper's relay busy, few enough to stay fair. */
const BIND_AT_ONCE = 32;

export interface ForwarderDeps {
  readonly sessionId: string;
  readonly clusterId: string;
  readonly options: PlanOptions;
  readonly engine: Engine;
  readonly relays: Relays;
  readonly addresses: AddressBook;
  readonly claims: Claims;
  readonly board: HostsBoard;
  readonly clock: Clock;
  readonly log: Logger;
  /** Names that lead somewhere else outside and are not to be shadowed; asked while listeners bind. */
  readonly outside: Promise<OutsideNames>;
  /** Another session may take over what this one held. */
  readonly onReleased: (sessionId: string) => void;
  /** Writes down what the address book learnt. */
  readonly saveAddresses: () => Promise<void>;
}

interface Slot {
  readonly claim: Claim;
  readonly address: string;
  /** Undefined while another session of the same cluster holds the listeners. */
  bound: BoundAddress | undefined;
  planned: PlannedAddress;
  /** What the listeners follow; behind `planned` while that is being brought about. */
  followed: PlannedAddress | undefined;
}

/**
 * Makes this machine look like the plan: addresses, listeners, names. Changes
 * are made one after the other and only the newest picture counts, so a
 * rollout's dozens of events cost a few rounds.
 */
export class Forwarder {
  readonly #planner: Planner;
  readonly #slots = new Map<string, Slot>();
  /** Services that have become another name of something, or no longer are; until the names say so. */
  readonly #replaced = new Set<Slot>();
  #without: readonly UnplannedService[] = [];
  #collided: UnplannedService[] = [];
  #services: ReadonlyMap<string, ClusterService> = new Map();
  #wanted: ReadonlyMap<string, ClusterService> | undefined;
  #round: Promise<void> = Promise.resolve();
  /** Something about the names differs from what the board has. */
  #namesDue = false;
  #closed = false;
  #cancelRetry: (() => void) | undefined;

  constructor(private readonly deps: ForwarderDeps) {
    this.#planner = new Planner(deps.options);
  }

  /** Resolves when this picture, or a newer one, is in place. */
  apply(services: ReadonlyMap<string, ClusterService>): Promise<void> {
    this.#wanted = services;
    const round = this.#round.then(async () => {
      const wanted = this.#wanted;
      if (wanted === undefined || this.#closed) return;
      this.#wanted = undefined;
      this.#services = wanted;
      await this.#follow(this.#planner.plan(wanted.values()));
    });
    this.#round = round.catch(() => {});
    return round;
  }

  /** Takes what it had to leave to another session until now. */
  takeOver(): Promise<void> {
    return this.apply(this.#wanted ?? this.#services);
  }

  /** The local address of a service, for the environment's service variables. */
  addressOf(namespace: string, service: string): string | undefined {
    return this.#slots.get(`${namespace}/${service}`)?.address;
  }

  get without(): readonly UnplannedService[] {
    return [...this.#without, ...this.#collided];
  }

  get blocked(): readonly { key: string; address: string; port: number; reason: string }[] {
    return [...this.#slots].flatMap(([key, slot]) =>
      (slot.bound?.blockedPorts ?? []).map((port) => ({ key, address: slot.address, ...port }))
    );
  }

  services(): ServiceInfo[] {
    const names = this.deps.board.current;
    const infos: ServiceInfo[] = [...this.#slots.values()].map((slot) => ({
      namespace: slot.planned.namespace,
      name: slot.planned.service,
      ...(slot.planned.pod === undefined ? {} : { pod: slot.planned.pod }),
      ...(slot.planned.aliasOf === undefined ? {} : { aliasOf: slot.planned.aliasOf }),
      address: slot.address,
      names: names.namesOf(slot.address, slot.planned.entry),
      ports: slot.bound?.portInfos() ?? slot.planned.ports.map((port) => ({
        port: port.port,
        name: port.name,
        state: "listening" as const,
        reason: "shared with another session",
        connections: 0,
        bytesDown: 0,
        bytesUp: 0,
        failed: 0,
      })),
      skipped: slot.planned.skipped,
      readyPods: slot.planned.endpoints.filter((endpoint) => endpoint.ready).length,
    }));
    for (const service of this.without) {
      infos.push({
        namespace: service.namespace,
        name: service.service,
        names: [],
        ports: [],
        skipped: service.skipped,
        readyPods: 0,
        reason: service.reason,
      });
    }
    const keyOf = (info: ServiceInfo) => `${info.namespace}/${info.name}/${info.pod ?? ""}`;
    return infos.sort((a, b) => keyOf(a) < keyOf(b) ? -1 : 1);
  }

  /** Names of this session that are not in the hosts file, and why. */
  get leftOut(): readonly LeftOutName[] {
    const all = this.deps.board.current.leftOut;
    if (all.length === 0) return all;
    const own = new Set(
      [...this.#slots.values()].flatMap(({ planned: { entry } }) =>
        namesOfEntry(entry).filter((name) => entry.bare || name !== ownName(entry))
      ),
    );
    return all.filter(({ name }) => own.has(name));
  }

  /** Names first, so that nothing resolves to a closed port; then the listeners. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry?.();
    await this.#round;
    let failure: unknown;
    try {
      await this.deps.board.put(this.deps.sessionId, []);
    } catch (error) {
      failure = error;
    }
    await this.#release([...this.#slots.values(), ...this.#replaced]);
    if (failure !== undefined) throw failure;
  }

  async #follow(plan: Plan): Promise<void> {
    this.#without = plan.without;
    this.#collided = [];
    const wanted = new Map<string, PlannedAddress>();
    for (const planned of plan.addresses) {
      const { key, aliasOf } = planned;
      const collides = this.deps.claims.collides(this.#claim(key)) && !this.#slots.has(key);
      if (collides || (aliasOf !== undefined && !wanted.has(aliasOf))) {
        this.#collided.push({
          namespace: planned.namespace,
          service: planned.service,
          reason: "a session of another cluster holds its names; see --domain",
          skipped: planned.skipped,
        });
      } else wanted.set(key, planned);
    }
    for (const [key, slot] of this.#slots) {
      const next = wanted.get(key);
      if (next === undefined || next.aliasOf === slot.planned.aliasOf) continue;
      this.#slots.delete(key);
      this.#replaced.add(slot);
    }
    const gone = [...this.#slots].flatMap(([key, slot]) => wanted.has(key) ? [] : [slot]);
    // What is as it was in the last round needs nothing.
    const changed = [...wanted].filter(([key, planned]) => {
      const slot = this.#slots.get(key);
      return slot?.followed !== planned || slot.bound === undefined;
    });
    this.#namesDue ||= gone.length > 0;
    // Addresses are given out in the plan's order before anything waits.
    for (const [key, planned] of changed) this.#slotFor(key, planned);
    await inBatches(changed, BIND_AT_ONCE, ([key, planned]) => this.#bring(key, planned));
    await this.#name([...wanted.keys()]);
    await this.#release([...gone, ...this.#replaced]);
    await this.deps.saveAddresses();
    this.#scheduleRetry();
  }

  #slotFor(key: string, planned: PlannedAddress): void {
    const slot = this.#slots.get(key);
    if (slot) {
      // Endpoints come and go; what the names are made of hardly ever changes.
      this.#namesDue ||= JSON.stringify(slot.planned.entry) !== JSON.stringify(planned.entry);
      slot.planned = planned;
      return;
    }
    this.#namesDue = true;
    const claim = this.#claim(key);
    this.#slots.set(key, {
      claim,
      address: this.deps.addresses.take(this.#inBook(planned)),
      bound: undefined,
      planned,
      followed: undefined,
    });
  }

  async #bring(key: string, planned: PlannedAddress): Promise<void> {
    const slot = this.#slots.get(key)!;
    if (!this.deps.claims.take(slot.claim, this.deps.sessionId)) return;
    slot.bound ??= new BoundAddress(slot.address, planned, this.deps.engine, this.deps.relays);
    await slot.bound.follow(planned);
    slot.followed = planned;
  }

  async #name(keys: readonly string[]): Promise<void> {
    if (!this.#namesDue) return;
    const outside = await this.deps.outside;
    const entries: HostsEntry[] = keys.map((key) => {
      const { planned, address } = this.#slots.get(key)!;
      const own = ownName(planned.entry);
      const omit = [`${own}.${planned.namespace}`, own].filter((name) =>
        outside.reasonFor(name, planned.namespace) !== undefined
      );
      return { ...planned.entry, address, ...(omit.length === 0 ? {} : { omit }) };
    });
    await this.deps.board.put(this.deps.sessionId, entries);
    this.#namesDue = false;
  }

  async #release(slots: readonly Slot[]): Promise<void> {
    const heirs = new Set<string>();
    await inBatches(slots, BIND_AT_ONCE, async (slot) => {
      const { key } = slot.claim;
      // One that was replaced leaves the claim to its successor.
      const replaced = this.#replaced.delete(slot) && this.#slots.has(key);
      if (!replaced) this.#slots.delete(key);
      await slot.bound?.close();
      this.deps.addresses.release(this.#inBook(slot.planned));
      if (replaced) return;
      const heir = this.deps.claims.drop(slot.claim, this.deps.sessionId);
      if (heir !== undefined) heirs.add(heir);
    });
    for (const heir of heirs) this.deps.onReleased(heir);
  }

  #scheduleRetry(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    if (this.#closed || this.blocked.length === 0) return;
    this.#cancelRetry = this.deps.clock.after(RETRY_BLOCKED_MS, () => {
      this.#round = this.#round.then(async () => {
        if (this.#closed) return;
        for (const slot of this.#slots.values()) {
          if (await slot.bound?.retryBlocked()) {
            this.deps.log.info("A blocked port is bound now", { address: slot.address });
          }
        }
        this.#scheduleRetry();
      }).catch((error) =>
        this.deps.log.error("Retry of blocked ports failed", { error: String(error) })
      );
    });
  }

  /** Under which key the address book has its address. */
  #inBook({ key, aliasOf }: PlannedAddress): string {
    return `${this.deps.clusterId}/${aliasOf ?? key}`;
  }

  #claim(key: string): Claim {
    return { cluster: this.deps.clusterId, key, domain: this.deps.options.domain ?? "" };
  }
}

async function inBatches<T>(items: readonly T[], size: number, act: (item: T) => Promise<void>) {
  for (let at = 0; at < items.length; at += size) {
    await Promise.all(items.slice(at, at + size).map(act));
  }
}
