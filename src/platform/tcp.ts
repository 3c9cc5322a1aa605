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
  | "certificate_expired"
  | "certificate_name"
  | "tls"
  | "closed";

/** `host:port`, with brackets around an IPv6 address. */
export function hostPort(target: { readonly host: string; readonly port: number }): string {
  return `${target.host.includes(":") ? `[${target.host}]` : target.host}:${target.port}`;
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
