import { parse } from "dotenv";
import { run } from "./shells.ts";

/** What different programs read from one `env` file. */

/** npm's dotenv itself. */
export function readNpmDotenv(text: string): Map<string, string> {
  return new Map(Object.entries(parse(text)));
}

/** Node's own `--env-file`, in a real process; names that are not `names` are the process's. */
export async function readNode(
  path: string,
  names: readonly string[],
): Promise<Map<string, string>> {
  const script = "process.stdout.write(JSON.stringify(process.env))";
  const { code, stdout, stderr } = await run(["node", `--env-file=${path}`, "-e", script]);
  if (code !== 0) throw new Error(stderr);
  const env = JSON.parse(new TextDecoder().decode(stdout)) as Record<string, string>;
  return new Map(names.filter((name) => name in env).map((name) => [name, env[name]!]));
}

/**
 * `docker run --env-file` (docker/cli pkg/kvfile): no quotes, no escapes; a
 * line up to 64 KiB, blank and `#` lines skipped, the rest cut at the first `=`.
 * Throws where docker refuses the file.
 */
export function readDocker(text: string): Map<string, string> {
  const variables = new Map<string, string>();
  for (const raw of text.split("\n")) {
    if (new TextEncoder().encode(raw).length >= 64 * 1024) throw new Error("token too long");
    const line = raw.replace(/\r$/, "").replace(/^\s+/, "");
    if (line === "" || line.startsWith("#")) continue;
    const equals = line.indexOf("=");
    const name = equals < 0 ? line : line.slice(0, equals);
    if (name === "" || /[ \t]/.test(name)) throw new Error(`poorly formatted: ${name}`);
    if (equals >= 0) variables.set(name, line.slice(equals + 1));
  }
  return variables;
}

/** Python's idea of white space, which is not JavaScript's. */
const SPACE =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const INNER = SPACE.replace("\\t-\\r", "\\t\\v\\f");

/**
 * python-dotenv 1.0 as `load_dotenv` uses it: quotes with escapes, `export`,
 * comments after white space, and `${NAME:-default}` replaced in every value,
 * quoted or not. Compared with the real one when it was written.
 */
export function readPythonDotenv(file: string): Map<string, string> {
  const text = file.replaceAll(/\r\n?/g, "\n");
  const variables = new Map<string, string>();
  let at = 0;
  const take = (pattern: string): RegExpExecArray | undefined => {
    const regex = new RegExp(pattern, "y");
    regex.lastIndex = at;
    const match = regex.exec(text);
    if (match) at = regex.lastIndex;
    return match ?? undefined;
  };
  while (take(`[${SPACE}]*`), at < text.length) {
    take(`export[${INNER}]+`);
    const name = text[at] === "#" ? undefined : take(`'([^']+)'|([^=#${SPACE}]+)`);
    take(`[${INNER}]*`);
    let value: string | undefined;
    if (take(`=[${INNER}]*`)) {
      const single = take("'((?:\\\\'|[^'])*)'")?.[1];
      const double = single === undefined ? take('"((?:\\\\"|[^"])*)"')?.[1] : undefined;
      if (single !== undefined) value = single.replaceAll(/\\([\\'])/g, "$1");
      else if (double !== undefined) value = double.replaceAll(/\\([\\'"abfnrtv])/g, unescape);
      else {
        value = take("[^\\r\\n]*")![0].replace(new RegExp(`[${SPACE}]+#.*`), "")
          .replace(new RegExp(`[${SPACE}]+$`), "");
      }
    }
    take(`(?:[${INNER}]*#[^\\r\\n]*)?`);
    if (!take(`[${INNER}]*(?:\\n|$)`)) {
      take("[^\\n]*\\n?");
      continue;
    }
    if (name && value !== undefined) variables.set(name[1] ?? name[2]!, value);
  }
  for (const [name, value] of variables) {
    variables.set(
      name,
      value.replaceAll(
        /\$\{([^}:]*)(?::-([^}]*))?\}/g,
        (_, other, fallback) => variables.get(other) ?? fallback ?? "",
      ),
    );
  }
  return variables;
}

function unescape(_: string, letter: string): string {
  const meanings: Record<string, string> = {
    a: "\x07",
    b: "\b",
    f: "\f",
    n: "\n",
    r: "\r",
    t: "\t",
    v: "\v",
  };
  return meanings[letter] ?? letter;
}
