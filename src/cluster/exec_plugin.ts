import { Buffer } from "node:buffer";
import type { Clock } from "../model/clock.ts";
import { CzctlError } from "../model/errors.ts";
import { findProgram, run } from "../platform/exec.ts";
import type {
  CredentialOptions,
  Credentials,
  CredentialSource,
  HandedCredential,
} from "./credential_types.ts";
import type { ExecEntry } from "./kubeconfig.ts";
import { certificatesIn, pem, privateKeyIn } from "./pem.ts";
import { parseYaml } from "./yaml_text.ts";

/** Renewed this long before it expires, in ms, so that no request meets an expired one. */
const EARLY_MS = 60_000;
/** How long after a run a refusal is taken to be of the credential before it, in ms. */
const BURST_MS = 200;
/** A plugin may open a browser and wait for the user. */
const INTERACTIVE_MS = 300_000;
const SILENT_MS = 30_000;
/** After a failure it is not run again for this long, in ms; doubled by each further one. */
const FAILED_FIRST_MS = 2_000;
const FAILED_MAX_MS = 15_000;
/** The same where nobody answered it: each run may have opened a window. */
const UNANSWERED_MAX_MS = 1_800_000;

/**
 * A kubeconfig's exec plugin (client.authentication.k8s.io v1 and v1beta1),
 * run with the environment and working folder of the session it belongs to,
 * never this process's own. One run at a time, its answer kept until shortly
 * before it expires or is refused, its failure for a while.
 * https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
 */
export class ExecPlugin implements CredentialSource {
  readonly #entry: ExecEntry;
  readonly #options: CredentialOptions;
  readonly #clock: Clock;
  #cached: { readonly value: Credentials; readonly until: number } | undefined;
  #running: Promise<Credentials> | undefined;
  #lastRefresh = -Infinity;
  #expiresAt: number | undefined;
  #failure: { readonly error: unknown; readonly until: number } | undefined;
  #failures = 0;
  /** It has given a credential before, so somebody is there who can log in again. */
  #worked: boolean;
  readonly #ended = new AbortController();

  constructor(entry: ExecEntry, options: CredentialOptions) {
    this.#entry = entry;
    this.#options = options;
    this.#clock = options.clock;
    const { handed } = options;
    this.#worked = handed !== undefined;
    if (handed) {
      const { expiresAt, ...value } = handed;
      this.#cached = { value, until: expiresAt === undefined ? Infinity : expiresAt - EARLY_MS };
    }
  }

  /** It may ask the user, which svc has no terminal for. */
  get asks(): boolean {
    return this.#entry.interactiveMode !== "Never";
  }

  async handOver(): Promise<HandedCredential> {
    const value = await this.get(false);
    return {
      ...value,
      ...(this.#expiresAt === undefined ? {} : { expiresAt: this.#expiresAt }),
    };
  }

  get(refresh: boolean): Promise<Credentials> {
    if (this.#running) return this.#running;
    // A burst of 401s from several connections is one refusal, not many.
    const justDone = this.#clock.monotonic() - this.#lastRefresh < BURST_MS;
    if (this.#cached && (!refresh || justDone) && this.#clock.now() < this.#cached.until) {
      return Promise.resolve(this.#cached.value);
    }
    const { interactive } = this.#options;
    if (this.#failure && !interactive && this.#clock.monotonic() < this.#failure.until) {
      return Promise.reject(this.#failure.error);
    }
    this.#running = this.#tried().finally(() => {
      this.#running = undefined;
      if (refresh) this.#lastRefresh = this.#clock.monotonic();
    });
    // Whoever asked may have stopped waiting.
    this.#running.catch(() => {});
    return this.#running;
  }

  close(): void {
    this.#ended.abort(new CzctlError("interrupted", "The session was closed"));
  }

  async #tried(): Promise<Credentials> {
    const begin = this.#clock.monotonic();
    try {
      const value = await this.#run();
      this.#failure = undefined;
      this.#failures = 0;
      this.#worked = true;
      return value;
    } catch (error) {
      const now = this.#clock.monotonic();
      const most = now - begin >= SILENT_MS ? UNANSWERED_MAX_MS : FAILED_MAX_MS;
      const pause = Math.min(FAILED_FIRST_MS * 2 ** this.#failures++, most);
      this.#failure = { error, until: now + pause };
      throw error;
    }
  }

  async #run(): Promise<Credentials> {
    const { env, cwd, interactive, context } = this.#options;
    const version = this.#apiVersion();
    const command = this.#entry.command;
    if (!command) throw this.#failed("it names no command");
    const mode = this.#entry.interactiveMode ?? "IfAvailable";
    if (mode === "Always" && !interactive) {
      throw this.#failed("it must be able to ask you, which only a command in a terminal can", {
        hint: "Run: czctl teleport again in a terminal",
      });
    }
    const terminal = interactive && mode !== "Never";
    const childEnv: Record<string, string> = { ...env };
    for (const { name, value } of this.#entry.env ?? []) childEnv[name] = String(value);
    childEnv.KUBERNETES_EXEC_INFO = JSON.stringify({
      kind: "ExecCredential",
      apiVersion: version,
      spec: {
        interactive: terminal,
        ...(this.#entry.provideClusterInfo ? { cluster: await clusterInfo(context) } : {}),
      },
    });
    const program = await findProgram(command, childEnv, cwd);
    if (!program) {
      const hint = this.#entry.installHint?.trim();
      throw this.#failed("no such program", {
        hint: hint || `Install "${command}" or put its folder on the PATH`,
      });
    }
    this.#options.log.debug("exec plugin", { command: program });
    const deadlineMs = terminal || this.asks && this.#worked ? INTERACTIVE_MS : SILENT_MS;
    const result = await run({
      command: program,
      args: (this.#entry.args ?? []).map(String),
      env: childEnv,
      cwd,
      terminal,
      deadlineMs,
      signal: this.#ended.signal,
    });
    if (result.problem === "timeout") {
      throw this.#failed(`no answer within ${deadlineMs / 1000} s`, {
        hint: "Run: czctl teleport again, which runs it in your terminal",
      });
    }
    if (result.problem) throw this.#failed(result.detail ?? result.problem);
    if (result.code !== 0) {
      const said = result.stderr.trim().split("\n").pop();
      const how = result.code === null ? "was killed" : `ended with code ${result.code}`;
      throw this.#failed(`it ${how}${said ? ` ("${said}")` : ""}`, {
        hint:
          `Log in again, then check with: ${context.kubectl} get services; for an open session: czctl teleport again`,
      });
    }
    return this.#accept(result.stdout, version);
  }

  #accept(stdout: string, version: string): Credentials {
    const answer = this.#parse(stdout);
    const { apiVersion, kind } = answer;
    // As in client-go the kind may be left out, the version may not.
    if ((kind && kind !== "ExecCredential") || apiVersion !== version) {
      const got = [apiVersion, kind].filter(Boolean).join(" ");
      throw this.#failed(`it answered with "${got}" instead of "${version} ExecCredential"`);
    }
    const status = isRecord(answer.status) ? answer.status : {};
    const [token, cert, key] = [
      text(status.token),
      text(status.clientCertificateData),
      text(status.clientKeyData),
    ];
    if (!token && !(cert && key)) throw this.#failed("its answer holds no credential");
    const value: Credentials = {
      ...(token ? { token } : {}),
      ...(cert && key ? { cert: certificatesIn(cert), key: privateKeyIn(key) } : {}),
    };
    const expires = Date.parse(text(status.expirationTimestamp));
    const now = this.#clock.now();
    // A credential that lives for less than two minutes is used for half its life.
    const until = Number.isNaN(expires)
      ? Infinity
      : Math.max(expires - EARLY_MS, now + (expires - now) / 2);
    this.#cached = { value, until };
    this.#expiresAt = Number.isNaN(expires) ? undefined : expires;
    return value;
  }

  /** Like client-go: what begins as JSON must be JSON, anything else YAML. */
  #parse(stdout: string): Record<string, unknown> {
    try {
      const answer = stdout.trimStart().startsWith("{") ? JSON.parse(stdout) : parseYaml(stdout);
      if (isRecord(answer)) return answer;
    } catch {
      // Said below.
    }
    throw this.#failed("its answer is neither a JSON object nor a YAML mapping");
  }

  #apiVersion(): string {
    const version = this.#entry.apiVersion;
    if (
      version === "client.authentication.k8s.io/v1" ||
      version === "client.authentication.k8s.io/v1beta1"
    ) return version;
    throw this.#failed(`its apiVersion "${version ?? ""}" is not known`, {
      hint: "Use client.authentication.k8s.io/v1 or v1beta1 in the kubeconfig",
    });
  }

  #failed(reason: string, options: { hint?: string } = {}): CzctlError {
    return new CzctlError(
      "denied",
      `Cannot get credentials from the plugin "${this.#entry.command ?? ""}": ${reason}`,
      options,
    );
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

async function clusterInfo(context: CredentialOptions["context"]): Promise<object> {
  const { cluster } = context;
  const ca = await pem(cluster, "certificate-authority", context.clusterName);
  const extensions = Array.isArray(cluster.extensions) ? cluster.extensions : [];
  // The one extension name plugins may get their configuration from.
  const config = extensions.find((entry) => entry?.name === "client.authentication.k8s.io/exec");
  return {
    server: cluster.server,
    ...(cluster["tls-server-name"] ? { "tls-server-name": cluster["tls-server-name"] } : {}),
    ...(cluster["insecure-skip-tls-verify"] ? { "insecure-skip-tls-verify": true } : {}),
    ...(ca === undefined
      ? {}
      : { "certificate-authority-data": Buffer.from(ca).toString("base64") }),
    ...(cluster["proxy-url"] ? { "proxy-url": cluster["proxy-url"] } : {}),
    ...(cluster["disable-compression"] === true ? { "disable-compression": true } : {}),
    ...(config ? { config: config.extension } : {}),
  };
}
