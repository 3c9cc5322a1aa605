import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { EVERYTHING, type Rule, type UserConfig } from "./config.ts";
import { type Attributes, forbidden, unauthorized } from "./status.ts";

export interface Identity {
  readonly user: string;
  readonly groups: readonly string[];
}

/** Headers by which a gateway tells the API process who is at the other end of TLS. */
export const PEER_HEADER = "x-test-cluster-peer";

const ANONYMOUS: Identity = { user: "system:anonymous", groups: ["system:unauthenticated"] };

/** Paths everybody, or everybody known, may read (system:public-info-viewer, system:discovery). */
const PUBLIC = /^\/(version|healthz|livez|readyz)(\/|$)/;
const DISCOVERY = /^\/(api|apis|openapi)(\/|$)/;

/** What everybody known may ask of himself (system:basic-user). */
const SELF_REVIEWS = ["authentication.k8s.io", "authorization.k8s.io"];

/** Who asks, and whether he may: authentication and RBAC. */
export class Access {
  readonly users: Map<string, UserConfig & { rules: readonly Rule[] }>;
  /** Valid bearer tokens and whose they are. */
  readonly tokens = new Map<string, string>();

  constructor(users: readonly UserConfig[]) {
    this.users = new Map(users.map((user) => [user.user, user]));
  }

  /** A fresh token; the user's older ones stay valid until revoked. */
  issue(user: string): string {
    const token = `${user}.${randomBytes(16).toString("hex")}`;
    this.tokens.set(token, user);
    return token;
  }

  revoke(user: string): void {
    for (const [token, owner] of this.tokens) if (owner === user) this.tokens.delete(token);
  }

  setRules(user: string, rules: readonly Rule[]): void {
    const known = this.users.get(user);
    if (!known) throw new Error(`No such user: "${user}"`);
    this.users.set(user, { ...known, rules });
  }

  /** Throws ApiError 401. */
  identify(headers: IncomingHttpHeaders): Identity {
    const peer = headers[PEER_HEADER];
    if (typeof peer === "string") {
      const { commonName, organizations, trusted } = JSON.parse(decodeURIComponent(peer));
      if (!trusted) throw unauthorized();
      return { user: commonName, groups: [...organizations, "system:authenticated"] };
    }
    const authorization = headers.authorization;
    if (authorization === undefined) return ANONYMOUS;
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
    const user = token === undefined ? undefined : this.tokens.get(token);
    if (user === undefined) throw unauthorized();
    const groups = this.users.get(user)?.groups ?? [];
    return { user, groups: [...groups, "system:authenticated"] };
  }

  rulesOf(identity: Identity): readonly Rule[] {
    return identity.groups.includes("system:masters")
      ? [EVERYTHING]
      : this.users.get(identity.user)?.rules ?? [];
  }

  allows(identity: Identity, attributes: Omit<Attributes, "user">): boolean {
    if (attributes.path !== undefined) {
      if (identity.groups.includes("system:masters") || PUBLIC.test(attributes.path)) return true;
      return identity !== ANONYMOUS && DISCOVERY.test(attributes.path) &&
        attributes.verb === "get";
    }
    if (SELF_REVIEWS.includes(attributes.group)) return identity !== ANONYMOUS;
    const { verb, group, resource, subresource, namespace, name } = attributes;
    const full = subresource === "" ? resource : `${resource}/${subresource}`;
    const has = (list: readonly string[], value: string) =>
      list.includes("*") || list.includes(value);
    return this.rulesOf(identity).some((rule) =>
      has(rule.verbs, verb) &&
      (has(rule.resources, full) ||
        (subresource !== "" && has(rule.resources, `*/${subresource}`))) &&
      (rule.apiGroups === undefined || has(rule.apiGroups, group)) &&
      (rule.namespaces === undefined || (namespace !== "" && has(rule.namespaces, namespace)) ||
        (resource === "namespaces" && has(rule.namespaces, name))) &&
      (rule.resourceNames === undefined || has(rule.resourceNames, name))
    );
  }

  /** Throws ApiError 403. */
  demand(identity: Identity, attributes: Omit<Attributes, "user">): void {
    if (!this.allows(identity, attributes)) throw forbidden({ ...attributes, user: identity.user });
  }
}
