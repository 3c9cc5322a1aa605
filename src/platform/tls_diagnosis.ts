import type { ApiTarget } from "../model/api_target.ts";

export interface TlsDiagnosis {
  readonly kind:
    | "certificate_untrusted"
    | "certificate_expired"
    | "certificate_name"
    | "tls";
  readonly message: string;
}

/**
 * Repeats a handshake with Deno's own API, whose errors name what is wrong
 * with the certificate (node:tls in Deno 2.7 says "write UNKNOWN" for all of
 * them). No client certificate is needed: the server's is judged first.
 */
export async function describeTlsFailure(
  target: ApiTarget,
  deadlineMs: number,
): Promise<TlsDiagnosis | undefined> {
  let conn: Deno.TcpConn | undefined;
  let secured: Deno.TlsConn | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const name = target.tls?.serverName ?? target.host;
  try {
    conn = await Deno.connect({
      hostname: target.host,
      port: target.port,
      signal: AbortSignal.timeout(deadlineMs),
    });
    timer = setTimeout(() => {
      try {
        (secured ?? conn)?.close();
      } catch {
        // Closed meanwhile.
      }
    }, deadlineMs);
    secured = await Deno.startTls(conn, {
      hostname: name,
      ...(target.tls?.ca === undefined ? {} : { caCerts: [target.tls.ca] }),
    });
    await secured.handshake();
    return undefined;
  } catch (error) {
    return classify(error instanceof Error ? error.message : String(error), name);
  } finally {
    clearTimeout(timer);
    try {
      (secured ?? conn)?.close();
    } catch {
      // The failed handshake closed it.
    }
  }
}

/** The words are rustls': https://docs.rs/rustls/latest/rustls/enum.CertificateError.html */
function classify(text: string, name: string): TlsDiagnosis | undefined {
  if (/NotValidForName|not valid for name/i.test(text)) {
    return {
      kind: "certificate_name",
      message: `the server's certificate is not for the name "${name}"`,
    };
  }
  if (/Expired|NotValidYet|not valid yet/i.test(text)) {
    return {
      kind: "certificate_expired",
      message: /NotValidYet|not valid yet/i.test(text)
        ? "the server's certificate is not valid yet (is this machine's clock right?)"
        : "the server's certificate has expired",
    };
  }
  if (/UnknownIssuer|BadSignature|CaUsedAsEndEntity|invalid peer certificate/i.test(text)) {
    return {
      kind: "certificate_untrusted",
      message: "the server's certificate is not signed by a trusted authority",
    };
  }
  if (/tls|handshake|corrupt|InvalidContentType|alert/i.test(text)) {
    return { kind: "tls", message: `the TLS handshake failed (${text})` };
  }
  return undefined;
}
