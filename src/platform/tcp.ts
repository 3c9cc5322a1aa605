/** Why a connection could not be made or did not last; `kind` picks the advice a user gets. */
export class DialError extends Error {
  readonly kind: DialFailure;

  constructor(kind: DialFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "DialError";
    this.kind = kind;
  }
}

export type DialFailure =
  | "refused"
  | "name_unknown"
  | "timeout"
  | "unroutable"
  | "proxy"
  | "certificate_untrusted"
  | "certificate_ca"
  | "certificate_expired"
  | "certificate_name"
  | "tls"
  | "closed";

/** What to look at next, for each kind that says enough by itself. */
export const DIAL_HINT: Readonly<Partial<Record<DialFailure, string>>> = {
  refused: "Is the cluster running, and its tunnel or VPN up?",
  name_unknown: "Check the server's name in the kubeconfig, and that the VPN is up",
  timeout: "Check the network and the VPN",
  unroutable: "Check the network and the VPN",
  proxy: "Check proxy-url in the kubeconfig, HTTPS_PROXY and NO_PROXY",
  certificate_untrusted:
    "Check certificate-authority in the kubeconfig; a cluster made anew has a new one",
  certificate_ca:
    "Have the server use a certificate issued by that authority; the last resort is insecure-skip-tls-verify, which checks nothing",
  certificate_expired: "Check this machine's clock, or renew the server's certificate",
  certificate_name: "Set tls-server-name in the kubeconfig to a name in the certificate",
  tls: "Check that the kubeconfig's server is an API server",
};

/** `host:port`, with brackets around an IPv6 address. */
export function hostPort(target: { readonly host: string; readonly port: number }): string {
  return `${target.host.includes(":") ? `[${target.host}]` : target.host}:${target.port}`;
}

/**
 * What the Host header of a request to a server says: like Go's client without
 * the scheme's own port. Proxies that pick a virtual host by that header may
 * know it by its name alone (https://github.com/envoyproxy/envoy/issues/3515).
 */
export function hostHeader(
  target: { readonly host: string; readonly port: number; readonly tls?: unknown },
): string {
  const usual = target.tls === undefined ? 80 : 443;
  const whole = hostPort(target);
  return target.port === usual ? whole.slice(0, whole.lastIndexOf(":")) : whole;
}

/** The words for a failed TCP connection, whether Deno's or Node's API made it. */
export function tcpError(error: unknown, host: string, port: number): DialError {
  const where = hostPort({ host, port });
  const { code, message } = error as Error & { code?: string };
  if (code === "ECONNREFUSED" || error instanceof Deno.errors.ConnectionRefused) {
    return new DialError("refused", `connection to ${where} refused`, error);
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN" || /lookup|resolve|nodename/i.test(message)) {
    return new DialError("name_unknown", `the name "${host}" cannot be resolved`, error);
  }
  if (code === "ETIMEDOUT" || error instanceof Deno.errors.TimedOut) {
    return new DialError("timeout", `no answer from ${where}`, error);
  }
  if (/unreachable|no route/i.test(message)) {
    return new DialError("unroutable", `no route to ${where}`, error);
  }
  return new DialError("closed", `connection to ${where} failed (${message})`, error);
}
