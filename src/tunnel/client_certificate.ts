import { createPrivateKey, X509Certificate } from "node:crypto";
import { messageOf } from "../model/errors.ts";
import { TunnelError } from "./errors.ts";

/**
 * The runtime ends the whole process (a panic in ext/tls, Deno 2.7.11) on a
 * client certificate its TLS library cannot load: an X.509 version 1 one, one
 * that does not fit its key, or no certificate at all. So each is looked at
 * before it is used. Throws TunnelError `denied`.
 */
export function checkClientCertificate(cert: string, key: string): void {
  if (lastGood?.cert === cert && lastGood.key === key) return;
  const reason = problem(cert, key);
  if (reason !== undefined) {
    throw new TunnelError("denied", `Cannot use the client certificate: ${reason}`, {
      nothingDelivered: true,
      hint: "Check the user's client-certificate and client-key in the kubeconfig",
    });
  }
  lastGood = { cert, key };
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
    return messageOf(error);
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
