/**
 * Kubernetes' `$(NAME)` references
 * (k8s.io/kubernetes third_party/forked/golang/expansion): `$$` is a plain
 * `$`, a reference that `lookup` does not know stays as it is written, and so
 * does one without its closing parenthesis. What a reference brings in is not
 * looked at again.
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let result = "";
  let at = 0;
  // Looked for once: a value of nothing but "$(" would else be read to its end for each.
  const last = text.lastIndexOf(")");
  while (at < text.length) {
    const dollar = text.indexOf("$", at);
    if (dollar < 0 || dollar + 1 >= text.length) return result + text.slice(at);
    result += text.slice(at, dollar);
    const next = text[dollar + 1];
    const end = next === "(" && dollar < last ? text.indexOf(")", dollar + 2) : -1;
    if (end >= 0) {
      const name = text.slice(dollar + 2, end);
      result += lookup(name) ?? `$(${name})`;
      at = end + 1;
    } else {
      result += next === "$" ? "$" : `$${next}`;
      at = dollar + 2;
    }
  }
  return result;
}
