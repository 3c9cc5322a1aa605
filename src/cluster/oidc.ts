import { Buffer } from "node:buffer";
import type { ApiTarget } from "../model/api_target.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import { HttpClient } from "../platform/http.ts";
import { readUserFile } from "../platform/user_files.ts";
import type { CredentialOptions, Credentials } from "./credential_types.ts";
import { proxyFromEnv } from "./proxy_env.ts";

/** Renewed this long before it expires, in ms. */
const EARLY_MS = 30_000;

/** Where the client's name and secret go. */
type AuthStyle = "header" | "body";

interface Form {
  readonly headers: Record<string, string>;
  readonly fields: Record<string, string>;
}

/** GET, or POST of a form, for JSON. */
type Ask = (url: string, form?: Form) => Promise<Record<string, unknown>>;

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
  #style: AuthStyle | undefined;
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
    if (!issuer || !this.#config["client-id"] || !this.#refreshToken) {
      throw this.#failed("the ID token has expired and there is no refresh token");
    }
    const http = new HttpClient();
    try {
      const ca = await this.#ca();
      const ask: Ask = async (url, form) => {
        const server = new URL(url);
        const response = await http.request(await this.#target(server, ca), {
          method: form === undefined ? "GET" : "POST",
          path: server.pathname + server.search,
          headers: {
            accept: "application/json",
            ...(form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
            ...form?.headers,
          },
          ...(form === undefined ? {} : { body: new URLSearchParams(form.fields).toString() }),
          headDeadlineMs: 10_000,
          bodyIdleMs: 10_000,
        });
        const text = await response.text();
        if (response.status !== 200) throw new Error(`${server.host} answered ${response.status}`);
        return JSON.parse(text) as Record<string, unknown>;
      };
      const discovery = await ask(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
      const answer = await this.#tokens(ask, String(discovery.token_endpoint), {
        grant_type: "refresh_token",
        refresh_token: this.#refreshToken,
      });
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

  /**
   * Some issuers take the client's name and secret in the header only, others
   * in the body only, some refuse both at once: so the one, then the other, as
   * in golang/oauth2, from then on the one that worked.
   */
  async #tokens(
    ask: Ask,
    url: string,
    fields: Record<string, string>,
  ): Promise<Record<string, unknown>> {
    const attempt = async (style: AuthStyle) => {
      const answer = await ask(url, this.#signed(style, fields));
      if (answer.error) throw new Error(`${new URL(url).host} answered "${answer.error}"`);
      this.#style = style;
      return answer;
    };
    if (this.#style) return await attempt(this.#style);
    return await attempt("header").catch(() => attempt("body"));
  }

  #signed(style: AuthStyle, fields: Record<string, string>): Form {
    const client = this.#config["client-id"] ?? "";
    const secret = this.#config["client-secret"] ?? "";
    if (style === "body") {
      return {
        headers: {},
        fields: { ...fields, client_id: client, ...(secret ? { client_secret: secret } : {}) },
      };
    }
    const pair = `${encodeURIComponent(client)}:${encodeURIComponent(secret)}`;
    return {
      headers: { authorization: `Basic ${Buffer.from(pair).toString("base64")}` },
      fields,
    };
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
