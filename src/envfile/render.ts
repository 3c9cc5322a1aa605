import { extname } from "node:path";
import type { EnvFormat } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import { shellQuoted } from "../model/shell_word.ts";
import { dotenvDanger, dotenvValue, isDotenvName } from "./dotenv.ts";
import { compare } from "./service_links.ts";
import { shellVerdict } from "./shell_names.ts";

export interface RenderOptions {
  /** False: plain assignments in the sh format. Default true. */
  readonly exportVariables?: boolean;
}

export interface RenderedEnvironment {
  readonly bytes: Uint8Array;
  readonly variables: number;
  /** Variables whose name the format cannot have, each with the reason; never silent to the user. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[];
  /** What the user should know of variables that are in the file. */
  readonly notes: readonly string[];
}

/**
 * The variables as a file: sorted by name, the same bytes for the same
 * variables. docs/environment.md says what each format holds.
 *
 * Throws CzctlError `failed` naming the variable whose value the format cannot
 * hold.
 */
export function renderEnvironment(
  variables: ReadonlyMap<string, string>,
  format: EnvFormat,
  options: RenderOptions = {},
): RenderedEnvironment {
  const sorted = [...variables].sort(([a], [b]) => compare(a, b));
  for (const [name, value] of sorted) {
    if (!value.isWellFormed()) refuse(name, format, "it is not Unicode text");
  }
  switch (format) {
    case "sh":
      return lines(sorted, (name, value) => shellLine(name, value, options));
    case "env":
      return lines(sorted, dotenvLine);
    case "json": {
      // Not through an object: it would move names that look like numbers, and lose __proto__.
      const entries = sorted.map(([name, value]) => `  ${quoted(name)}: ${quoted(value)}`);
      return whole(entries.length === 0 ? "{}\n" : `{\n${entries.join(",\n")}\n}\n`, sorted.length);
    }
    case "yaml": {
      // Quoted always: no reader may take "yes", "1e3" or "~" for anything but text.
      const entries = sorted.map(([name, value]) => `${quoted(name)}: ${quoted(value)}\n`);
      return whole(entries.length === 0 ? "{}\n" : entries.join(""), sorted.length);
    }
  }
}

function whole(text: string, variables: number): RenderedEnvironment {
  return { bytes: new TextEncoder().encode(text), variables, leftOut: [], notes: [] };
}

/**
 * A JSON string that is a YAML one as well: YAML 1.1 ends lines at U+0085,
 * U+2028 and U+2029 and knows no raw controls.
 */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** `.env`, `.env.local`, `*.env`: env; `*.json`; `*.yaml`, `*.yml`; anything else: sh. */
export function formatOf(path: string): EnvFormat {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  if (/^\.env(\.|$)/.test(name)) return "env";
  switch (extname(name)) {
    case ".env":
      return "env";
    case ".json":
      return "json";
    case ".yaml":
    case ".yml":
      return "yaml";
    default:
      return "sh";
  }
}

type Line = { readonly text: string; readonly note?: string | undefined } | {
  readonly leftOut: string;
};

function lines(
  sorted: readonly (readonly [string, string])[],
  line: (name: string, value: string) => Line,
): RenderedEnvironment {
  const texts: string[] = [];
  const leftOut: { name: string; reason: string }[] = [];
  const notes: string[] = [];
  for (const [name, value] of sorted) {
    const made = line(name, value);
    if ("leftOut" in made) leftOut.push({ name, reason: made.leftOut });
    else texts.push(made.text + "\n");
    if ("note" in made && made.note !== undefined) notes.push(`${name}: ${made.note}`);
  }
  return {
    bytes: new TextEncoder().encode(texts.join("")),
    variables: texts.length,
    leftOut,
    notes,
  };
}

function shellLine(name: string, value: string, { exportVariables = true }: RenderOptions): Line {
  const verdict = shellVerdict(name, value);
  if (!verdict.ok) return { leftOut: verdict.reason };
  if (value.includes("\0")) refuse(name, "sh", "it holds a NUL character");
  const assignment = `${name}=${shellQuoted(value)}`;
  const text = exportVariables ? `export ${assignment}` : assignment;
  return { text: verdict.zsh ? text : `[ -n "\${ZSH_VERSION-}" ] || ${text}` };
}

function dotenvLine(name: string, value: string): Line {
  if (!isDotenvName(name)) return { leftOut: "readers of this format know no such name" };
  const made = dotenvValue(value);
  if ("reason" in made) return refuse(name, "env", made.reason);
  return { text: `${name}=${made.text}`, note: dotenvDanger(value) };
}

function refuse(name: string, format: EnvFormat, reason: string): never {
  const others = (["sh", "env", "json", "yaml"] as const).filter((other) =>
    other !== format && other !== "env" && !(other === "sh" && reason.includes("NUL"))
  );
  throw new CzctlError(
    "failed",
    `Cannot write variable "${name}" in the ${format} format: ${reason}`,
    { hint: `Choose another format: -m ${others.join(", -m ")}` },
  );
}
