/**
 * moby/spdystream, which the container runtimes use, hands what it reads to so
 * many workers: a stream's frames to number `id % 5`, PINGs in turn. A worker
 * waits for a program that takes nothing; whatever else is in its lane waits, too.
 */
export const LANES = 5;

/** Ids are 31 bits, two per connection; a link is replaced long before they run out. */
const LAST_ID = 0x7fff0000;
/** An upload of this much without an answer, in bytes, is a large one. */
const BULK = 1024 * 1024;

/** What is asked of an upload. */
export interface Upload {
  readonly dataId: number;
  /** Bytes sent since the pod's last. */
  readonly unanswered: number;
}

/** Gives a link's streams their ids: odd, growing, and in other lanes than large uploads. */
export class StreamIds {
  /** Uploads that may come to a halt. */
  readonly #heavy = new Set<Upload>();
  #next = 1;

  get usedUp(): boolean {
    return this.#next >= LAST_ID;
  }

  /** True while one of the uploads is a large one. */
  get bulky(): boolean {
    for (const upload of this.#heavy) if (upload.unanswered >= BULK) return true;
    return false;
  }

  /**
   * The next id: the first whose lane is neither a heavy upload's nor one of
   * `avoid`, if there is such a lane.
   */
  take(avoid: readonly number[] = []): number {
    const id = this.#free(avoid);
    this.#next = id + 2;
    return id;
  }

  /** True for an id that a stream of this link has, or had. */
  isKnown(id: number): boolean {
    return (id & 1) === 1 && id < this.#next;
  }

  weigh(upload: Upload, heavy: boolean): void {
    if (heavy) this.#heavy.add(upload);
    else this.#heavy.delete(upload);
  }

  #free(avoid: readonly number[]): number {
    if (this.#heavy.size === 0 && avoid.length === 0) return this.#next;
    const lanes = new Set(avoid);
    for (const { dataId } of this.#heavy) lanes.add(dataId % LANES);
    for (let step = 0; step < LANES; step++) {
      const id = this.#next + 2 * step;
      if (!lanes.has(id % LANES)) return id;
    }
    return this.#next;
  }
}
