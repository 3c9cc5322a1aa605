import type { Service } from "./kube.ts";

/**
 * The variables by which a container finds the services of its namespace
 * (pkg/kubelet/envvars): `WEB_SERVICE_HOST`, `WEB_SERVICE_PORT[_NAME]`,
 * `WEB_PORT` and the ones Docker links had. Services without a cluster address
 * have none. `addressOf` may give a service another address than the cluster's.
 *
 * Two services can claim one name (`web` with `WEB_SERVICE_PORT`, and
 * `web-service` with `WEB_SERVICE_PORT`); the kubelet then takes either, in no
 * order, and czctl the one whose name sorts last, always.
 */
export function serviceLinks(
  services: readonly Service[],
  addressOf: (service: Service) => string | undefined,
): Map<string, string> {
  const variables = new Map<string, string>();
  const sorted = services.toSorted((a, b) => compare(a.metadata.name, b.metadata.name));
  for (const service of sorted) {
    const { clusterIP, ports = [] } = service.spec;
    const first = ports[0];
    if (!clusterIP || clusterIP === "None" || !first) continue;
    const address = addressOf(service) ?? clusterIP;
    const prefix = variableName(service.metadata.name);
    variables.set(`${prefix}_SERVICE_HOST`, address);
    variables.set(`${prefix}_SERVICE_PORT`, String(first.port));
    for (const port of ports) {
      if (port.name) {
        variables.set(`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port));
      }
    }
    variables.set(`${prefix}_PORT`, url(first, address));
    for (const port of ports) {
      const link = `${prefix}_PORT_${port.port}_${protocolOf(port).toUpperCase()}`;
      variables.set(link, url(port, address));
      variables.set(`${link}_PROTO`, protocolOf(port));
      variables.set(`${link}_PORT`, String(port.port));
      variables.set(`${link}_ADDR`, address);
    }
  }
  return variables;
}

type Port = { readonly port: number; readonly protocol?: string };

function protocolOf(port: Port): string {
  return (port.protocol || "TCP").toLowerCase();
}

function url(port: Port, address: string): string {
  const host = address.includes(":") ? `[${address}]` : address;
  return `${protocolOf(port)}://${host}:${port.port}`;
}

function variableName(name: string): string {
  return name.replaceAll("-", "_").toUpperCase();
}

/** By code units, so that the order is the same under every locale. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Whether a variable of this name may be a Service's; `of`: the beginning that one Service gives. */
export function mayBeLink(name: string, of = "[A-Z0-9_]+"): boolean {
  return new RegExp(
    `^${of}_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`,
  ).test(name);
}
