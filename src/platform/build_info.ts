/**
 * What this program was built from. The two markers are replaced in the bundle
 * by scripts/compile.ts; run from source they stay, and mean "development".
 */
const VERSION = "@czctl-version@";
const COMMIT = "@czctl-commit@";

export interface BuildInfo {
  /** Semantic version of czctl. */
  readonly version: string;
  /** Short commit hash, `-dirty` behind it for a changed tree, or `unknown`. */
  readonly commit: string;
  readonly deno: string;
  /** Rust target triple, such as `x86_64-unknown-linux-gnu`. */
  readonly target: string;
}

/** Version, commit, runtime and target of the running program. */
export function buildInfo(): BuildInfo {
  const stamped = !VERSION.startsWith("@");
  return {
    version: stamped ? VERSION : "0.0.0-dev",
    commit: stamped ? COMMIT : "unknown",
    deno: Deno.version.deno,
    target: Deno.build.target,
  };
}
