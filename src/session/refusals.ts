/** Why a session cannot be opened, once the cluster's services are known: one clear error each. */
import type { ServiceInfo } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import type { ClusterService } from "../model/service.ts";
import { shellWord } from "../model/shell_word.ts";
import type { Claims } from "./claims.ts";
import { type PlanOptions, planSession } from "./plan.ts";

/** The namespaces of a session, in words. */
export function whereOf(namespaces: readonly string[] | "all"): string {
  if (namespaces === "all") return "all namespaces";
  const names = namespaces.map((name) => `"${name}"`).join(", ");
  return `namespace${namespaces.length > 1 ? "s" : ""} ${names}`;
}

/** Throws CzctlError `failed` for an empty namespace, or a selector that fits nothing. */
export function refuseNoServices(
  services: ReadonlyMap<string, ClusterService>,
  { where, namespace, selector, kubectl }: {
    readonly where: string;
    readonly namespace: string;
    readonly selector: string | undefined;
    readonly kubectl: string;
  },
): void {
  if (services.size > 0) return;
  const which = selector === undefined ? "" : ` that fit -l ${JSON.stringify(selector)}`;
  const labels = selector === undefined ? "" : " --show-labels";
  throw new CzctlError("failed", `Cannot teleport: ${where} has no services${which}`, {
    hint: `Look with: ${kubectl} get services -n ${shellWord(namespace)}${labels}`,
  });
}

/** Throws CzctlError `failed` where a name already leads into another cluster. */
export function refuseCollision(
  services: Iterable<ClusterService>,
  options: PlanOptions,
  cluster: string,
  claims: Claims,
): void {
  const domain = options.domain ?? "";
  const collision = planSession(services, options).addresses.find(({ key }) =>
    claims.collides({ cluster, key, domain })
  );
  if (collision === undefined) return;
  const { namespace, service } = collision;
  throw new CzctlError(
    "failed",
    `Cannot teleport: "${service}.${namespace}" already leads into another cluster`,
    {
      hint: "Close that session (czctl session list), leave the service out with --exclude, " +
        "or add --domain SUFFIX to live beside it",
    },
  );
}

/** Throws CzctlError `failed` where not one service got an address. */
export function refuseNothingTunnelled(
  services: readonly ServiceInfo[],
  { where, namespace, kubectl }: {
    readonly where: string;
    readonly namespace: string | undefined;
    readonly kubectl: string;
  },
): void {
  if (services.some((service) => service.address !== undefined)) return;
  const reasons = services.slice(0, 3).map((service) => `${service.name}: ${service.reason}`);
  const what = reasons.length === 0
    ? `no service of ${where} is left after --only and --exclude`
    : `no service of ${where} can be tunnelled (${reasons.join("; ")})`;
  throw new CzctlError("failed", `Cannot teleport: ${what}`, {
    hint: `Look with: ${kubectl} get services ${
      namespace === undefined ? "-A" : `-n ${shellWord(namespace)}`
    }`,
  });
}
