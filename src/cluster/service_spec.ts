import type { RawObject } from "./api_client.ts";

/** What czctl keeps of a Service. */
export interface ServiceSpec {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly type: string;
  /** Undefined or empty: endpoints are somebody else's business. */
  readonly selector?: Readonly<Record<string, string>>;
  /** `None` for a headless one. */
  readonly clusterIP: string;
  readonly externalName: string;
  readonly ports: readonly SpecPort[];
  readonly affinitySeconds?: number;
  readonly publishNotReadyAddresses: boolean;
}

export interface SpecPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  /** Number or name of a container port; the port itself where it is not given. */
  readonly targetPort: number | string;
  readonly appProtocol?: string;
}

/** Kubernetes' default for `sessionAffinityConfig.clientIP.timeoutSeconds`. */
const DEFAULT_AFFINITY_SECONDS = 10_800;

export function pickService(object: RawObject): ServiceSpec {
  const spec = object.spec ?? {};
  const selector = spec.selector && Object.keys(spec.selector).length > 0
    ? { selector: spec.selector }
    : {};
  return {
    namespace: object.metadata.namespace,
    name: object.metadata.name,
    uid: object.metadata.uid ?? "",
    type: spec.type ?? "ClusterIP",
    ...selector,
    clusterIP: spec.clusterIP ?? "",
    externalName: spec.externalName ?? "",
    ports: (spec.ports ?? []).map((port: RawObject): SpecPort => ({
      name: port.name ?? "",
      port: port.port,
      protocol: port.protocol ?? "TCP",
      targetPort: port.targetPort ?? port.port,
      ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}),
    })),
    ...(spec.sessionAffinity === "ClientIP"
      ? {
        affinitySeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ??
          DEFAULT_AFFINITY_SECONDS,
      }
      : {}),
    publishNotReadyAddresses: spec.publishNotReadyAddresses === true,
  };
}
