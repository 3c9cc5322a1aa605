import type { ConnectionFailure } from "../model/control.ts";
import type { ServiceEndpoint } from "../model/service.ts";

/**
 * What a session needs of the tunnel room, no more: the real engine fits, and
 * so does a stand-in in tests of the session's own logic.
 */
export interface Engine {
  listen(spec: ListenSpec): Promise<Listener>;
  /** The watch says this pod is gone: nothing new goes over its link. */
  retirePod(podUid: string): void;
  /** The watch names this pod, perhaps again. */
  revivePod(podUid: string): void;
  /** The watch says this pod leaves a Service (`serviceKey`), or is back; `update` says so later. */
  podLeaves(service: string, podUid: string, leaving: boolean): void;
  close(): Promise<void>;
}

export interface ListenSpec {
  readonly address: string;
  readonly port: number;
  /** Bind this port of the address instead (0: any); a relay leads `port` to it. */
  readonly bindPort?: number;
  readonly service: { readonly namespace: string; readonly name: string };
  readonly portName: string;
  readonly targetName?: string;
  readonly appProtocol?: string;
  readonly affinitySeconds?: number;
}

export interface Listener {
  readonly boundPort: number;
  readonly stats: {
    readonly connections: number;
    readonly bytesDown: number;
    readonly bytesUp: number;
    readonly failed: number;
    readonly lastFailure?: ConnectionFailure;
  };
  update(
    endpoints: readonly ServiceEndpoint[],
    edit?: Pick<ListenSpec, "portName" | "targetName" | "appProtocol" | "affinitySeconds">,
  ): void;
  /** The port is free again; its connections go on until they end, or the engine is closed. */
  release(): Promise<void>;
  close(): Promise<void>;
}

/** Why a port could not be bound; the tunnel room's PortBlocked fits. */
export interface PortTrouble {
  readonly kind: "in_use" | "permission" | "address";
  readonly message: string;
}

export function portTrouble(error: unknown): PortTrouble | undefined {
  const kind = (error as { kind?: unknown } | undefined)?.kind;
  if (kind !== "in_use" && kind !== "permission" && kind !== "address") return undefined;
  return { kind, message: error instanceof Error ? error.message : String(error) };
}

/** Low ports that svc may not bind, bound by the privileged helper. */
export interface Relays {
  relay(spec: { address: string; port: number; to: number }): Promise<void>;
  unrelay(spec: { address: string; port: number }): Promise<void>;
}
