import { Buffer } from "node:buffer";

/**
 * One value of the `env` format, as text that npm's dotenv, python-dotenv,
 * Node's `--env-file` and `docker --env-file` all read back unchanged.
 *
 * They agree on little: docker takes everything after `=` as it is, quotes
 * included, and has no line breaks; npm's dotenv ends an unquoted value at any
 * `#`; python-dotenv replaces `${NAME}` everywhere; escapes differ inside
 * quotes. So a value is written bare where all four agree. One with a line
 * break, which docker cannot hold in any way, is quoted for the other three.
 * The rest is refused: to quote it would give docker another value, silently.
 */
export function dotenvValue(value: string): { text: string } | { reason: string } {
  if (value.includes("\0")) return { reason: "it holds a NUL character" };
  // python-dotenv's own pattern, which it applies inside quotes as well.
  if (/\$\{[^}:]*(?::-[^}]*)?\}/.test(value)) {
    return { reason: 'some readers replace the "${...}" in it, quoted or not' };
  }
  if (/[\r\n]/.test(value)) return quoted(value);
  if (value === "") return { text: "" };
  if (BLANK.test(value[0]!) || BLANK.test(value.at(-1)!)) {
    return { reason: "it begins or ends with a space, which docker keeps only unquoted" };
  }
  if (/^['"`]/.test(value)) {
    return { reason: "it begins with a quote, which docker keeps and other readers take off" };
  }
  if (value.includes("#")) {
    return { reason: 'it holds a "#", which needs quotes that docker would keep' };
  }
  if (LINE_END.test(value)) {
    return { reason: "it holds a character that some readers take for the end of the line" };
  }
  if (Buffer.byteLength(value) > DOCKER_LINE_BYTES) {
    return { reason: `it is longer than the ${DOCKER_LINE_BYTES} bytes docker reads in a line` };
  }
  return { text: value };
}

/** bufio.MaxScanTokenSize of Go is 64 KiB for the whole line; the rest is for the name. */
const DOCKER_LINE_BYTES = 60_000;

/** White space to any of the readers; Python counts the separators U+001C to U+001F among it. */
// deno-lint-ignore no-control-regex
const BLANK = /[\s\p{White_Space}\x1c-\x1f]/u;

/** What ends a line for one reader or another, besides CR and LF. */
// deno-lint-ignore no-control-regex
const LINE_END = /[\v\f\x1c-\x1e\x85\u2028\u2029]/;

/** What other, rarer readers would do to a value that is written as it is; undefined: nothing bad. */
export function dotenvDanger(value: string): string | undefined {
  return value.includes("$(")
    ? '"$(...)" in it is run by Ruby\'s dotenv and by "source"'
    : undefined;
}

/** The names that all the readers take; npm's dotenv has the narrowest rule. */
export function isDotenvName(name: string): boolean {
  return /^[A-Za-z_][\w.-]*$/.test(name);
}

function quoted(value: string): { text: string } | { reason: string } {
  // On one line, so that docker loses no other variable over it.
  if (!/["\\]/.test(value)) {
    return { text: `"${value.replaceAll("\r", "\\r").replaceAll("\n", "\\n")}"` };
  }
  // In single quotes nothing is an escape, as long as no backslash meets a quote or another one.
  if (!/['\r]|\\\\|\\$/.test(value)) return { text: `'${value}'` };
  return { reason: "it holds line breaks together with quotes or backslashes" };
}
