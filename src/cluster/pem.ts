import { Buffer } from "node:buffer";
import { CzctlError } from "../model/errors.ts";
import { readUserFile } from "../platform/user_files.ts";

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
    if (text.includes("-----BEGIN ")) return text;
    throw new CzctlError("failed", `Cannot use ${field}-data of "${owner}": it is not PEM`, {
      hint: "It must be the base64 of a PEM file: base64 -w0 FILE",
    });
  }
  const path = values[field];
  if (typeof path !== "string" || path === "") return undefined;
  const read = await readUserFile(path);
  if ("text" in read) {
    if (read.text.includes("-----BEGIN ")) return read.text;
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
