import { CzctlError } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import type { ObjectSource, ObjectWatch } from "../model/objects.ts";
import type { WatchTarget } from "./workload.ts";

export interface WatchSetOptions {
  readonly onChange: () => void;
  /** A watch is forbidden: only reading again and again is left. */
  readonly onDenied: () => void;
  readonly log: Logger;
}

/** The watches that are open now; targets come and go with what the environment refers to. */
export class WatchSet {
  readonly #objects: ObjectSource;
  readonly #options: WatchSetOptions;
  readonly #open = new Map<string, ObjectWatch>();
  #closed = false;

  constructor(objects: ObjectSource, options: WatchSetOptions) {
    this.#objects = objects;
    this.#options = options;
  }

  /** Opens what is new, closes what is not wanted any more, leaves the rest running. */
  set(targets: readonly WatchTarget[]): void {
    const wanted = new Set(targets.map(keyOf));
    for (const [key, watch] of this.#open) {
      if (wanted.has(key)) continue;
      this.#open.delete(key);
      watch.close();
    }
    this.add(targets);
  }

  /** Opens what is new and closes nothing. */
  add(targets: readonly WatchTarget[]): void {
    for (const target of targets) {
      const key = keyOf(target);
      if (this.#closed || this.#open.has(key)) continue;
      let denied = false;
      this.#open.set(
        key,
        this.#objects.watch(
          target.resource,
          target.namespace,
          target.query,
          () => this.#open.has(key) && this.#options.onChange(),
          (error) => {
            this.#options.log.debug("env watch", {
              resource: target.resource,
              error: error.message,
            });
            if (denied || !(error instanceof CzctlError && error.code === "denied")) return;
            denied = true;
            this.#options.onDenied();
          },
        ),
      );
    }
  }

  close(): void {
    this.#closed = true;
    for (const watch of this.#open.values()) watch.close();
    this.#open.clear();
  }
}

function keyOf({ resource, namespace, query }: WatchTarget): string {
  return JSON.stringify([resource, namespace, query.labelSelector, query.fieldSelector]);
}
