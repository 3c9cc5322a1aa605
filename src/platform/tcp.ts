import net from "node:net";

/** Why a connection could not be made; `kind` picks the advice a user gets. */
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

/** Opens a plain TCP connection. Throws DialError or the signal's reason. */
export function openTcp(host: string, port: number, signal: AbortSignal): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = net.connect({ host, port, noDelay: true });
    const onAbort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      socket.off("error", onError);
      socket.on("error", () => {});
      resolve(socket);
    });
    const onError = (error: Error & { code?: string }) => {
      signal.removeEventListener("abort", onAbort);
      reject(tcpError(error, host, port));
    };
    socket.once("error", onError);
  });
}

function tcpError(error: Error & { code?: string }, host: string, port: number): DialError {
  const where = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  switch (error.code) {
    case "ECONNREFUSED":
      return new DialError("refused", `connection to ${where} refused`, error);
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new DialError("name_unknown", `the name "${host}" cannot be resolved`, error);
    case "ETIMEDOUT":
      return new DialError("timeout", `no answer from ${where}`, error);
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return new DialError("unroutable", `no route to ${where}`, error);
    default:
      // Deno reports a failed look-up without a code of its own.
      if (/lookup|resolve|name or service|nodename/i.test(error.message)) {
        return new DialError("name_unknown", `the name "${host}" cannot be resolved`, error);
      }
      return new DialError("closed", `connection to ${where} failed (${error.message})`, error);
  }
}

export function hostPort(target: { host: string; port: number }): string {
  return `${target.host.includes(":") ? `[${target.host}]` : target.host}:${target.port}`;
}
