import type { SessionInfo } from "../../model/control.ts";

type Variables = Readonly<Record<string, string>>;

const PROXIES = [
  "http_proxy",
  "HTTP_PROXY",
  "https_proxy",
  "HTTPS_PROXY",
  "all_proxy",
  "ALL_PROXY",
];

/** Whether programs with these variables ask a proxy for what they want. */
export function usesProxy(env: Variables): boolean {
  return PROXIES.some((name) => (env[name] ?? "") !== "");
}

/**
 * What NO_PROXY needs so that a session's names do not lead to a proxy, which
 * knows none of them: endings with a dot in front, which every reader
 * understands, bare names, and the addresses.
 */
export function noProxyOf({ services }: Pick<SessionInfo, "services">): readonly string[] {
  const entries = new Set<string>();
  for (const name of services.flatMap(({ names }) => names)) {
    const dot = name.indexOf(".");
    entries.add(dot === -1 ? name : name.slice(dot));
  }
  const covered = (entry: string) =>
    entry.split(".").slice(2).some((_, at, rest) => entries.has(`.${rest.slice(at).join(".")}`));
  return [...[...entries].filter((entry) => !covered(entry)).sort(), "127.0.0.0/8"];
}

/** The line for a shell whose programs would ask the proxy; undefined where none is needed. */
export function noProxyLine(
  env: Variables,
  session: Pick<SessionInfo, "services">,
): string | undefined {
  if (!usesProxy(env)) return undefined;
  const before = entriesOf(env);
  const missing = noProxyOf(session).filter((entry) =>
    /^\.|^127/.test(entry) && !before.includes(entry)
  );
  if (before.includes("*") || missing.length === 0) return undefined;
  const [set, other] = "NO_PROXY" in env || !("no_proxy" in env)
    ? ["NO_PROXY", "no_proxy"]
    : ["no_proxy", "NO_PROXY"];
  return `export ${set}="$${set},${missing.join(",")}"; export ${other}="$${set}"`;
}

function entriesOf(env: Variables): string[] {
  const text = env["NO_PROXY"] ?? env["no_proxy"] ?? "";
  return text.split(",").map((one) => one.trim()).filter((one) => one !== "");
}

/** The variables with the session's names taken from the proxy; unchanged where there is none. */
export function besideProxy(env: Variables, session: Pick<SessionInfo, "services">): Variables {
  if (!usesProxy(env)) return env;
  const entries = entriesOf(env);
  // Everything already.
  if (entries.includes("*")) return env;
  const text = [...new Set([...entries, ...noProxyOf(session)])].join(",");
  return { ...env, NO_PROXY: text, no_proxy: text };
}
