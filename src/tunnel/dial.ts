import type { ApiTarget } from "../model/api_target.ts";
import {
  type ByteConn,
  connectTcp,
  dialFailure,
  needsNodeTls,
  type TcpConn,
} from "../platform/net.ts";
import { messageOf } from "../model/errors.ts";
import { clientCertificateProblem } from "../platform/client_certificate.ts";
import { TunnelError } from "./errors.ts";
import { connectThroughProxy } from "./proxy.ts";

/**
 * A connection to the API server: TCP, the proxy's handshake where there is
 * one, then TLS. The signal is the deadline. Throws TunnelError `unreachable`,
 * `timeout` or `denied`, each of which proves that nothing was delivered.
 */
export async function dial(target: ApiTarget, signal: AbortSignal): Promise<ByteConn> {
  const where = `${target.host}:${target.port}`;
  if (target.tls?.cert !== undefined) {
    const problem = clientCertificateProblem(target.tls.cert, target.tls.key ?? "");
    if (problem !== undefined) {
      throw new TunnelError("denied", `Cannot use the client certificate: ${problem}`, {
        nothingDelivered: true,
        hint: "Check the user's client-certificate and client-key in the kubeconfig",
      });
    }
  }
  let tcp: TcpConn | undefined;
  const onAbort = () => tcp?.close();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    const nodeTls = target.tls !== undefined && needsNodeTls(target.tls);
    if (target.proxyUrl === undefined) {
      tcp = await connectTcp(target.host, target.port, { nodeTls, signal });
    } else {
      tcp = await connectThroughProxy(target.proxyUrl, target.host, target.port, {
        nodeTls,
        signal,
      });
    }
    signal.throwIfAborted();
    if (target.tls === undefined) return tcp;
    const { tls } = target;
    return await tcp.startTls({
      serverName: tls.serverName ?? target.host,
      insecureSkipVerify: tls.insecureSkipVerify,
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
    }, signal);
  } catch (error) {
    tcp?.close();
    if (error instanceof TunnelError) throw error;
    if (signal.aborted) {
      throw new TunnelError(
        "timeout",
        `Cannot reach the API server at "${where}": no answer in time`,
        {
          nothingDelivered: true,
          cause: error,
        },
      );
    }
    throw dialError(where, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function dialError(where: string, error: unknown): TunnelError {
  const kind = dialFailure(error);
  const reason = {
    refused: "connection refused",
    reset: "connection reset",
    timeout: "no answer",
    name: "its name cannot be resolved",
    tls: messageOf(error),
    other: messageOf(error),
  }[kind];
  const hint = {
    refused: "Check that the cluster runs and that the kubeconfig's server is right",
    reset: undefined,
    timeout: "Check the network or VPN",
    name: "Check the network or VPN, and the kubeconfig's server",
    tls: "Check the certificate settings of the kubeconfig's cluster and user",
    other: undefined,
  }[kind];
  return new TunnelError(
    kind === "timeout" ? "timeout" : "unreachable",
    `Cannot reach the API server at "${where}": ${reason}`,
    { nothingDelivered: true, cause: error, ...(hint === undefined ? {} : { hint }) },
  );
}
