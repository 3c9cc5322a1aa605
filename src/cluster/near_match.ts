/**
 * The names closest to what was typed, best first: a few letters apart, or one
 * inside the other. At most `limit`; empty when nothing is near.
 */
export function nearMatches(typed: string, names: Iterable<string>, limit = 3): string[] {
  const wanted = typed.toLowerCase();
  const allowed = Math.max(1, Math.floor(wanted.length / 3));
  const found: { name: string; distance: number }[] = [];
  for (const name of new Set(names)) {
    const candidate = name.toLowerCase();
    const distance = editDistance(wanted, candidate, allowed);
    if (distance <= allowed) found.push({ name, distance });
    else if (
      wanted.length >= 3 && candidate.length >= 3 &&
      (candidate.includes(wanted) || wanted.includes(candidate))
    ) {
      found.push({ name, distance: allowed + Math.abs(candidate.length - wanted.length) / 100 });
    }
  }
  found.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return found.slice(0, limit).map((entry) => entry.name);
}

/** `; did you mean "web"?`, or nothing. */
export function didYouMean(typed: string, names: Iterable<string>): string {
  const near = nearMatches(typed, names);
  if (near.length === 0) return "";
  const quoted = near.map((name) => `"${name}"`);
  const last = quoted.pop()!;
  return `; did you mean ${quoted.length > 0 ? `${quoted.join(", ")} or ` : ""}${last}?`;
}

/**
 * Insertions, deletions, substitutions and swaps of neighbours; gives up with
 * `limit + 1` when it gets past `limit`.
 */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, beforeLast[j - 2]! + 1);
      }
      row.push(best);
    }
    if (Math.min(...row) > limit) return limit + 1;
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
