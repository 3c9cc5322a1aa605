import type { StatePaths } from "../platform/paths.ts";

/** One thing `czctl doctor` looked at. */
export interface Finding {
  /** What was looked at, in a word or two: `hosts file`, `control socket`. */
  readonly subject: string;
  readonly state: "ok" | "warning" | "problem" | "fixed";
  /** What was found, in one sentence. */
  readonly text: string;
  /** How to mend it; with `--fix`, what is left to do. */
  readonly mend?: string;
}

/** Placeholder: looks at everything that can be wrong on this machine; `fix` mends what is safe. */
export function runDoctor(
  _options: { paths: StatePaths; fix: boolean; signal: AbortSignal },
): Promise<readonly Finding[]> {
  return Promise.resolve([]);
}
