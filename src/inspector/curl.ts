/** A request as a curl command that is safe to paste into a shell, whatever the request holds. */
import type { BodyJson, HeaderJson } from "./request_json.ts";
import { shellWord } from "../model/shell_word.ts";
import { MASK } from "./secrets.ts";

export interface CurlRequest {
  readonly method: string;
  /** `http://` and the authority to connect to. */
  readonly origin: string;
  /** As sent, secrets masked or not. */
  readonly target: string;
  readonly headers: readonly HeaderJson[];
  readonly body: BodyJson;
}

export interface CurlCommand {
  readonly command: string;
  /** What differs from the request, in words. */
  readonly notes: readonly string[];
}

/** What curl makes itself, or what belongs to the old connection. */
const LEFT_OUT = new Set([
  "accept-encoding",
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "transfer-encoding",
]);

/**
 * The command, for POSIX shells. Control characters never get into it: pasted
 * into a terminal, an escape sequence could end the paste and run the rest.
 * Masked values become shell variables (`$HEADER_AUTHORIZATION`).
 */
export function curlCommand(request: CurlRequest): CurlCommand {
  const notes: string[] = [];
  const words = ["curl", "--globoff", "--path-as-is"];
  const hasBody = request.body.size > 0;
  if (request.method === "HEAD") words.push("--head");
  else if (request.method !== (hasBody ? "POST" : "GET")) {
    words.push("-X", shellWord(request.method));
  }

  const rest = request.target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "");
  const inUrl = rest.startsWith("/") && isPlain(rest);
  if (!inUrl && isPlain(rest) && rest !== "") words.push("--request-target", quoteMasked(rest));
  else if (!inUrl && rest !== "") notes.push("the path holds characters that cannot be pasted");
  words.push(inUrl ? quoteMasked(request.origin + rest) : shellWord(`${request.origin}/`));

  let typed = false;
  for (const { name, value, masked } of request.headers) {
    const key = name.toLowerCase();
    typed ||= key === "content-type";
    if (key === "accept-encoding" && /gzip|deflate|br/.test(value)) words.push("--compressed");
    if (LEFT_OUT.has(key)) continue;
    if (key === "host" && `http://${value}` === request.origin) continue;
    if (masked) words.push("-H", `${shellWord(`${name}: `)}"$${variable("HEADER", name)}"`);
    else if (!isPlain(value)) notes.push(`the header ${name} cannot be pasted`);
    else words.push("-H", shellWord(value === "" ? `${name};` : `${name}: ${value}`));
  }
  if (words.some((word) => word.includes('"$'))) notes.push("masked values are left out");
  if (!hasBody) return { command: words.join(" "), notes };

  // curl would invent a form's type.
  if (!typed) words.push("-H", "'Content-Type:'");
  const { body } = request;
  if (body.truncated) notes.push("the body is cut");
  if (body.text !== undefined && body.decoded === undefined && isPasteable(body.text)) {
    return { command: [...words, "--data-raw", shellWord(body.text)].join(" "), notes };
  }
  const base64 = body.base64 ?? base64Of(body.text ?? "");
  const command = [...words, "--data-binary", "@-"].join(" ");
  return { command: `printf %s ${shellWord(base64)} | base64 -d | ${command}`, notes };
}

/** One word for a POSIX shell, with a variable where a value is masked. */
function quoteMasked(text: string): string {
  return text.split(MASK).map((part) => (part === "" ? "" : shellWord(part))).join('"$SECRET"');
}

function variable(prefix: string, name: string): string {
  return `${prefix}_${name.toUpperCase().replace(/[^A-Z0-9]/g, "_")}`;
}

/** Printable ASCII, and masks. */
function isPlain(text: string): boolean {
  return /^[ -~]*$/.test(text.replaceAll(MASK, ""));
}

/** No control characters but line feeds and tabs, and nothing that reorders what one sees. */
function isPasteable(text: string): boolean {
  return !/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/u.test(text.replace(/[\n\t]/g, ""));
}

function base64Of(text: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}
