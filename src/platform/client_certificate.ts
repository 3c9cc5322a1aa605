import { createPrivateKey, X509Certificate } from "node:crypto";

/**
 * Why a client certificate and its key (PEM both) cannot be used; undefined
 * when they can. To be asked before either is handed to the runtime, which
 * ends the whole process (a panic in ext/tls, Deno 2.7.11) on what its TLS
 * library cannot load: an X.509 version 1 certificate, one that does not fit
 * its key, or none at all.
 */
export function clientCertificateProblem(cert: string, key: string): string | undefined {
  if (lastGood?.cert === cert && lastGood.key === key) return undefined;
  const reason = problem(cert, key);
  if (reason === undefined) lastGood = { cert, key };
  return reason;
}

let lastGood: { cert: string; key: string } | undefined;

function problem(cert: string, key: string): string | undefined {
  try {
    const certificate = new X509Certificate(cert);
    if (!isVersion3(certificate.raw)) {
      return "it is an X.509 version 1 certificate, which cannot be used here; version 3 is needed";
    }
    if (!certificate.checkPrivateKey(createPrivateKey(key))) {
      return "it does not fit the client key";
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return undefined;
}

/** The certificate's inner sequence begins with `[0] { INTEGER 2 }` in version 3 alone (RFC 5280, 4.1). */
function isVersion3(der: Uint8Array): boolean {
  const inner = contentStart(der, contentStart(der, 0));
  return [0xa0, 0x03, 0x02, 0x01, 0x02].every((byte, index) => der[inner + index] === byte);
}

/** Where the content of the DER element at `at` begins. */
function contentStart(der: Uint8Array, at: number): number {
  const length = der[at + 1] ?? 0;
  return at + 2 + (length < 0x80 ? 0 : length & 0x7f);
}
