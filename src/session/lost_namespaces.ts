import { type LostNamespace, lostText, type NamespaceState } from "../model/control.ts";
import type { Logger } from "../model/log.ts";
import type { ClusterService } from "../model/service.ts";

/**
 * The namespaces of a session that are being deleted or no longer exist. A
 * watch only says that the services are gone, one by one, and a namespace may
 * have none. So the cluster is asked, when all of them have gone and then
 * whenever somebody looks, as long as there are none.
 */
export class LostNamespaces {
  readonly #names: readonly string[];
  /** Never rejects. */
  readonly #ask: (namespace: string) => Promise<NamespaceState | undefined>;
  readonly #log: Logger;
  /** Had services in the last picture. */
  #full: ReadonlySet<string> = new Set();
  /** Had services in this session and have none now, with what is known of them. */
  readonly #emptied = new Map<string, NamespaceState | undefined>();
  #looking: Promise<void> | undefined;

  constructor(
    names: readonly string[],
    ask: (namespace: string) => Promise<NamespaceState | undefined>,
    log: Logger,
  ) {
    this.#names = names;
    this.#ask = ask;
    this.#log = log;
  }

  get list(): readonly LostNamespace[] {
    return [...this.#emptied].flatMap(([namespace, state]) =>
      state === "ending" || state === "gone" ? [{ namespace, state }] : []
    );
  }

  /** Takes a new picture; asks where the last service of a namespace has gone. */
  async follow(services: Iterable<ClusterService>): Promise<void> {
    const full = new Set<string>();
    for (const { namespace } of services) full.add(namespace);
    const emptied = this.#names.filter((name) => this.#full.has(name) && !full.has(name));
    this.#full = full;
    for (const name of this.#names) if (full.has(name)) this.#emptied.delete(name);
    for (const name of emptied) this.#emptied.set(name, undefined);
    await Promise.all(emptied.map((name) => this.#update(name)));
  }

  /** Asks again, for somebody who is about to see it. */
  look(): Promise<void> {
    this.#looking ??= this.#lookAll().finally(() => this.#looking = undefined);
    return this.#looking;
  }

  async #lookAll(): Promise<void> {
    await Promise.all([...this.#emptied.keys()].map((name) => this.#update(name)));
  }

  async #update(name: string): Promise<void> {
    const state = await this.#ask(name);
    // No answer says nothing new, and its services may be back meanwhile.
    if (state === undefined || !this.#emptied.has(name)) return;
    if (state === this.#emptied.get(name)) return;
    this.#emptied.set(name, state);
    if (state !== "there") this.#log.warn(lostText({ namespace: name, state }));
  }
}
