/** The generated kubeconfig: a context per user, and the exec plugin's script. */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Buffer } from "node:buffer";
import type { Access } from "./auth.ts";
import type { UserConfig } from "./config.ts";
import { type Certificate, makeCertificate } from "./x509.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

/** Where the exec plugin of a user finds its ExecCredential. */
export function credentialPath(folder: string, user: string): string {
  return join(folder, `exec-${user}.json`);
}

/**
 * Hands the exec plugin a token. `lifetimeMs` sets expirationTimestamp, which
 * clients obey; whether the server still takes the token is the server's business.
 */
export function writeCredential(folder: string, user: string, token: string, lifetimeMs: number) {
  const credential = {
    apiVersion: "client.authentication.k8s.io/v1",
    kind: "ExecCredential",
    status: {
      token,
      expirationTimestamp: new Date(Date.now() + lifetimeMs).toISOString().replace(/\.\d+Z/, "Z"),
    },
  };
  writeFileSync(credentialPath(folder, user), JSON.stringify(credential), { mode: 0o600 });
}

/** Writes `kubeconfig` (JSON is YAML, too) and returns its path. */
export function writeKubeconfig(
  folder: string,
  url: string,
  ca: Certificate,
  users: readonly UserConfig[],
  access: Access,
  secrets: Map<string, Record<string, unknown>>,
): string {
  for (const user of users) {
    if (secrets.has(user.user)) continue;
    if (user.via === "certificate") {
      const certificate = makeCertificate({
        commonName: user.user,
        organizations: user.groups ?? [],
        usage: "client",
        issuer: ca,
        ...(user.certificateLifetimeMs === undefined
          ? {}
          : { lifetimeMs: user.certificateLifetimeMs }),
      });
      secrets.set(user.user, {
        "client-certificate-data": base64(certificate.certPem),
        "client-key-data": base64(certificate.keyPem),
      });
    } else if (user.via === "token") {
      secrets.set(user.user, { token: access.issue(user.user) });
    } else {
      writeCredential(folder, user.user, access.issue(user.user), 3_600_000);
      const script = join(folder, `exec-${user.user}.sh`);
      const calls = join(folder, `exec-${user.user}.calls`);
      writeFileSync(
        script,
        `#!/bin/sh\necho call >> '${calls}'\nexec cat '${credentialPath(folder, user.user)}'\n`,
        { mode: 0o700 },
      );
      secrets.set(user.user, {
        exec: {
          apiVersion: "client.authentication.k8s.io/v1",
          command: script,
          interactiveMode: "Never",
          provideClusterInfo: false,
        },
      });
    }
  }
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": users[0]?.context ?? "",
    clusters: [{
      name: "test-cluster",
      cluster: { server: url, "certificate-authority-data": base64(ca.certPem) },
    }],
    contexts: users.map((user) => ({
      name: user.context,
      context: {
        cluster: "test-cluster",
        user: user.user,
        ...(user.namespace ? { namespace: user.namespace } : {}),
      },
    })),
    users: users.map((user) => ({ name: user.user, user: secrets.get(user.user) })),
  };
  const path = join(folder, "kubeconfig");
  writeFileSync(`${path}.new`, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return path;
}
