import type { ApiTarget } from "../model/api_target.ts";
import { clientCertificateProblem } from "../platform/client_certificate.ts";
import { dial as dialServer } from "../platform/dial.ts";
import type { ByteConn } from "../platform/net.ts";
import { DIAL_HINT, DialError, hostPort } from "../platform/tcp.ts";
import { TunnelError } from "./errors.ts";

/**
 * A connection to the API server. The signal is the deadline. Throws
 * TunnelError `unreachable`, `timeout` or `denied`, each of which proves that
 * nothing was delivered.
 */
export async function dial(target: ApiTarget, signal: AbortSignal): Promise<ByteConn> {
  if (target.tls?.cert !== undefined) {
    const problem = clientCertificateProblem(target.tls.cert, target.tls.key ?? "");
    if (problem !== undefined) {
      throw new TunnelError("denied", `Cannot use the client certificate: ${problem}`, {
        nothingDelivered: true,
        hint: "Check the user's client-certificate and client-key in the kubeconfig",
      });
    }
  }
  try {
    return await dialServer(target, signal);
  } catch (error) {
    const failed = `Cannot reach the API server at "${hostPort(target)}"`;
    if (signal.aborted) {
      throw new TunnelError("timeout", `${failed}: no answer in time`, {
        nothingDelivered: true,
        cause: error,
      });
    }
    if (!(error instanceof DialError)) throw error;
    const fault = error.kind === "timeout" ? "timeout" : "unreachable";
    const hint = DIAL_HINT[error.kind];
    throw new TunnelError(fault, `${failed}: ${error.message}`, {
      nothingDelivered: true,
      cause: error,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}
