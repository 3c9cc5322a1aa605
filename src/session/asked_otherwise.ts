import { isDeepStrictEqual } from "node:util";
import { resolve } from "node:path";
import type { EnvFileInfo, TeleportRequest } from "../model/control.ts";

/** What a request may ask for beyond the workload, and how it is spelled on the command line. */
const PLAIN = {
  exclude: "--exclude",
  only: "--only",
  labelSelector: "-l",
  shortNames: "--no-short-names",
  clusterDomain: "--cluster-domain",
  take: "--take",
  holdMs: "--hold",
} as const satisfies Partial<Record<keyof TeleportRequest, string>>;

/** The same for what only matters together with a file. */
const OF_THE_FILE = {
  format: "-m",
  exportVariables: "--export",
  container: "-c",
  onChange: "--on-change",
} as const satisfies Partial<Record<keyof TeleportRequest, string>>;

/** An open session, as it was asked for and as it is. */
export interface OpenedAs {
  readonly request: TeleportRequest;
  readonly namespaces: readonly string[] | "all";
  readonly envFile: EnvFileInfo | undefined;
}

/**
 * The options of a second request for an open session that the session does
 * not fulfil, as typed. What is not asked for may be either way: a plain
 * `teleport` finds the session that was opened with an environment file.
 */
export function askedOtherwise(asked: TeleportRequest, open: OpenedAs): string[] {
  const found: string[] = [];
  if (asked.allNamespaces && open.namespaces !== "all") found.push("-A");
  for (const namespace of asked.additional ?? []) {
    if (open.namespaces === "all" || open.namespaces.includes(namespace)) continue;
    found.push(`-a ${namespace}`);
  }
  if (asked.envFile !== undefined) {
    const path = resolve(asked.cwd, asked.envFile);
    if (
      open.request.envFile === undefined || resolve(open.request.cwd, open.request.envFile) !== path
    ) {
      found.push(`-f ${asked.envFile}`);
    } else if (open.envFile?.state === "stopped") {
      found.push(`-f ${asked.envFile} (no longer kept: ${open.envFile.reason ?? "stopped"})`);
    }
    found.push(...differing(OF_THE_FILE, asked, open.request));
  }
  found.push(...differing(PLAIN, asked, open.request));
  return found;
}

function differing(
  options: Partial<Record<keyof TeleportRequest, string>>,
  asked: TeleportRequest,
  open: TeleportRequest,
): string[] {
  return (Object.keys(options) as (keyof TeleportRequest)[])
    .filter((key) => asked[key] !== undefined && !isDeepStrictEqual(asked[key], open[key]))
    .map((key) => options[key]!);
}
