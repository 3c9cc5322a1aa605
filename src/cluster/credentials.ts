import { Buffer } from "node:buffer";
import type { Clock } from "../model/clock.ts";
import { CzctlError } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import { readUserFile } from "../platform/user_files.ts";
import type { ResolvedContext } from "./context.ts";
import { ExecPlugin } from "./exec_plugin.ts";
import { OidcTokens } from "./oidc.ts";

/** What a request proves itself with, at one moment. */
export interface Credentials {
  readonly token?: string;
  /** `user:password`, base64. */
  readonly basic?: string;
  /** PEM. */
  readonly cert?: string;
  readonly key?: string;
}

export interface CredentialSource {
  /** Valid now. `refresh`: what is cached was refused. Throws CzctlError `denied`. */
  get(refresh: boolean): Promise<Credentials>;
}

export interface CredentialOptions {
  readonly context: ResolvedContext;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** True in a program with a terminal: plugins may ask the user. */
  readonly interactive: boolean;
}

/** How long a token file's contents are trusted, in ms (client-go's period is one minute). */
const TOKEN_FILE_MS = 60_000;

/**
 * Picks the way to log in, in client-go's order. A client certificate is sent
 * whatever else there is. Throws CzctlError `failed` for a way czctl does not
 * know.
 */
export function credentialSource(options: CredentialOptions): CredentialSource {
  const { user } = options.context;
  const certificate = new ClientCertificate(options);
  const withCertificate = (inner: (refresh: boolean) => Promise<Credentials>) => ({
    get: async (refresh: boolean) => ({ ...await certificate.get(), ...await inner(refresh) }),
  });
  if (user.tokenFile) {
    const file = new TokenFile(user.tokenFile, user.token, options.clock);
    return withCertificate((refresh) => file.get(refresh));
  }
  if (user.token) {
    const token = user.token.trim();
    return withCertificate(() => Promise.resolve({ token }));
  }
  if (user.username) {
    const basic = Buffer.from(`${user.username}:${user.password ?? ""}`).toString("base64");
    return withCertificate(() => Promise.resolve({ basic }));
  }
  if (user.exec) {
    const plugin = new ExecPlugin(user.exec, options);
    return withCertificate((refresh) => plugin.get(refresh));
  }
  const provider = user["auth-provider"];
  if (provider?.name === "oidc") {
    const oidc = new OidcTokens(provider.config ?? {}, options);
    return withCertificate((refresh) => oidc.get(refresh));
  }
  if (provider) {
    throw new CzctlError(
      "failed",
      `Cannot log in as "${options.context.userName}": the auth provider "${provider.name}" was removed from Kubernetes`,
      { hint: "Use an exec plugin instead, e.g. gke-gcloud-auth-plugin or kubelogin" },
    );
  }
  return withCertificate(() => Promise.resolve({}));
}

/** Read again once a minute, so that a rotated file (cert-manager, short-lived logins) is noticed. */
class ClientCertificate {
  readonly #options: CredentialOptions;
  #cached: { readonly at: number; readonly value: Credentials } | undefined;

  constructor(options: CredentialOptions) {
    this.#options = options;
  }

  async get(): Promise<Credentials> {
    const now = this.#options.clock.monotonic();
    if (this.#cached && now - this.#cached.at < TOKEN_FILE_MS) return this.#cached.value;
    const { user, userName } = this.#options.context;
    const cert = await pem(user, "client-certificate", userName);
    const key = await pem(user, "client-key", userName);
    if ((cert === undefined) !== (key === undefined)) {
      throw new CzctlError(
        "failed",
        `Cannot log in as "${userName}": it has a client ${cert ? "certificate" : "key"} but no ${
          cert ? "key" : "certificate"
        }`,
        { hint: "Check the user entry of the kubeconfig" },
      );
    }
    const value = cert !== undefined && key !== undefined ? { cert, key } : {};
    this.#cached = { at: now, value };
    return value;
  }
}

class TokenFile {
  readonly #path: string;
  readonly #fallback: string | undefined;
  readonly #clock: Clock;
  #cached: { readonly at: number; readonly token: string } | undefined;

  constructor(path: string, fallback: string | undefined, clock: Clock) {
    this.#path = path;
    this.#fallback = fallback;
    this.#clock = clock;
  }

  async get(refresh: boolean): Promise<Credentials> {
    const now = this.#clock.monotonic();
    if (this.#cached && !refresh && now - this.#cached.at < TOKEN_FILE_MS) {
      return { token: this.#cached.token };
    }
    const read = await readUserFile(this.#path);
    const token = "text" in read ? read.text.trim() : "";
    if (token !== "") {
      this.#cached = { at: now, token };
      return { token };
    }
    // Caught in the middle of a rotation: the last good one still serves.
    if (this.#cached) return { token: this.#cached.token };
    if (this.#fallback) return { token: this.#fallback.trim() };
    const detail = "problem" in read ? read.detail : "it is empty";
    throw new CzctlError("failed", `Cannot read the token file "${this.#path}": ${detail}`, {
      hint: "Check the user entry of the kubeconfig (tokenFile)",
    });
  }
}

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
