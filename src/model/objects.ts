/** The resources czctl reads, by their plural names in the Kubernetes API. */
export type ResourceName =
  | "namespaces"
  | "services"
  | "endpointslices"
  | "pods"
  | "configmaps"
  | "secrets"
  | "deployments"
  | "statefulsets"
  | "daemonsets"
  | "replicasets"
  | "jobs"
  | "cronjobs"
  | "nodes";

/** What every object has; rooms cast the rest to the shape they need. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
    readonly ownerReferences?: readonly {
      readonly kind: string;
      readonly name: string;
      readonly uid: string;
      readonly controller?: boolean;
    }[];
  };
}

export interface ObjectQuery {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** Read access to a cluster's objects; made by the cluster room, used by others through this. */
export interface ObjectSource {
  /** How a kubectl command begins that asks the same cluster. */
  readonly kubectl: string;
  /** Undefined when it does not exist. Throws CzctlError `denied` or `unreachable`. */
  get<T extends KubeObject>(
    resource: ResourceName,
    namespace: string,
    name: string,
    signal?: AbortSignal,
  ): Promise<T | undefined>;
  /** Throws CzctlError `denied` or `unreachable`. */
  list<T extends KubeObject>(
    resource: ResourceName,
    namespace: string,
    query?: ObjectQuery,
    signal?: AbortSignal,
  ): Promise<readonly T[]>;
  /**
   * Calls `onChange` with everything that matches, first once and then after
   * every change (coalesced), until closed. Never ends by itself: it resumes,
   * relists and reconnects. `onError` hears what is wrong meanwhile.
   */
  watch<T extends KubeObject>(
    resource: ResourceName,
    namespace: string,
    query: ObjectQuery,
    onChange: (objects: readonly T[]) => void,
    onError?: (error: Error) => void,
  ): ObjectWatch;
}

export interface ObjectWatch {
  close(): void;
}
