import type { ResourceName } from "../model/objects.ts";
import { shellWord } from "../model/shell_word.ts";
import { knownResource, resourceInfo } from "./resources.ts";

/** A right that is missing; without a namespace, in the whole cluster. */
export interface Right {
  readonly verb: string;
  /** As RBAC writes it, without the group: `services`, `pods/portforward`. */
  readonly resource: string;
  readonly namespace?: string;
}

/** What czctl follows; asked for together. */
const FOLLOWED: readonly ResourceName[] = ["services", "endpointslices"];
const FORWARD = "pods/portforward";

/**
 * The commands that give these rights, for whoever may: the page on rights is
 * not at hand where only the binary is. They name no context, because that of
 * an administrator is another one than the user's. Rights in several
 * namespaces are given for the first, and told to be the same in the others.
 * Undefined for what no role gives (`/version`, a review).
 */
export function grantHint(
  rights: readonly Right[],
  { server, user }: { readonly server: string; readonly user: string | undefined },
): string | undefined {
  const [first] = rights;
  if (first === undefined) return undefined;
  const here = rights.filter(({ namespace }) => namespace === first.namespace);
  const roles = rolesFor(here.map(({ resource }) => resource));
  if (roles.length === 0) return undefined;
  const others = new Set(
    rights.flatMap(({ namespace }) =>
      namespace === undefined || namespace === first.namespace ? [] : [namespace]
    ),
  );
  const also = others.size === 0 ? "" : `, and the like in ${[...others].join(", ")}`;
  return [
    `To be run by an administrator of ${server}${also}:`,
    ...roles.flatMap((role) => commands(role, first.namespace, user)),
  ].join("\n");
}

interface Role {
  readonly name: string;
  readonly verbs: string;
  readonly resources: readonly string[];
}

function rolesFor(resources: readonly string[]): Role[] {
  const roles: Role[] = [];
  const followed = FOLLOWED.filter((resource) => resources.includes(resource));
  // A role of that name may be there already, for the other one.
  const [alone] = followed.length === 1 ? followed : [];
  if (followed.length > 0) {
    roles.push({
      name: alone === undefined ? "czctl" : `czctl-${alone}`,
      verbs: "list,watch",
      resources: followed.map(withGroup),
    });
  }
  for (const resource of new Set(resources)) {
    if (resource === FORWARD) {
      roles.push({ name: "czctl-portforward", verbs: "create", resources: [FORWARD] });
    } else if (knownResource(resource) && !FOLLOWED.includes(resource)) {
      roles.push({
        name: `czctl-${resource}`,
        verbs: "get,list,watch",
        resources: [withGroup(resource)],
      });
    }
  }
  return roles;
}

function withGroup(resource: ResourceName): string {
  const { group } = resourceInfo(resource);
  return group === "" ? resource : `${resource}.${group}`;
}

function commands(role: Role, namespace: string | undefined, user: string | undefined): string[] {
  // Whoever names users could else begin a line of his own.
  const whom = user === undefined || /\p{C}/u.test(user) ? "USER" : shellWord(user);
  const create = namespace === undefined
    ? "kubectl create"
    : `kubectl -n ${shellWord(namespace)} create`;
  const kind = namespace === undefined ? "clusterrole" : "role";
  return [
    `${create} ${kind} ${role.name} --verb=${role.verbs} --resource=${role.resources.join(",")}`,
    `${create} ${kind}binding ${role.name} --${kind}=${role.name} --user=${whom}`,
  ];
}
