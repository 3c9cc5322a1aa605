import { serverUrl } from "./api_target.ts";
import type { ResolvedContext } from "./context.ts";
import type { ExecEntry } from "./kubeconfig.ts";

/** As in client-go, a user's credentials are for https only: not read, not asked for, not sent. */
export function logsIn(resolved: ResolvedContext): boolean {
  return serverUrl(resolved).protocol === "https:";
}

/** The plugin that logs in, if one does. */
export function loginPlugin(resolved: ResolvedContext): ExecEntry | undefined {
  const { user } = resolved;
  const otherwise = user.tokenFile || user.token || user.username;
  return otherwise || !logsIn(resolved) ? undefined : user.exec;
}
