import type { RawObject } from "./api_client.ts";

/**
 * What czctl keeps of an EndpointSlice. With 10,000 pods behind 1,000 Services
 * these are all that is held of them, so nothing is kept that is not used.
 */
export interface Slice {
  readonly namespace: string;
  /** The owning Service, from the label `kubernetes.io/service-name`. */
  readonly service: string;
  /** TCP only. `port` undefined: not restricted, the Service's own numbers apply. */
  readonly ports: readonly { readonly name: string; readonly port: number | undefined }[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SliceEndpoint {
  /** Undefined when the endpoint names no pod; it may be one, but only `address` tells. */
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly address: string;
  readonly hostname?: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

/**
 * Nulls are read as the API says: no `ready` means ready, no `serving` means
 * serving, no `terminating` means not.
 * https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/
 */
export function pickSlice(object: RawObject): Slice {
  const { namespace, labels } = object.metadata;
  const tcp = (object.ports ?? []).filter((port: RawObject) => (port.protocol ?? "TCP") === "TCP");
  return {
    namespace,
    service: labels?.["kubernetes.io/service-name"] ?? "",
    ports: tcp.map((port: RawObject) => ({
      name: port.name ?? "",
      port: typeof port.port === "number" ? port.port : undefined,
    })),
    endpoints: (object.endpoints ?? []).map((endpoint: RawObject): SliceEndpoint => {
      const conditions = endpoint.conditions ?? {};
      const target = endpoint.targetRef;
      const where = target?.namespace ?? namespace;
      return {
        ...(target?.kind === "Pod"
          ? {
            pod: {
              namespace: where,
              name: target.name ?? "",
              // Slices written by hand may leave it out; what is known of a pod goes by it.
              uid: target.uid || `${where}/${target.name ?? ""}`,
            },
          }
          : {}),
        address: endpoint.addresses?.[0] ?? "",
        ...(endpoint.hostname ? { hostname: endpoint.hostname } : {}),
        ready: conditions.ready ?? true,
        serving: conditions.serving ?? true,
        terminating: conditions.terminating ?? false,
      };
    }),
  };
}
