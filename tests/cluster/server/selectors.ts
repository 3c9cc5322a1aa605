import { badRequest } from "./status.ts";
import type { Obj } from "./json.ts";

export type Matcher = (object: Obj) => boolean;

/** Label selectors as in URLs: `a=b,c!=d,e in (f,g),h,!i`. Throws ApiError 400. */
export function labelMatcher(text: string): Matcher {
  if (text.trim() === "") return () => true;
  const terms = text.match(/(?:[^,(]|\([^)]*\))+/g) ?? [];
  const tests = terms.map((raw): (labels: Record<string, string>) => boolean => {
    const term = raw.trim();
    let found = /^([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term);
    if (found) {
      const [, key = "", operator] = found;
      const values = new Set(found[3]!.split(",").map((value) => value.trim()));
      return (labels) =>
        operator === "in"
          ? labels[key] !== undefined && values.has(labels[key])
          : labels[key] === undefined || !values.has(labels[key]);
    }
    found = /^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$/.exec(term);
    if (found) {
      const [, key = "", operator, value] = found;
      return (labels) => operator === "!=" ? labels[key] !== value : labels[key] === value;
    }
    found = /^(!?)\s*([\w./-]+)$/.exec(term);
    if (found) {
      const [, not, key = ""] = found;
      return (labels) => (labels[key] === undefined) === (not === "!");
    }
    throw badRequest(
      `unable to parse requirement: found '${term}', expected: in, notin, =, ==, !=, gt, lt`,
    );
  });
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return tests.every((test) => test(labels));
  };
}

/** `matchLabels` and `matchExpressions` of a workload. */
export function selectorMatcher(selector: Obj | undefined): Matcher {
  const wanted = Object.entries(selector?.matchLabels ?? {});
  const expressions: Obj[] = selector?.matchExpressions ?? [];
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return wanted.every(([key, value]) => labels[key] === value) &&
      expressions.every(({ key, operator, values }) =>
        operator === "In"
          ? values.includes(labels[key])
          : operator === "NotIn"
          ? !values.includes(labels[key])
          : operator === "Exists"
          ? labels[key] !== undefined
          : labels[key] === undefined
      );
  };
}

/** Field selectors a resource supports, by dotted path; 400 for others, as the real server. */
export function fieldMatcher(text: string, supported: readonly string[]): Matcher {
  if (text.trim() === "") return () => true;
  const tests = text.split(",").map((raw): Matcher => {
    const found = /^([\w.]+)(==|=|!=)(.*)$/.exec(raw.trim());
    if (!found) throw badRequest(`invalid selector: '${raw}'; can't understand '${raw}'`);
    const [, path = "", operator, value] = found;
    if (!supported.includes(path)) throw badRequest(`field label not supported: ${path}`);
    const keys = path.split(".");
    return (object) => {
      // deno-lint-ignore no-explicit-any
      let at: any = object;
      for (const key of keys) at = at?.[key];
      return (String(at ?? "") === value) === (operator !== "!=");
    };
  });
  return (object) => tests.every((test) => test(object));
}
