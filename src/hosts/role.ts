export type Role = "cli" | "svc" | "helper";

/** What decides the role; gathered by main.ts. */
export interface RoleFacts {
  /** Real and effective user ids; undefined where the system has none. */
  readonly uid: number | undefined;
  readonly euid: number | undefined;
  /** The name this program was started by, with or without its folder. */
  readonly invokedAs: string;
  readonly args: readonly string[];
}

/**
 * The role of this process. A set-uid copy is the helper and nothing else,
 * whatever its arguments say. `svc` needs the name `czfwd` as well: for
 * `czctl` it is kubectl's short name of a kind.
 */
export function roleOf(facts: RoleFacts): Role {
  if (facts.uid !== facts.euid) return "helper";
  if (facts.args[0] === "helper") return "helper";
  const isCzfwd = facts.invokedAs.split("/").at(-1) === "czfwd";
  return isCzfwd && facts.args[0] === "svc" ? "svc" : "cli";
}
