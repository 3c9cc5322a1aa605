import { extname } from "node:path";
import { stringify } from "yaml";
import type { EnvFormat } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import { dotenvValue, isDotenvName } from "./dotenv.ts";
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
  const bytes = (text: string) => new TextEncoder().encode(text);
  for (const [name, value] of sorted) {
    if (!value.isWellFormed()) refuse(name, format, "it is not Unicode text");
  }
  switch (format) {
    case "sh":
      return lines(sorted, (name, value) => shellLine(name, value, options));
    case "env":
      return lines(sorted, dotenvLine);
    case "json":
      return {
        // Not through an object: it would move names that look like numbers, and lose __proto__.
        bytes: bytes(
          sorted.length === 0
            ? "{}\n"
            : `{\n${
              sorted.map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`)
                .join(",\n")
            }\n}\n`,
        ),
        variables: sorted.length,
        leftOut: [],
      };
    case "yaml":
      return {
        // Quoted always: no reader may take "yes", "1e3" or "~" for anything but text.
        bytes: bytes(
          stringify(new Map(sorted), {
            version: "1.1",
            defaultStringType: "QUOTE_DOUBLE",
            defaultKeyType: "QUOTE_DOUBLE",
            doubleQuotedAsJSON: true,
            lineWidth: 0,
            simpleKeys: true,
          }),
        ),
        variables: sorted.length,
        leftOut: [],
      };
  }
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

type Line = { readonly text: string } | { readonly leftOut: string };

function lines(
  sorted: readonly (readonly [string, string])[],
  line: (name: string, value: string) => Line,
): RenderedEnvironment {
  const texts: string[] = [];
  const leftOut: { name: string; reason: string }[] = [];
  for (const [name, value] of sorted) {
    const made = line(name, value);
    if ("text" in made) texts.push(made.text + "\n");
    else leftOut.push({ name, reason: made.leftOut });
  }
  return { bytes: new TextEncoder().encode(texts.join("")), variables: texts.length, leftOut };
}

/**
 * Single quotes: nothing inside them means anything to sh, bash, dash or zsh,
 * and a quote itself is written as `'\''`.
 */
function shellLine(name: string, value: string, { exportVariables = true }: RenderOptions): Line {
  const verdict = shellVerdict(name, value);
  if (!verdict.ok) return { leftOut: verdict.reason };
  if (value.includes("\0")) refuse(name, "sh", "it holds a NUL character");
  const assignment = `${name}='${value.replaceAll("'", "'\\''")}'`;
  const text = exportVariables ? `export ${assignment}` : assignment;
  return { text: verdict.zsh ? text : `[ -n "\${ZSH_VERSION-}" ] || ${text}` };
}

function dotenvLine(name: string, value: string): Line {
  if (!isDotenvName(name)) return { leftOut: "readers of this format know no such name" };
  const made = dotenvValue(value);
  if ("reason" in made) return refuse(name, "env", made.reason);
  return { text: `${name}=${made.text}` };
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
