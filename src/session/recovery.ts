import type { StatePaths } from "../platform/paths.ts";

/**
 * Placeholder: cleans up after a svc that died. Resolves with what was mended,
 * one sentence each; empty when there was nothing.
 */
export function recoverIfNeeded(_options: { paths: StatePaths }): Promise<readonly string[]> {
  return Promise.resolve([]);
}
