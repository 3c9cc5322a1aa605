import { CzctlError } from "../model/errors.ts";
import type { ResourceName } from "../model/objects.ts";
import type { ApiClient, RequestLimits } from "./api_client.ts";
import { ApiError } from "./api_errors.ts";
import { grantHint, type Right } from "./grants.ts";
import { resourceInfo } from "./resources.ts";

/** How long the question may take, in ms: it only makes a message earlier. */
const ASK_MS = 5_000;

/** From here on WebSockets need `create`, too (AuthorizePodWebsocketUpgradeCreatePermission). */
const GET_ENOUGH_BEFORE_MINOR = 35;

/** Whether port-forwards of a namespace are allowed. */
export interface PortForwardAnswer {
  /** What keeps the user from them, as CzctlError `denied`. */
  readonly refusal?: CzctlError;
  /** What only a connection can tell, in words. */
  readonly note?: string;
}

/**
 * Whether the user may open port-forwards in a namespace; nothing when he may
 * or nobody can tell. Everybody may ask this of himself in a cluster as it
 * comes (`system:basic-user`), and without it a missing right would show in
 * the first connection only.
 */
export async function portForwardAnswer(
  api: ApiClient,
  namespace: string,
  signal?: AbortSignal,
): Promise<PortForwardAnswer> {
  const limits = limitsOf(signal);
  const may = (verb: string) =>
    allowed(api, { verb, resource: "pods", subresource: "portforward", namespace }, limits);
  try {
    if (await may("create")) return {};
    const verbs = await getIsEnough(api, limits) ? ["create", "get"] : ["create"];
    if (verbs.includes("get") && await may("get")) return {};
    const named = await namedPods(api, namespace, verbs, limits);
    if (named === "unknown") return {};
    if (named.length > 0) {
      const pods = named.length > 3 ? `${named.slice(0, 3).join(", ")}, ...` : named.join(", ");
      return {
        note:
          `Port-forwards in namespace "${namespace}" are allowed to pods of these names only: ${pods}`,
      };
    }
  } catch {
    return {};
  }
  const rights = [{ verb: "create", resource: "pods/portforward", namespace }];
  const message = (user: string) =>
    `Cannot reach pods in namespace "${namespace}": user "${user}" may not create pods/portforward`;
  return { refusal: await refusalOf(api, message, rights, limits) };
}

/** True, too, where the version may not be read: then the first connection tells. */
async function getIsEnough(api: ApiClient, limits: RequestLimits): Promise<boolean> {
  try {
    const version = await api.raw("/version", limits);
    // Some clusters write "34+".
    return !(Number.parseInt(version?.minor) >= GET_ENOUGH_BEFORE_MINOR);
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return true;
    throw error;
  }
}

/**
 * The pods that rules with `resourceNames` allow port-forwards to. An access
 * review without a name says no to those rules. `unknown` where an authorizer
 * does not list its rules, as webhooks never do.
 */
async function namedPods(
  api: ApiClient,
  namespace: string,
  verbs: readonly string[],
  limits: RequestLimits,
): Promise<readonly string[] | "unknown"> {
  const review = await api.review("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectRulesReview",
    spec: { namespace },
  }, limits);
  if (review?.status?.incomplete !== false) return "unknown";
  const rules: readonly ResourceRule[] = review.status.resourceRules ?? [];
  const names = rules.filter((rule) => allowsPortForwards(rule, verbs))
    .flatMap((rule) => rule.resourceNames ?? []);
  return [...new Set(names)].sort();
}

interface ResourceRule {
  readonly verbs?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
}

function allowsPortForwards(rule: ResourceRule, verbs: readonly string[]): boolean {
  const has = (list: readonly string[] | undefined, wanted: readonly string[]) =>
    list?.some((one) => one === "*" || wanted.includes(one)) ?? false;
  return has(rule.verbs, verbs) && has(rule.apiGroups, [""]) &&
    has(rule.resources, ["pods/portforward", "*/portforward", "pods/*"]);
}

/**
 * Everything that a session over these namespaces lacks, as one CzctlError
 * `denied`: told one at a time, each would cost a way to the administrator.
 * Undefined where nothing is missing or nobody can tell.
 */
export async function rightsRefusal(
  api: ApiClient,
  namespaces: readonly string[],
  signal?: AbortSignal,
): Promise<CzctlError | undefined> {
  const limits = limitsOf(signal);
  try {
    const missing = await Promise.all(
      namespaces.map((namespace) => missingIn(api, namespace, limits)),
    );
    const rights = missing.flat();
    if (rights.length === 0) return undefined;
    const message = (user: string) =>
      `Cannot teleport: user "${user}" may not ${rightsText(rights)}`;
    return await refusalOf(api, message, rights, limits);
  } catch {
    return undefined;
  }
}

async function missingIn(
  api: ApiClient,
  namespace: string,
  limits: RequestLimits,
): Promise<Right[]> {
  const mayList = (resource: ResourceName) =>
    allowed(
      api,
      { verb: "list", group: resourceInfo(resource).group, resource, namespace },
      limits,
    );
  const [services, slices, pods, forwards] = await Promise.all([
    mayList("services"),
    mayList("endpointslices"),
    mayList("pods"),
    portForwardAnswer(api, namespace, limits.signal),
  ]);
  const list = (resource: ResourceName) => ({ verb: "list", resource, namespace });
  return [
    ...(services ? [] : [list("services")]),
    // Pods stand in for them.
    ...(slices || pods ? [] : [list("endpointslices")]),
    ...(forwards.refusal ? [{ verb: "create", resource: "pods/portforward", namespace }] : []),
  ];
}

async function refusalOf(
  api: ApiClient,
  message: (user: string) => string,
  rights: readonly Right[],
  limits: RequestLimits,
): Promise<CzctlError> {
  const { server, actsAs } = api.label;
  const user = await userName(api, limits);
  const hint = grantHint(rights, { server, user });
  return new CzctlError(
    "denied",
    message(user ?? actsAs),
    hint === undefined ? {} : { hint },
  );
}

/** `list services and create pods/portforward in namespace "shop"; ... in namespace "tools"`. */
function rightsText(rights: readonly Right[]): string {
  const places = [...Map.groupBy(rights, ({ namespace }) => namespace)].map(
    ([namespace, some]) => ({ namespace, what: listed(some) }),
  );
  return [...Map.groupBy(places, ({ what }) => what)].map(([what, alike]) => {
    const names = alike.map(({ namespace }) => `"${namespace}"`).join(", ");
    return `${what} in namespace${alike.length > 1 ? "s" : ""} ${names}`;
  }).join("; ");
}

function listed(rights: readonly Right[]): string {
  const texts = rights.map(({ verb, resource }) => `${verb} ${resource}`);
  const last = texts.pop();
  return texts.length === 0 ? `${last}` : `${texts.join(", ")} and ${last}`;
}

/** The user as the API server knows him, which a RoleBinding must name; since Kubernetes 1.28. */
async function userName(api: ApiClient, limits: RequestLimits): Promise<string | undefined> {
  try {
    const review = await api.review("/apis/authentication.k8s.io/v1/selfsubjectreviews", {
      apiVersion: "authentication.k8s.io/v1",
      kind: "SelfSubjectReview",
    }, limits);
    const name = review?.status?.userInfo?.username;
    return typeof name === "string" && name !== "" ? name : undefined;
  } catch {
    return undefined;
  }
}

async function allowed(
  api: ApiClient,
  resourceAttributes: Readonly<Record<string, string>>,
  limits: RequestLimits,
): Promise<boolean> {
  const review = await api.review("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: { resourceAttributes },
  }, limits);
  return review?.status?.allowed !== false;
}

function limitsOf(signal: AbortSignal | undefined): RequestLimits {
  return { deadlineMs: ASK_MS, ...(signal ? { signal } : {}) };
}
