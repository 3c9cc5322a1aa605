import { isIP, type Socket } from "node:net";
import tls from "node:tls";
import type { ApiTarget } from "../model/api_target.ts";
import { openProxy } from "./proxy_dial.ts";
import { DialError, hostPort, openTcp } from "./tcp.ts";
import { describeTlsFailure } from "./tls_diagnosis.ts";

/**
 * Opens a TCP or TLS connection to an API server, through its proxy if it has
 * one. TCP_NODELAY is set. Throws DialError, or the signal's reason.
 *
 * node:tls says that a connection is secure before the handshake is over, so a
 * bad certificate shows up as a nameless error of the first write or read: see
 * `explainTls`, which callers use on such an error.
 */
export async function dial(
  target: ApiTarget,
  options: { deadlineMs: number; signal?: AbortSignal },
): Promise<Socket> {
  const deadline = AbortSignal.timeout(options.deadlineMs);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  try {
    const raw = target.proxyUrl
      ? await openProxy(target.proxyUrl, target.host, target.port, signal)
      : await openTcp(target.host, target.port, signal);
    return target.tls ? await secure(raw, target, signal) : raw;
  } catch (error) {
    if (deadline.aborted && !options.signal?.aborted) {
      throw new DialError(
        "timeout",
        `no answer from ${hostPort(target)} within ${options.deadlineMs / 1000} s`,
      );
    }
    throw error;
  }
}

function secure(raw: Socket, target: ApiTarget, signal: AbortSignal): Promise<Socket> {
  const settings = target.tls!;
  return new Promise((resolve, reject) => {
    const serverName = settings.serverName ?? target.host;
    const socket = tls.connect({
      socket: raw,
      // Without `host` Deno verifies against "localhost".
      host: serverName,
      // RFC 6066: SNI holds names only.
      ...(isIP(serverName) ? {} : { servername: serverName }),
      rejectUnauthorized: !settings.insecureSkipVerify,
      ...(settings.ca === undefined ? {} : { ca: settings.ca }),
      ...(settings.cert === undefined ? {} : { cert: settings.cert }),
      ...(settings.key === undefined ? {} : { key: settings.key }),
    });
    const onAbort = () => {
      socket.destroy();
      raw.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("secureConnect", () => {
      signal.removeEventListener("abort", onAbort);
      resolve(socket);
    });
    socket.on("error", (error) => {
      signal.removeEventListener("abort", onAbort);
      reject(new DialError("tls", `TLS with ${hostPort(target)} failed (${error.message})`, error));
    });
  });
}

/**
 * Finds out why a TLS connection failed before it carried anything, by a
 * second handshake through the API that tells. Undefined when that one works
 * or fails for a reason other than the certificate.
 */
export async function explainTls(
  target: ApiTarget,
  deadlineMs: number,
): Promise<DialError | undefined> {
  if (!target.tls || target.tls.insecureSkipVerify || target.proxyUrl) return undefined;
  const found = await describeTlsFailure(target, deadlineMs);
  return found && new DialError(found.kind, found.message);
}
