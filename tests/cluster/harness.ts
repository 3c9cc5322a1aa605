/** Small things the tests of the test cluster share. */
import { Buffer } from "node:buffer";
import type { Cluster } from "./mod.ts";
import type { ClientOptions } from "./spdy_client.ts";
import { until } from "../until.ts";

/** Waits for a condition, asking every few ms. Throws after the deadline, with `what`. */
export function eventually<T>(what: string, ask: () => T | Promise<T>, timeoutMs = 5_000) {
  return until(what, ask, timeoutMs);
}

/** Credentials of a context of the generated kubeconfig. */
export async function credentials(cluster: Cluster, context: string): Promise<ClientOptions> {
  const config = JSON.parse(await Deno.readTextFile(cluster.kubeconfig));
  const named = (list: { name: string }[], name: string) => list.find((one) => one.name === name);
  // deno-lint-ignore no-explicit-any
  const found = named(config.contexts, context) as any;
  // deno-lint-ignore no-explicit-any
  const { user } = named(config.users, found.context.user) as any;
  const url = config.clusters[0].cluster.server;
  const decode = (text: string) => Buffer.from(text, "base64").toString();
  return {
    url,
    ca: cluster.caPem,
    ...(user.token ? { headers: { Authorization: `Bearer ${user.token}` } } : {}),
    ...(user["client-certificate-data"]
      ? { cert: decode(user["client-certificate-data"]), key: decode(user["client-key-data"]) }
      : {}),
  };
}

/** One API request with the token of a context. */
export async function api(
  cluster: Cluster,
  context: string,
  path: string,
  init: RequestInit = {},
): Promise<Response> {
  const { url, headers } = await credentials(cluster, context);
  const client = Deno.createHttpClient({ caCerts: [cluster.caPem], http2: false });
  try {
    const response = await fetch(`${url}${path}`, {
      ...init,
      headers: { ...headers, ...init.headers },
      client,
    });
    const body = await response.arrayBuffer();
    return new Response([101, 204].includes(response.status) ? null : body, response);
  } finally {
    client.close();
  }
}

/** The first ready pod of a workload of the guide. */
export async function podOf(cluster: Cluster, workload: string): Promise<string> {
  const pods = await cluster.control.pods();
  const found = pods.find((pod) =>
    pod.name.startsWith(`${workload}-`) && pod.ready && !pod.terminating
  );
  if (!found) throw new Error(`No ready pod of "${workload}"`);
  return found.name;
}

export function portForwardPath(pod: string, namespace = "sample-project"): string {
  return `/api/v1/namespaces/${namespace}/pods/${pod}/portforward`;
}
