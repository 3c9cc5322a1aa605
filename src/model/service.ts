/** A Service as a session sees it: resolved to pods, free of Kubernetes' own types. */
export interface ClusterService {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /**
   * `tunnel`: one address for the Service, connections spread over its pods.
   * `headless`: the same for the service name, and besides each endpoint with
   * a hostname gets `hostname.service.namespace` and an address of its own.
   * `none`: no tunnel is possible, `reason` says why.
   */
  readonly kind: "tunnel" | "headless" | "none";
  readonly reason?: string;
  /** What an ExternalName Service leads to, in the cluster or outside. */
  readonly externalName?: string;
  /** The virtual IP in the cluster, where it has one (for the environment). */
  readonly clusterIP?: string;
  /** TCP ports only, in the order of the Service. */
  readonly ports: readonly ServicePort[];
  /** Ports that are not forwarded (UDP, SCTP), each with the reason. */
  readonly skippedPorts: readonly SkippedPort[];
  /** Addresses of endpoints that name no pod and are passed over, sorted; absent where all do. */
  readonly podless?: readonly string[];
  /** `sessionAffinity: ClientIP`: how long a client sticks to its pod, in seconds. */
  readonly affinitySeconds?: number;
  readonly publishNotReadyAddresses: boolean;
  readonly endpoints: readonly ServiceEndpoint[];
}

export interface ServicePort {
  /** Empty for the single unnamed port. */
  readonly name: string;
  readonly port: number;
  /** The pods' port: a number, or the name of a container port where pods are selected. */
  readonly targetPort: number | string;
  readonly appProtocol?: string;
}

export interface SkippedPort {
  readonly port: number;
  readonly protocol: string;
  readonly reason: string;
}

/** One pod behind a Service, merged over all its EndpointSlices and address families. */
export interface ServiceEndpoint {
  readonly podNamespace: string;
  readonly podName: string;
  readonly podUid: string;
  /** Set for pods of a headless Service that have a DNS name of their own. */
  readonly hostname?: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Pod port numbers by service port name (`""` for the unnamed one). */
  readonly ports: Readonly<Record<string, number>>;
}

/** `namespace/name`: the key of a Service inside one cluster. */
export function serviceKey(service: { namespace: string; name: string }): string {
  return `${service.namespace}/${service.name}`;
}
