export type Role = "cli" | "svc" | "helper";

/** What decides the role; gathered by main.ts. */
export interface RoleFacts {
  /** Real and effective user ids; undefined where the system has none. */
  readonly uid: number | undefined;
  readonly euid: number | undefined;
  readonly args: readonly string[];
}

/**
 * The role of this process. A set-uid copy is the helper and nothing else,
 * whatever its arguments say.
 */
export function roleOf(facts: RoleFacts): Role {
  if (facts.uid !== facts.euid) return "helper";
  if (facts.args[0] === "helper" || facts.args[0] === "svc") return facts.args[0];
  return "cli";
}
