import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { CzctlError } from "../model/errors.ts";
import { readUserFile } from "../platform/user_files.ts";

/** The blocks of a PEM text that are certificates; other text when there is none. */
export function certificatesIn(text: string): string {
  return blocks(text, "CERTIFICATE").join("") || text;
}

/** Its first private key, as Go's tls.X509KeyPair takes it: a file may hold the certificate as well, or EC PARAMETERS. */
export function privateKeyIn(text: string): string {
  return blocks(text, "(?:[A-Z0-9]+ )*PRIVATE KEY")[0] ?? text;
}

/**
 * Its certificates, but for those that cannot be read: Go leaves them out
 * (AddCertsFromPEM of crypto/x509), the runtime trusts none of a bundle with
 * one of them, and with a client certificate its handshake never ends.
 */
export function authoritiesIn(text: string): string {
  return blocks(text, "CERTIFICATE").filter(isCertificate).join("");
}

function isCertificate(block: string): boolean {
  try {
    new X509Certificate(block);
    return true;
  } catch {
    return false;
  }
}

function blocks(text: string, label: string): string[] {
  const block = new RegExp(`-----BEGIN (${label})-----[^-]*-----END \\1-----`, "g");
  return [...text.matchAll(block)].map(([whole]) => `${whole}\n`);
}

const PARTS = {
  "client-certificate": certificatesIn,
  "client-key": privateKeyIn,
  "certificate-authority": authoritiesIn,
};

/**
 * `FIELD-data` (base64) or the file `FIELD`, as PEM text; the data wins, as in
 * kubectl. Throws CzctlError `failed` naming the file.
 */
export async function pem(
  entry: object,
  field: "client-certificate" | "client-key" | "certificate-authority",
  owner: string,
): Promise<string | undefined> {
  const values = entry as Readonly<Record<string, unknown>>;
  const data = values[`${field}-data`];
  if (typeof data === "string" && data !== "") {
    const text = Buffer.from(data, "base64").toString("utf8");
    return partOf(text, field, `${field}-data of "${owner}"`, {
      hint: "It must be the base64 of a PEM file: base64 -w0 FILE",
    });
  }
  const path = values[field];
  if (typeof path !== "string" || path === "") return undefined;
  const read = await readUserFile(path);
  if ("text" in read) return partOf(read.text, field, `the ${field} "${path}" of "${owner}"`);
  throw new CzctlError(
    "failed",
    `Cannot read the ${field} "${path}" of "${owner}": ${read.detail}`,
    { hint: "The kubeconfig names that file; put it back or correct the path" },
  );
}

function partOf(
  text: string,
  field: keyof typeof PARTS,
  where: string,
  options: { hint?: string } = {},
): string {
  if (!text.includes("-----BEGIN ")) {
    throw new CzctlError("failed", `Cannot use ${where}: it is not PEM`, options);
  }
  const part = PARTS[field](text);
  if (part !== "") return part;
  throw new CzctlError("failed", `Cannot use ${where}: it holds no certificate that can be read`);
}
