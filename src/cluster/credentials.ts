import { Buffer } from "node:buffer";
import type { Clock } from "../model/clock.ts";
import { CzctlError } from "../model/errors.ts";
import { clientCertificateProblem } from "../platform/client_certificate.ts";
import { readUserFile } from "../platform/user_files.ts";
import type { CredentialOptions, Credentials, CredentialSource } from "./credential_types.ts";
import { ExecPlugin } from "./exec_plugin.ts";
import { loginPlugin, logsIn } from "./login_method.ts";
import { OidcTokens } from "./oidc.ts";
import { pem } from "./pem.ts";

/** How long a token file's contents are trusted, in ms (client-go's period is one minute). */
const TOKEN_FILE_MS = 60_000;

/**
 * Picks the way to log in, in client-go's order. A client certificate is sent
 * whatever else there is, and nothing without TLS. Throws CzctlError `failed`
 * for a way czctl does not know.
 */
export function credentialSource(options: CredentialOptions): CredentialSource {
  const { user } = options.context;
  if (!logsIn(options.context)) return { get: () => Promise.resolve({}) };
  const certificate = new ClientCertificate(options);
  const withCertificate = (inner: (refresh: boolean) => Promise<Credentials>) => ({
    get: async (refresh: boolean) => ({
      ...await certificate.get(refresh),
      ...await inner(refresh),
    }),
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
  const exec = loginPlugin(options.context);
  if (exec) {
    const plugin = new ExecPlugin(exec, options);
    return {
      ...withCertificate((refresh) => plugin.get(refresh)),
      asks: plugin.asks,
      handOver: () => plugin.handOver(),
      close: () => plugin.close(),
    };
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

/**
 * Read again once a minute and when it was refused, so that a rotated file
 * (cert-manager, short-lived logins) is noticed.
 */
class ClientCertificate {
  readonly #options: CredentialOptions;
  #cached: { readonly at: number; readonly value: Credentials } | undefined;

  constructor(options: CredentialOptions) {
    this.#options = options;
  }

  async get(refresh: boolean): Promise<Credentials> {
    const now = this.#options.clock.monotonic();
    if (this.#cached && !refresh && now - this.#cached.at < TOKEN_FILE_MS) {
      return this.#cached.value;
    }
    let value: Credentials;
    try {
      value = await this.#read();
    } catch (error) {
      if (this.#cached) return this.#cached.value;
      throw error;
    }
    // Caught in the middle of a rotation, between certificate and key: the last good pair still serves.
    const { cert, key } = value;
    if (this.#cached && cert && key && clientCertificateProblem(cert, key) !== undefined) {
      return this.#cached.value;
    }
    this.#cached = { at: now, value };
    return value;
  }

  async #read(): Promise<Credentials> {
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
    return cert !== undefined && key !== undefined ? { cert, key } : {};
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
