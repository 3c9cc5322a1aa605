import type { ApiTarget, ApiTargetSource } from "../model/api_target.ts";
import { CzctlError } from "../model/errors.ts";
import { shellWord } from "../model/shell_word.ts";
import { clientCertificateProblem } from "../platform/client_certificate.ts";
import type { ResolvedContext } from "./context.ts";
import type { CredentialSource } from "./credential_types.ts";
import { pem } from "./pem.ts";
import { proxyFromEnv } from "./proxy_env.ts";

/**
 * Makes the source of API targets for a context. Throws CzctlError `failed`
 * for a server URL, proxy or CA that cannot be used.
 */
export async function apiTargetSource(
  resolved: ResolvedContext,
  credentials: CredentialSource,
  env: Readonly<Record<string, string>>,
  systemCa: () => Promise<string | undefined>,
): Promise<ApiTargetSource> {
  const { cluster, user } = resolved;
  const server = serverUrl(resolved);
  const secure = server.protocol === "https:";
  const insecureSkipVerify = cluster["insecure-skip-tls-verify"] === true;
  const ca = !secure || insecureSkipVerify
    ? undefined
    : await pem(cluster, "certificate-authority", resolved.clusterName) ?? await systemCa();
  const proxyUrl = cluster["proxy-url"] || proxyFromEnv(server, env);
  if (proxyUrl && !URL.canParse(proxyUrl)) {
    throw new CzctlError("failed", `Cannot use the proxy "${proxyUrl}": it is not a URL`, {
      hint: "Check proxy-url in the kubeconfig, or HTTPS_PROXY",
    });
  }
  const serverName = cluster["tls-server-name"];
  const { headers, repeatedHeaders } = impersonation(user);
  if (cluster["disable-compression"] === true) headers["accept-encoding"] = "identity";
  const fixed = {
    host: server.hostname.replace(/^\[|\]$/g, ""),
    port: Number(server.port || (secure ? 443 : 80)),
    basePath: server.pathname.replace(/\/+$/, ""),
    ...(repeatedHeaders.length > 0 ? { repeatedHeaders } : {}),
    ...(proxyUrl ? { proxyUrl } : {}),
  };
  return async (options = {}): Promise<ApiTarget> => {
    const found = await credentials.get(options.refresh ?? false);
    if (secure && found.cert && found.key) checkClientCertificate(resolved, found.cert, found.key);
    const authorization = found.token
      ? { authorization: `Bearer ${found.token}` }
      : found.basic
      ? { authorization: `Basic ${found.basic}` }
      : {};
    return {
      ...fixed,
      headers: { ...headers, ...authorization },
      ...(secure
        ? {
          tls: {
            insecureSkipVerify,
            ...(ca === undefined ? {} : { ca }),
            ...(serverName ? { serverName } : {}),
            ...(found.cert && found.key ? { cert: found.cert, key: found.key } : {}),
          },
        }
        : {}),
    };
  };
}

/** The runtime ends the whole process on a certificate it cannot load, so it is looked at first. */
function checkClientCertificate(resolved: ResolvedContext, cert: string, key: string): void {
  const problem = clientCertificateProblem(cert, key);
  if (problem === undefined) return;
  throw new CzctlError(
    "denied",
    `Cannot use the client certificate of user "${resolved.userName}": ${problem}`,
    { hint: "Check client-certificate and client-key in the kubeconfig" },
  );
}

/** The server's URL. Without a scheme it is https where TLS is spoken of (http for client-go). */
export function serverUrl(resolved: ResolvedContext): URL {
  const { cluster, user, context } = resolved;
  let text = cluster.server.trim();
  if (!/^[a-z]+:\/\//i.test(text)) {
    const secure = cluster["certificate-authority"] || cluster["certificate-authority-data"] ||
      cluster["insecure-skip-tls-verify"] || user["client-certificate"] ||
      user["client-certificate-data"];
    text = `${secure ? "https" : "http"}://${text}`;
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new CzctlError(
      "failed",
      `Cannot use the context "${context}": "${cluster.server}" is not the URL of a server`,
      {
        hint: `Set it: ${resolved.kubectl} config set-cluster ${
          shellWord(resolved.clusterName)
        } --server https://...`,
      },
    );
  }
  return url;
}

function impersonation(user: ResolvedContext["user"]) {
  const headers: Record<string, string> = {};
  const repeatedHeaders: [string, string][] = [];
  if (user.as) headers["impersonate-user"] = user.as;
  if (user["as-uid"]) headers["impersonate-uid"] = user["as-uid"];
  for (const group of user["as-groups"] ?? []) repeatedHeaders.push(["impersonate-group", group]);
  for (const [key, values] of Object.entries(user["as-user-extra"] ?? {})) {
    const name = `impersonate-extra-${headerKey(key)}`;
    for (const value of values) repeatedHeaders.push([name, value]);
  }
  return { headers, repeatedHeaders };
}

/** What no header's name may hold is escaped byte by byte; the server ignores the case of the rest. */
function headerKey(key: string): string {
  const escaped = [...new TextEncoder().encode(key)].map((byte) => {
    const letter = String.fromCharCode(byte);
    return /[\w!#$&'*+.^`|~-]/.test(letter) ? letter : `%${byte.toString(16).padStart(2, "0")}`;
  });
  return escaped.join("").toLowerCase();
}
