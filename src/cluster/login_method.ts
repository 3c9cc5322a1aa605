import { serverUrl } from "./api_target.ts";
import type { ResolvedContext } from "./context.ts";
import type { ExecEntry, UserEntry } from "./kubeconfig.ts";

/** As in client-go, a user's credentials are for https only: not read, not asked for, not sent. */
export function logsIn(resolved: ResolvedContext): boolean {
  return serverUrl(resolved).protocol === "https:";
}

/** The plugin that logs in, if one does. Like client-go, czctl runs none beside another way. */
export function loginPlugin(resolved: ResolvedContext): ExecEntry | undefined {
  const { user } = resolved;
  const otherwise = user.tokenFile || user.token || user.username || hasClientCertificate(user);
  return otherwise || !logsIn(resolved) ? undefined : user.exec;
}

function hasClientCertificate(user: UserEntry): boolean {
  const cert = user["client-certificate"] || user["client-certificate-data"];
  const key = user["client-key"] || user["client-key-data"];
  return Boolean(cert && key);
}
