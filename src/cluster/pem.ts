import { Buffer } from "node:buffer";
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

function blocks(text: string, label: string): string[] {
  const block = new RegExp(`-----BEGIN (${label})-----[^-]*-----END \\1-----`, "g");
  return [...text.matchAll(block)].map(([whole]) => `${whole}\n`);
}

const PARTS = {
  "client-certificate": certificatesIn,
  "client-key": privateKeyIn,
  "certificate-authority": (text: string) => text,
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
    if (text.includes("-----BEGIN ")) return PARTS[field](text);
    throw new CzctlError("failed", `Cannot use ${field}-data of "${owner}": it is not PEM`, {
      hint: "It must be the base64 of a PEM file: base64 -w0 FILE",
    });
  }
  const path = values[field];
  if (typeof path !== "string" || path === "") return undefined;
  const read = await readUserFile(path);
  if ("text" in read) {
    if (read.text.includes("-----BEGIN ")) return PARTS[field](read.text);
    throw new CzctlError(
      "failed",
      `Cannot use the ${field} "${path}" of "${owner}": it is not PEM`,
    );
  }
  throw new CzctlError(
    "failed",
    `Cannot read the ${field} "${path}" of "${owner}": ${read.detail}`,
    { hint: "The kubeconfig names that file; put it back or correct the path" },
  );
}
