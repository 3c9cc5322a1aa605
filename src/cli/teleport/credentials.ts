import type { TeleportRequest } from "../../model/control.ts";
import { silentLogger } from "../../model/log.ts";
import { systemClock } from "../../platform/clock.ts";
import { resolveContext } from "../../cluster/context.ts";
import { loadKubeconfig } from "../../cluster/kubeconfig.ts";
import { loginPlugin } from "../../cluster/login_method.ts";
import type { CliContext } from "../context.ts";
import { defined } from "../options.ts";

/**
 * Reads the kubeconfig before anything is started, and runs an exec plugin that
 * may ask the user something: svc has no terminal. Its answer goes to svc.
 * Throws CzctlError for a kubeconfig that cannot be used or a plugin that fails.
 */
export async function prepareCredentials(
  request: Pick<TeleportRequest, "kubeconfig" | "context">,
  context: CliContext,
): Promise<TeleportRequest["credential"]> {
  const place = {
    env: context.env,
    cwd: context.cwd,
    home: context.paths().home,
    ...defined({ explicit: request.kubeconfig }),
  };
  const resolved = await resolveContext(await loadKubeconfig(place), request.context, place);
  const plugin = loginPlugin(resolved);
  const mayAsk = plugin !== undefined && plugin.interactiveMode !== "Never";
  if (!mayAsk || !context.hasTerminal) return undefined;
  const { openCluster } = await import("../../cluster/cluster.ts");
  context.print.finish();
  const cluster = await openCluster({
    ...defined({ kubeconfig: request.kubeconfig, context: request.context }),
    env: place.env,
    cwd: place.cwd,
    home: place.home,
    log: silentLogger,
    clock: systemClock,
    interactive: true,
  });
  try {
    return await cluster.logIn();
  } catch (error) {
    // Ctrl-C ends the plugin as well, and that is not why.
    context.signal.throwIfAborted();
    throw error;
  } finally {
    await cluster.close();
  }
}
