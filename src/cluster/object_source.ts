import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/log.ts";
import type {
  KubeObject,
  ObjectQuery,
  ObjectSource,
  ObjectWatch,
  ResourceName,
} from "../model/objects.ts";
import type { ApiClient, RawObject } from "./api_client.ts";
import { ApiError } from "./api_errors.ts";
import { Coalescer } from "./coalesce.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { WatchLoop } from "./watch_loop.ts";

const QUIET_MS = 50;
const BURST_MS = 250;

/** Whole objects (without `managedFields`), for rooms that need more than discovery keeps. */
export class ClusterObjects implements ObjectSource {
  readonly #api: ApiClient;
  readonly #heartbeat: Heartbeat;
  readonly #clock: Clock;
  readonly #log: Logger;

  get kubectl(): string {
    return this.#api.label.kubectl;
  }

  constructor(api: ApiClient, heartbeat: Heartbeat, clock: Clock, log: Logger) {
    this.#api = api;
    this.#heartbeat = heartbeat;
    this.#clock = clock;
    this.#log = log;
  }

  async get<T extends KubeObject>(
    resource: ResourceName,
    namespace: string,
    name: string,
    signal?: AbortSignal,
  ): Promise<T | undefined> {
    try {
      return lean(
        await this.#api.get(resource, namespace || undefined, name, signal ? { signal } : {}),
      ) as T;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  async list<T extends KubeObject>(
    resource: ResourceName,
    namespace: string,
    query: ObjectQuery = {},
    signal?: AbortSignal,
  ): Promise<readonly T[]> {
    const limits = signal ? { signal } : {};
    const listed = await this.#api.list(resource, namespace || undefined, query, lean, limits);
    return listed.items as T[];
  }

  watch<T extends KubeObject>(
    resource: ResourceName,
    namespace: string,
    query: ObjectQuery,
    onChange: (objects: readonly T[]) => void,
    onError?: (error: Error) => void,
  ): ObjectWatch {
    const coalescer = new Coalescer(this.#clock, QUIET_MS, BURST_MS, () => {
      if (loop.synced) onChange(loop.values());
    });
    let told = false;
    let changed = false;
    const loop: WatchLoop<T> = new WatchLoop<T>({
      api: this.#api,
      resource,
      namespace: namespace || undefined,
      query,
      pick: (object) => lean(object) as T,
      onEvent: () => {
        changed = true;
        if (told) coalescer.poke();
      },
      onSynced: () => {
        if (!told) coalescer.flush();
        else if (changed) coalescer.poke();
        told = true;
        changed = false;
      },
      ...(onError ? { onProblem: (problem) => problem && onError(problem) } : {}),
      clock: this.#clock,
      log: this.#log,
    });
    const unlisten = this.#heartbeat.listen({
      onReachable: (problem) => problem && onError?.(problem),
      onReconnect: () => loop.kick(),
    });
    loop.start();
    return {
      close() {
        unlisten();
        coalescer.close();
        loop.close();
      },
    };
  }
}

/** `managedFields` can be most of an object and nobody here reads it. */
function lean(object: RawObject): RawObject {
  if (object?.metadata) delete object.metadata.managedFields;
  return object;
}
