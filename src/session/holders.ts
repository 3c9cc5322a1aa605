/** Those who rely on one session: the commands that opened it or found it open. */
export class Holders {
  readonly #released = new Map<string, PromiseWithResolvers<void>>();

  add(holder: string): void {
    this.#released.set(holder, Promise.withResolvers());
  }

  has(holder: string): boolean {
    return this.#released.has(holder);
  }

  isOnly(holder: string): boolean {
    return this.#released.size === 1 && this.has(holder);
  }

  remove(holder: string): void {
    this.#released.get(holder)?.resolve();
    this.#released.delete(holder);
  }

  /** The session has closed. */
  clear(): void {
    for (const holder of this.#released.keys()) this.remove(holder);
  }

  /** Resolves when this one does not rely on it any more, or the session has closed. */
  released(holder: string): Promise<void> {
    return this.#released.get(holder)?.promise ?? Promise.resolve();
  }
}
