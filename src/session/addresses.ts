import { CzctlError } from "../model/errors.ts";

/** The guide's first range: 127.1.31.1 upwards. */
const FIRST_RANGE = 31;
const RANGES = 256;
/** Hosts 1-254 of each range are given out. */
const HOSTS_PER_RANGE = 254;

/** What is kept in `state/addresses.json`. */
export interface AddressState {
  readonly version: 1;
  /** `used`: milliseconds since the epoch, when a session last had it. */
  readonly addresses: Readonly<Record<string, { readonly address: string; readonly used: number }>>;
}

/**
 * One loopback address for each Service (and each addressed pod), remembered
 * per cluster, namespace and service, so that a service keeps its address over
 * restarts, rollouts and sessions.
 *
 * Ranges (third octets) belong to one user at a time: `claim` asks for one and
 * answers false when another user or tool has it.
 */
export class AddressBook {
  readonly #known = new Map<string, { address: string; used: number }>();
  readonly #keyOf = new Map<string, string>();
  /** How many sessions use a key. */
  readonly #inUse = new Map<string, number>();
  readonly #ranges = new Map<number, boolean>();
  #next = 0;
  #changed = false;

  constructor(
    state: AddressState | undefined,
    private readonly claim: (range: number) => boolean,
    private readonly now: () => number,
  ) {
    for (const [key, entry] of Object.entries(state?.addresses ?? {})) {
      if (rangeOf(entry.address) === undefined || this.#keyOf.has(entry.address)) continue;
      this.#known.set(key, { ...entry });
      this.#keyOf.set(entry.address, key);
    }
  }

  /**
   * The address of a key, the remembered one where its range is still ours.
   * Throws CzctlError `failed` when all 65,024 are in use.
   */
  take(key: string): string {
    const known = this.#known.get(key);
    if (known && this.#mine(rangeOf(known.address)!)) {
      known.used = this.now();
      this.#use(key);
      return known.address;
    }
    if (known) this.#forget(key, known.address);
    const address = this.#fresh();
    this.#known.set(key, { address, used: this.now() });
    this.#keyOf.set(address, key);
    this.#use(key);
    return address;
  }

  /** Not in use now; still remembered. */
  release(key: string): void {
    const left = (this.#inUse.get(key) ?? 1) - 1;
    if (left > 0) this.#inUse.set(key, left);
    else this.#inUse.delete(key);
  }

  /** What to write down, or undefined when nothing changed since the last call. */
  takeChanges(): AddressState | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    return { version: 1, addresses: Object.fromEntries(this.#known) };
  }

  #use(key: string): void {
    this.#inUse.set(key, (this.#inUse.get(key) ?? 0) + 1);
    this.#changed = true;
  }

  #mine(range: number): boolean {
    let mine = this.#ranges.get(range);
    if (mine === undefined) {
      mine = this.claim(range);
      this.#ranges.set(range, mine);
    }
    return mine;
  }

  #fresh(): string {
    for (; this.#next < RANGES * HOSTS_PER_RANGE; this.#next++) {
      const range = (FIRST_RANGE + Math.floor(this.#next / HOSTS_PER_RANGE)) % RANGES;
      if (!this.#mine(range)) {
        this.#next += HOSTS_PER_RANGE - (this.#next % HOSTS_PER_RANGE) - 1;
        continue;
      }
      const address = `127.1.${range}.${(this.#next % HOSTS_PER_RANGE) + 1}`;
      if (!this.#keyOf.has(address)) return address;
    }
    return this.#recycled();
  }

  /** The address that has been out of use for longest. */
  #recycled(): string {
    let oldest: [string, { address: string; used: number }] | undefined;
    for (const entry of this.#known) {
      if (this.#inUse.has(entry[0]) || !this.#mine(rangeOf(entry[1].address)!)) continue;
      if (!oldest || entry[1].used < oldest[1].used) oldest = entry;
    }
    if (!oldest) {
      throw new CzctlError("failed", "Cannot give out another address: 127.1.0.0/16 is full", {
        hint: "Close a session (czctl session list, czctl session close ID) or use --only",
      });
    }
    this.#forget(oldest[0], oldest[1].address);
    return oldest[1].address;
  }

  #forget(key: string, address: string): void {
    this.#known.delete(key);
    this.#keyOf.delete(address);
  }
}

/** The third octet of an address inside 127.1.0.0/16, else undefined. */
export function rangeOf(address: string): number | undefined {
  const match = /^127\.1\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  if (!match) return undefined;
  const range = Number(match[1]);
  const host = Number(match[2]);
  return range < RANGES && host >= 1 && host <= HOSTS_PER_RANGE ? range : undefined;
}

/** Reads `state/addresses.json`; undefined when it is missing or damaged (it is only a memory). */
export function parseAddressState(text: string | undefined): AddressState | undefined {
  if (text === undefined) return undefined;
  try {
    const state = JSON.parse(text) as AddressState;
    if (state.version !== 1 || typeof state.addresses !== "object" || !state.addresses) {
      return undefined;
    }
    for (const entry of Object.values(state.addresses)) {
      if (typeof entry?.address !== "string" || typeof entry.used !== "number") return undefined;
    }
    return state;
  } catch {
    return undefined;
  }
}
