import type { TeleportRequest } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import { isPublicDomain } from "../hosts/public_names.ts";

/** RFC 1123, in lower case as everything in the hosts block. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** Leaves room for `pod.service.namespace.svc.` inside the 253 characters of a name. */
const MAX_LENGTH = 120;

/**
 * Refuses, before anything is asked of the cluster, a `--domain` or
 * `--cluster-domain` the hosts file could not hold. Throws CzctlError `usage`.
 */
export function checkDomains(request: Pick<TeleportRequest, "domain" | "clusterDomain">): void {
  check("--domain", request.domain, "staging");
  check("--cluster-domain", request.clusterDomain, "cluster.local");
}

function check(option: string, domain: string | undefined, example: string): void {
  if (domain === undefined) return;
  const refuse = (reason: string) =>
    new CzctlError("usage", `Cannot use "${domain}" for ${option}: ${reason}`, {
      hint: `For example: ${option} ${example}`,
    });
  if (domain.length > MAX_LENGTH) throw refuse(`it is longer than ${MAX_LENGTH} characters`);
  for (const label of domain.split(".")) {
    if (!LABEL.test(label)) {
      throw refuse(
        label === ""
          ? "it has an empty label"
          : `"${label}" is not a DNS label (lower-case letters, digits, hyphens)`,
      );
    }
  }
  if (/^[0-9]+$/.test(domain.slice(domain.lastIndexOf(".") + 1))) {
    throw refuse("names under it would read like addresses");
  }
  if (isPublicDomain(domain)) throw refuse("it is a public ending that belongs to others");
}
