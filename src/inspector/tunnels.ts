/** `/api/tunnels`: one per service port, told in the words of the ngrok agent's API. */
import type { PortInfo, ServiceInfo, SessionInfo } from "../model/control.ts";

export interface TunnelJson {
  /** `web.sample-project:80`, with `pod.` in front for an addressed pod. */
  readonly name: string;
  readonly uri: string;
  /** What a program connects to. */
  readonly public_url: string;
  readonly proto: "tcp";
  readonly config: { readonly addr: string; readonly inspect: boolean };
  readonly session: string;
  readonly namespace: string;
  readonly service: string;
  readonly state: PortInfo["state"];
  readonly ready_pods: number;
  readonly metrics: {
    readonly conns: { readonly gauge: number };
    readonly bytes_down: number;
    readonly bytes_up: number;
  };
}

export function tunnelName(service: ServiceInfo, port: number): string {
  const pod = service.pod === undefined ? "" : `${service.pod}.`;
  return `${pod}${service.name}.${service.namespace}:${port}`;
}

/** Every listener of every session; services without an address have none. */
export function tunnelsOf(sessions: readonly SessionInfo[], inspect: boolean): TunnelJson[] {
  const tunnels: TunnelJson[] = [];
  for (const session of sessions) {
    for (const service of session.services) {
      if (service.address === undefined) continue;
      for (const port of service.ports) {
        const name = tunnelName(service, port.port);
        tunnels.push({
          name,
          uri: `/api/tunnels/${encodeURIComponent(name)}`,
          public_url: `tcp://${service.names[0] ?? service.address}:${port.port}`,
          proto: "tcp",
          config: { addr: `${service.address}:${port.port}`, inspect },
          session: session.id,
          namespace: service.namespace,
          service: service.name,
          state: port.state,
          ready_pods: service.readyPods,
          metrics: {
            conns: { gauge: port.connections },
            bytes_down: port.bytesDown,
            bytes_up: port.bytesUp,
          },
        });
      }
    }
  }
  return tunnels;
}
