import { CzctlError } from "../model/errors.ts";
import type { ApiClient } from "./api_client.ts";

/** How long the question may take, in ms: it only makes a message earlier. */
const ASK_MS = 5_000;

/** From here on WebSockets need `create`, too (AuthorizePodWebsocketUpgradeCreatePermission). */
const GET_ENOUGH_BEFORE_MINOR = 35;

/**
 * What keeps the user from port-forwards in a namespace, as CzctlError
 * `denied`; undefined when nothing does or nobody can tell. Everybody may ask
 * this of himself in a cluster as it comes (`system:basic-user`), and without
 * it a missing right would show in the first connection only.
 */
export async function portForwardRefusal(
  api: ApiClient,
  namespace: string,
  signal?: AbortSignal,
): Promise<CzctlError | undefined> {
  const limits = { deadlineMs: ASK_MS, ...(signal ? { signal } : {}) };
  const may = async (verb: string) => {
    const review = await api.review("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectAccessReview",
      spec: {
        resourceAttributes: { verb, resource: "pods", subresource: "portforward", namespace },
      },
    }, limits);
    return review?.status?.allowed !== false;
  };
  try {
    if (await may("create")) return undefined;
    const [get, version] = await Promise.all([may("get"), api.raw("/version", limits)]);
    // Some clusters write "34+".
    const minor = Number.parseInt(version?.minor);
    if (get && !(minor >= GET_ENOUGH_BEFORE_MINOR)) return undefined;
  } catch {
    return undefined;
  }
  return new CzctlError(
    "denied",
    `Cannot reach pods in namespace "${namespace}": user "${api.label.userName}" may not create pods/portforward`,
    {
      hint:
        `Check with: kubectl --context ${api.label.context} auth can-i create pods --subresource=portforward -n ${namespace}; the needed Role is in docs/rbac.md`,
    },
  );
}
