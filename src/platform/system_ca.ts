import { readFile } from "node:fs/promises";

/** Where Linux distributions keep the bundle; Go looks in the same places (crypto/x509/root_linux.go). */
const BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * The system's certificate authorities as PEM, or SSL_CERT_FILE where it is
 * set. Undefined when there is no bundle (macOS keeps them elsewhere): the
 * runtime's own list serves then.
 */
export async function systemCa(
  env: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const files = env.SSL_CERT_FILE ? [env.SSL_CERT_FILE, ...BUNDLES] : BUNDLES;
  for (const file of files) {
    try {
      return await readFile(file, "utf8");
    } catch {
      // Not this distribution.
    }
  }
  return undefined;
}
