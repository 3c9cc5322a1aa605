import { DialError } from "./tcp.ts";

/**
 * Says what was wrong with the server's certificate; undefined when it was
 * something else. The words are rustls':
 * https://docs.rs/rustls/latest/rustls/enum.CertificateError.html
 */
export function tlsError(error: unknown, name: string): DialError | undefined {
  const text = error instanceof Error ? error.message : String(error);
  if (/NotValidForName|not valid for name/i.test(text)) {
    return new DialError(
      "certificate_name",
      `the server's certificate is not for the name "${name}"`,
      error,
    );
  }
  if (/NotValidYet|not valid yet/i.test(text)) {
    return new DialError(
      "certificate_expired",
      "the server's certificate is not valid yet (is this machine's clock right?)",
      error,
    );
  }
  if (/Expired/i.test(text)) {
    return new DialError("certificate_expired", "the server's certificate has expired", error);
  }
  if (/CaUsedAsEndEntity/i.test(text)) {
    return new DialError(
      "certificate_ca",
      "the server's certificate is a certificate authority's own, which is not taken for a server's",
      error,
    );
  }
  if (/UnknownIssuer|BadSignature|invalid peer certificate/i.test(text)) {
    return new DialError(
      "certificate_untrusted",
      "the server's certificate is not signed by a trusted authority",
      error,
    );
  }
  if (/tls|handshake|corrupt|InvalidContentType|alert|InvalidData/i.test(text)) {
    return new DialError("tls", `the TLS handshake failed (${text})`, error);
  }
  return undefined;
}
