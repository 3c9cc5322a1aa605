import { isIPv4, isIPv6 } from "../platform/ip.ts";

/**
 * The proxy for a server URL from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, read
 * as Go reads them (kubectl's behaviour): lower case counts too, localhost and
 * loopback addresses never go through a proxy, NO_PROXY knows `*`, addresses,
 * CIDR blocks, and names that cover their subdomains, each with an optional
 * port. https://pkg.go.dev/golang.org/x/net/http/httpproxy
 */
export function proxyFromEnv(
  server: URL,
  env: Readonly<Record<string, string>>,
): string | undefined {
  const pick = (name: string) => env[name] || env[name.toLowerCase()] || undefined;
  const proxy = pick(server.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY");
  if (!proxy) return undefined;
  const host = server.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = server.port || (server.protocol === "https:" ? "443" : "80");
  if (host === "localhost" || isLoopback(host)) return undefined;
  for (const entry of (pick("NO_PROXY") ?? "").split(",")) {
    if (covers(entry.trim().toLowerCase(), host, port)) return undefined;
  }
  return /^[a-z][a-z0-9]*:\/\//i.test(proxy) ? proxy : `http://${proxy}`;
}

function covers(entry: string, host: string, port: string): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  if (entry.includes("/")) return inBlock(entry, host);
  let name = entry;
  const withPort = /^(\[[^\]]+\]|[^:]+):(\d+)$/.exec(entry);
  if (withPort) {
    if (withPort[2] !== port) return false;
    name = withPort[1]!;
  }
  name = name.replace(/^\[|\]$/g, "");
  if (isIPv4(name) || isIPv6(name)) return name === host;
  if (name.startsWith("*.")) name = name.slice(1);
  if (name.startsWith(".")) return host.endsWith(name);
  return host === name || host.endsWith(`.${name}`);
}

function isLoopback(host: string): boolean {
  return (isIPv4(host) && host.startsWith("127.")) || host === "::1";
}

function inBlock(entry: string, host: string): boolean {
  const [base = "", bits = ""] = entry.split("/");
  const a = toBits(base), b = toBits(host);
  if (!a || !b || a.length !== b.length || !/^\d+$/.test(bits)) return false;
  const count = Number(bits);
  return count <= a.length && a.slice(0, count) === b.slice(0, count);
}

function toBits(address: string): string | undefined {
  if (isIPv4(address)) {
    return address.split(".").map((part) => Number(part).toString(2).padStart(8, "0")).join("");
  }
  if (!isIPv6(address)) return undefined;
  const [head = "", tail] = address.split("::");
  const groups = (text: string) => text === "" ? [] : text.split(":");
  const left = groups(head), right = tail === undefined ? [] : groups(tail);
  const all = tail === undefined
    ? left
    : [...left, ...Array(8 - left.length - right.length).fill("0"), ...right];
  if (all.length !== 8) return undefined;
  return all.map((group) => parseInt(group, 16).toString(2).padStart(16, "0")).join("");
}
