import type { Obj } from "./json.ts";
import { apiVersion, type Resource, RESOURCES, REVIEWS } from "./resources.ts";

function entries(resource: Resource): Obj[] {
  const main = {
    name: resource.name,
    singularName: resource.singular,
    namespaced: resource.namespaced,
    kind: resource.kind,
    verbs: resource.verbs,
    ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
    ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
  };
  const sub = resource.subresources.map((name) => ({
    name: `${resource.name}/${name}`,
    singularName: "",
    namespaced: resource.namespaced,
    ...(name === "portforward"
      ? { kind: "PodPortForwardOptions", verbs: ["create", "get"] }
      : name === "scale"
      ? { group: "autoscaling", version: "v1", kind: "Scale", verbs: ["get", "patch", "update"] }
      : { kind: resource.kind, verbs: ["get", "patch", "update"] }),
  }));
  return [main, ...sub];
}

const ALL = [...RESOURCES, ...REVIEWS];
const GROUPS = [...new Set(ALL.map((one) => one.group))].filter((group) => group !== "");

function group(name: string): Obj {
  const versions = [...new Set(ALL.filter((one) => one.group === name).map((one) => one.version))]
    .map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions, preferredVersion: versions[0] };
}

function version(release: string): Obj {
  const [major = "1", minor = "36"] = release.split(".");
  return {
    major,
    minor,
    emulationMajor: major,
    emulationMinor: minor,
    minCompatibilityMajor: major,
    minCompatibilityMinor: String(Number(minor) - 1),
    gitVersion: `v${major}.${minor}.2`,
    gitCommit: "",
    gitTreeState: "clean",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "go1.26.10",
    compiler: "gc",
    platform: "linux/amd64",
  };
}

/** The answer for a discovery path; undefined: 404. `address` is the server's own, for /api. */
export function discovery(path: string, release: string, address: string): Obj | undefined {
  const clean = path.replace(/\/$/, "");
  if (clean === "/version") return version(release);
  if (clean === "/api") {
    return {
      kind: "APIVersions",
      versions: ["v1"],
      serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: address }],
    };
  }
  if (clean === "/apis") {
    return { kind: "APIGroupList", apiVersion: "v1", groups: GROUPS.map(group) };
  }
  const found = /^\/(?:api|apis\/([^/]+))(?:\/([^/]+))?$/.exec(clean);
  if (!found) return undefined;
  const [, name = "", wanted] = found;
  if (wanted === undefined) {
    return GROUPS.includes(name)
      ? { kind: "APIGroup", apiVersion: "v1", ...group(name) }
      : undefined;
  }
  const resources = ALL.filter((one) => one.group === name && one.version === wanted);
  if (resources.length === 0) return undefined;
  return {
    kind: "APIResourceList",
    ...(name === "" ? {} : { apiVersion: "v1" }),
    groupVersion: apiVersion(resources[0]!),
    resources: resources.flatMap(entries),
  };
}
