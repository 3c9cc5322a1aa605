import type { Obj } from "./json.ts";
import { badRequest, unsupportedMediaType } from "./status.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

const isObject = (value: Any): value is Obj =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** RFC 7386. */
export function mergePatch(target: Any, patch: Any): Any {
  if (!isObject(patch)) return patch;
  const result: Obj = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** Lists of objects that merge by a key of their items (patchMergeKey of the API types). */
const MERGE_KEYS: Record<string, string> = {
  containers: "name",
  initContainers: "name",
  env: "name",
  ports: "containerPort",
  volumes: "name",
  volumeMounts: "mountPath",
  conditions: "type",
};

/** Strategic merge, as far as kubectl uses it (rollout, set, scale, label, edit). */
export function strategicPatch(target: Any, patch: Any, path: readonly string[] = []): Any {
  if (!isObject(patch)) return patch;
  const result: Obj = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$")) {
      if (key === "$patch" && value === "replace") {
        const { $patch: _, ...rest } = patch;
        return rest;
      }
      continue;
    }
    const before = result[key];
    if (value === null) {
      delete result[key];
    } else if (Array.isArray(value)) {
      // Ports of a Service merge by `port`, those of a container by `containerPort`.
      const mergeKey = key === "ports" && path.at(-1) === "spec" ? "port" : MERGE_KEYS[key];
      if (mergeKey === undefined || !Array.isArray(before) || !value.every(isObject)) {
        result[key] = value;
        continue;
      }
      const items = [...before];
      for (const item of value as Obj[]) {
        const at = items.findIndex((one) => one[mergeKey] === item[mergeKey]);
        if (item.$patch === "delete") {
          if (at >= 0) items.splice(at, 1);
        } else if (at >= 0) {
          items[at] = strategicPatch(items[at], item, [...path, key]);
        } else items.push(item);
      }
      result[key] = items;
    } else {
      result[key] = strategicPatch(before, value, [...path, key]);
    }
  }
  return result;
}

/** RFC 6902: add, remove, replace, test. */
export function jsonPatch(target: Obj, operations: readonly Obj[]): Obj {
  const root: Any = structuredClone(target);
  for (const { op, path, value } of operations) {
    const keys = String(path).split("/").slice(1)
      .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = keys.pop() ?? "";
    let at = root;
    for (const key of keys) at = at?.[key];
    if (at === undefined) throw badRequest(`the server rejected our request: path ${path}`);
    if (op === "test") {
      if (JSON.stringify(at[last]) !== JSON.stringify(value)) {
        throw badRequest(`testing value ${path} failed`);
      }
    } else if (op === "remove") {
      if (Array.isArray(at)) at.splice(Number(last), 1);
      else delete at[last];
    } else if (Array.isArray(at) && op === "add") {
      at.splice(last === "-" ? at.length : Number(last), 0, value);
    } else at[last] = value;
  }
  return root;
}

/** Throws ApiError 415 for what a real server would not take either (server-side apply aside). */
export function applyPatch(contentType: string, target: Obj, patch: Any): Obj {
  switch (contentType.split(";")[0]!.trim()) {
    case "application/merge-patch+json":
      return mergePatch(target, patch);
    case "application/strategic-merge-patch+json":
      return strategicPatch(target, patch);
    case "application/json-patch+json":
      return jsonPatch(target, patch);
    default:
      throw unsupportedMediaType([
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
      ]);
  }
}
