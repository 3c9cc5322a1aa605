import { Buffer } from "node:buffer";
import type { ApiTarget } from "../model/api_target.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import { HttpClient } from "../platform/http.ts";
import { readUserFile } from "../platform/user_files.ts";
import type { CredentialOptions, Credentials } from "./credential_types.ts";
import { proxyFromEnv } from "./proxy_env.ts";

/** Renewed this long before it expires, in ms. */
const EARLY_MS = 30_000;

/**
 * The `oidc` auth provider: an ID token, renewed with the refresh token at the
 * issuer's token endpoint (OpenID Connect Discovery 1.0, RFC 6749 section 6).
 * The kubeconfig itself is not rewritten: an issuer that hands out a new
 * refresh token each time is honoured for as long as this process lives.
 */
export class OidcTokens {
  readonly #config: Readonly<Record<string, string>>;
  readonly #options: CredentialOptions;
  #idToken: string | undefined;
  #refreshToken: string | undefined;
  #running: Promise<Credentials> | undefined;

  constructor(config: Readonly<Record<string, string>>, options: CredentialOptions) {
    this.#config = config;
    this.#options = options;
    this.#idToken = config["id-token"] || undefined;
    this.#refreshToken = config["refresh-token"] || undefined;
  }

  get(refresh: boolean): Promise<Credentials> {
    const expires = this.#idToken ? expiryOf(this.#idToken) : 0;
    if (this.#idToken && !refresh && this.#options.clock.now() < expires - EARLY_MS) {
      return Promise.resolve({ token: this.#idToken });
    }
    this.#running ??= this.#renew().finally(() => this.#running = undefined);
    return this.#running;
  }

  async #renew(): Promise<Credentials> {
    const issuer = this.#config["idp-issuer-url"];
    const client = this.#config["client-id"];
    if (!issuer || !client || !this.#refreshToken) {
      throw this.#failed("the ID token has expired and there is no refresh token");
    }
    const http = new HttpClient();
    try {
      const ca = await this.#ca();
      const call = async (url: string, body?: string) => {
        const server = new URL(url);
        const response = await http.request(await this.#target(server, ca), {
          method: body === undefined ? "GET" : "POST",
          path: server.pathname + server.search,
          headers: {
            accept: "application/json",
            ...(body === undefined ? {} : {
              "content-type": "application/x-www-form-urlencoded",
              authorization: `Basic ${
                Buffer.from(
                  `${encodeURIComponent(client)}:${
                    encodeURIComponent(this.#config["client-secret"] ?? "")
                  }`,
                ).toString("base64")
              }`,
            }),
          },
          ...(body === undefined ? {} : { body }),
          headDeadlineMs: 10_000,
          bodyIdleMs: 10_000,
        });
        const text = await response.text();
        if (response.status !== 200) throw new Error(`${server.host} answered ${response.status}`);
        return JSON.parse(text) as Record<string, unknown>;
      };
      const discovery = await call(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: this.#refreshToken,
        client_id: client,
      });
      const answer = await call(String(discovery.token_endpoint), form.toString());
      const token = answer.id_token;
      if (typeof token !== "string") throw new Error("the answer holds no ID token");
      this.#idToken = token;
      if (typeof answer.refresh_token === "string") this.#refreshToken = answer.refresh_token;
      return { token };
    } catch (error) {
      throw error instanceof CzctlError ? error : this.#failed(messageOf(error));
    } finally {
      http.close();
    }
  }

  async #ca(): Promise<string | undefined> {
    const data = this.#config["idp-certificate-authority-data"];
    if (data) return Buffer.from(data, "base64").toString("utf8");
    const file = this.#config["idp-certificate-authority"];
    if (!file) return undefined;
    const read = await readUserFile(file);
    if ("text" in read) return read.text;
    throw this.#failed(`"${file}": ${read.detail}`);
  }

  #target(server: URL, ca: string | undefined): Promise<ApiTarget> {
    const proxyUrl = proxyFromEnv(server, this.#options.env);
    const secure = server.protocol === "https:";
    return Promise.resolve({
      host: server.hostname.replace(/^\[|\]$/g, ""),
      port: Number(server.port || (secure ? 443 : 80)),
      basePath: "",
      headers: {},
      ...(secure
        ? { tls: { insecureSkipVerify: false, ...(ca === undefined ? {} : { ca }) } }
        : {}),
      ...(proxyUrl ? { proxyUrl } : {}),
    });
  }

  #failed(reason: string): CzctlError {
    return new CzctlError("denied", `Cannot renew the OIDC login: ${reason}`, {
      hint: "Log in again with the tool that made the kubeconfig",
    });
  }
}

/** `exp` of a JWT in ms since the epoch; 0 when it cannot be read. */
function expiryOf(token: string): number {
  try {
    const payload = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    return typeof payload.exp === "number" ? payload.exp * 1000 : 0;
  } catch {
    return 0;
  }
}
