import { dirname, isAbsolute, join, resolve } from "node:path";
import { CzctlError, messageOf } from "../model/errors.ts";
import { shellWord } from "../model/shell_word.ts";
import { readUserFile } from "../platform/user_files.ts";
import { parseYaml } from "./yaml_text.ts";

/**
 * A kubeconfig merged by kubectl's rules: explicit file, else every file of
 * KUBECONFIG (missing ones skipped, the first mention of a name wins), else
 * `~/.kube/config`. Paths inside are absolute, relative ones having been
 * resolved against their own file's folder.
 * https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
 */
export interface Kubeconfig {
  /** The files it was read from; empty when there was none. */
  readonly files: readonly string[];
  /** Named by KUBECONFIG or looked for by default, and not there. */
  readonly missing: readonly string[];
  readonly currentContext?: string;
  readonly contexts: ReadonlyMap<string, ContextEntry>;
  readonly clusters: ReadonlyMap<string, ClusterEntry>;
  readonly users: ReadonlyMap<string, UserEntry>;
}

export interface ContextEntry {
  readonly cluster?: string;
  readonly user?: string;
  readonly namespace?: string;
}

export interface ClusterEntry {
  readonly server?: string;
  readonly "tls-server-name"?: string;
  readonly "insecure-skip-tls-verify"?: boolean;
  readonly "certificate-authority"?: string;
  readonly "certificate-authority-data"?: string;
  readonly "proxy-url"?: string;
  readonly "disable-compression"?: boolean;
  /** Only for exec plugins. */
  readonly extensions?: unknown;
}

export interface UserEntry {
  readonly "client-certificate"?: string;
  readonly "client-certificate-data"?: string;
  readonly "client-key"?: string;
  readonly "client-key-data"?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly username?: string;
  readonly password?: string;
  readonly as?: string;
  readonly "as-uid"?: string;
  readonly "as-groups"?: readonly string[];
  readonly "as-user-extra"?: Readonly<Record<string, readonly string[]>>;
  readonly exec?: ExecEntry;
  readonly "auth-provider"?: {
    readonly name: string;
    readonly config?: Readonly<Record<string, string>>;
  };
}

export interface ExecEntry {
  readonly apiVersion?: string;
  /** Absolute when it was written with a slash; else looked up in PATH. */
  readonly command?: string;
  readonly args?: readonly string[] | null;
  readonly env?: readonly { readonly name: string; readonly value: string }[] | null;
  readonly installHint?: string;
  readonly provideClusterInfo?: boolean;
  readonly interactiveMode?: "Never" | "IfAvailable" | "Always";
}

export interface KubeconfigPlace {
  /** The value of `--kubeconfig`, as typed. */
  readonly explicit?: string;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly home: string;
}

/**
 * Reads and merges. Throws CzctlError `failed` for an explicit file that is
 * not there, for one that cannot be read and for broken YAML (file and line).
 */
export async function loadKubeconfig(place: KubeconfigPlace): Promise<Kubeconfig> {
  const wanted = filesOf(place);
  const files: string[] = [];
  const missing: string[] = [];
  const merged = {
    contexts: new Map<string, ContextEntry>(),
    clusters: new Map<string, ClusterEntry>(),
    users: new Map<string, UserEntry>(),
  };
  let currentContext: string | undefined;
  for (const file of wanted) {
    const read = await readUserFile(file);
    if ("problem" in read) {
      if (read.problem === "missing" && place.explicit === undefined) {
        missing.push(file);
        continue;
      }
      throw new CzctlError("failed", `Cannot read the kubeconfig "${file}": ${read.detail}`, {
        hint: place.explicit === undefined
          ? "Check KUBECONFIG, or name another file with --kubeconfig FILE"
          : "Check the path given with --kubeconfig",
      });
    }
    files.push(file);
    const parsed = parseKubeconfig(read.text, file);
    currentContext ||= parsed.currentContext;
    for (const part of ["contexts", "clusters", "users"] as const) {
      for (const [name, entry] of parsed[part]) {
        const into = merged[part] as Map<string, unknown>;
        if (!into.has(name)) into.set(name, entry);
      }
    }
  }
  return { files, missing, ...merged, ...(currentContext ? { currentContext } : {}) };
}

function filesOf(place: KubeconfigPlace): string[] {
  const full = (path: string) => resolve(place.cwd, path.replace(/^~(?=\/|$)/, () => place.home));
  if (place.explicit !== undefined) return [full(place.explicit)];
  const listed = (place.env.KUBECONFIG ?? "").split(":").filter((path) => path !== "");
  if (listed.length > 0) return [...new Set(listed.map(full))];
  return [join(place.home, ".kube", "config")];
}

/** One file's text. Throws CzctlError `failed` naming the file and the line. */
export function parseKubeconfig(text: string, file: string): Kubeconfig {
  let root: unknown;
  try {
    root = parseYaml(text, FLAGS) ?? {};
  } catch (error) {
    throw bad(file, messageOf(error));
  }
  if (!isRecord(root)) throw bad(file, "it is not a kubeconfig (a mapping is expected)");
  if (typeof root.kind === "string" && root.kind !== "Config") {
    throw bad(file, `it is a ${root.kind}, not a kubeconfig`);
  }
  const folder = dirname(file);
  const current = root["current-context"];
  return {
    files: [file],
    missing: [],
    contexts: named<ContextEntry>(root, "contexts", "context", file),
    clusters: mapValues(
      named<ClusterEntry>(root, "clusters", "cluster", file),
      (entry) => absolute(entry, folder, ["certificate-authority"]),
    ),
    users: mapValues(
      named<UserEntry>(root, "users", "user", file),
      (entry) => absoluteUser(entry, folder),
    ),
    ...(typeof current === "string" && current !== "" ? { currentContext: current } : {}),
  };
}

function named<T>(
  root: Record<string, unknown>,
  list: string,
  field: string,
  file: string,
): Map<string, T> {
  const entries = root[list] ?? [];
  const found = new Map<string, T>();
  if (!Array.isArray(entries)) throw bad(file, `"${list}" is not a list`);
  entries.forEach((entry: unknown, index) => {
    if (!isRecord(entry)) throw bad(file, `${list}[${index}] is not a mapping`);
    const name = entry.name;
    if (typeof name !== "string" && typeof name !== "number") {
      throw bad(file, `${list}[${index}] has no name`);
    }
    const value = entry[field] ?? {};
    if (!isRecord(value)) throw bad(file, `${list}[${index}].${field} is not a mapping`);
    if (!found.has(String(name))) {
      found.set(String(name), tidy(value, `${list}[${index}]`, file) as T);
    }
  });
  return found;
}

/**
 * Numbers where text is meant (`token: 1234`) become text; what should be a list or mapping is
 * one. Fields nobody knows are left out.
 */
function tidy(entry: Record<string, unknown>, where: string, file: string) {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(entry)) {
    const structured = STRUCTURED[key];
    if (value === null || value === undefined) continue;
    if (!structured && !PLAIN.has(key)) continue;
    if (structured === "list" && !Array.isArray(value)) {
      throw bad(file, `"${key}" of ${where} is not a list`);
    }
    if (structured === "mapping" && !isRecord(value)) {
      throw bad(file, `"${key}" of ${where} is not a mapping`);
    }
    if (!structured && (Array.isArray(value) || isRecord(value))) {
      throw bad(file, `"${key}" of ${where} is not a text`);
    }
    out[key] = typeof value === "number" ? String(value) : value;
  }
  return out;
}

/** The fields that are no plain values. */
const STRUCTURED: Record<string, "list" | "mapping"> = {
  "as-groups": "list",
  "as-user-extra": "mapping",
  "exec": "mapping",
  "auth-provider": "mapping",
  "extensions": "list",
};

const FLAGS: ReadonlySet<string> = new Set([
  "insecure-skip-tls-verify",
  "disable-compression",
  "provideClusterInfo",
]);

const PLAIN: ReadonlySet<string> = new Set([
  ...["cluster", "user", "namespace"],
  ...["server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url"],
  ...["certificate-authority", "certificate-authority-data", "disable-compression"],
  ...["client-certificate", "client-certificate-data", "client-key", "client-key-data"],
  ...["token", "tokenFile", "username", "password", "as", "as-uid"],
]);

function absolute<T extends object>(entry: T, folder: string, keys: (keyof T)[]): T {
  const out = { ...entry };
  for (const key of keys) {
    const path = out[key];
    if (typeof path === "string" && path !== "" && !isAbsolute(path)) {
      out[key] = join(folder, path) as T[keyof T];
    }
  }
  return out;
}

function absoluteUser(entry: UserEntry, folder: string): UserEntry {
  const user = absolute(entry, folder, ["client-certificate", "client-key", "tokenFile"]);
  const command = user.exec?.command;
  // Like client-go: only a command written with a slash is a path.
  if (!user.exec || !command?.includes("/") || isAbsolute(command)) return user;
  return { ...user, exec: { ...user.exec, command: join(folder, command) } };
}

function mapValues<T>(map: Map<string, T>, change: (value: T) => T): Map<string, T> {
  return new Map([...map].map(([name, value]) => [name, change(value)]));
}

function bad(file: string, reason: string): CzctlError {
  return new CzctlError("failed", `Cannot use the kubeconfig "${file}": ${reason}`, {
    hint: `Mend the file, then check it with: kubectl --kubeconfig ${shellWord(file)} config view`,
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
