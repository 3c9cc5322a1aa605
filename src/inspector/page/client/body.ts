/** A body to look at: pretty JSON, text, or bytes. */
import type { BodyJson } from "../../request_json.ts";
import { button, copy, el } from "./dom.ts";
import { bytesText } from "./format.ts";

/** Colouring more than this would make the page slow. */
const MAX_COLOURED = 200_000;
/** Bytes of a dump. */
const MAX_DUMP = 1024;

export function bodyView(body: BodyJson): HTMLElement {
  if (body.size === 0) return el("p", "nothing", "No body");
  const facts = [
    bytesText(body.size),
    body.content_type,
    body.decoded === undefined ? undefined : `shown without its ${body.decoded} coding`,
    body.truncated ? `only the first ${bytesText(body.kept)} were kept` : undefined,
    body.complete ? undefined : "its end was not seen",
  ].filter((fact) => fact !== undefined).join(" · ");
  const view = el("div", "body");
  const bar = el("p", "facts", facts);
  view.append(bar);
  if (body.text === undefined) {
    view.append(el("pre", "dump", dump(body.base64 ?? "")));
    return view;
  }
  const text = body.text;
  const pre = el("pre");
  const pretty = prettyJson(text);
  const show = (value: string | undefined) => {
    if (value !== undefined && value.length <= MAX_COLOURED) {
      pre.replaceChildren(...coloured(value));
    } else pre.replaceChildren(value ?? text);
  };
  show(pretty);
  if (pretty !== undefined) {
    let raw = false;
    const toggle = button("As sent", () => {
      raw = !raw;
      toggle.textContent = raw ? "Pretty" : "As sent";
      show(raw ? undefined : pretty);
    }, { class: "link" });
    bar.append(toggle);
  }
  bar.append(button("Copy", () => void copy(text), { class: "link" }));
  view.append(pre);
  return view;
}

/** The same JSON with line breaks; undefined for what is not an object or a list. */
export function prettyJson(text: string): string | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2);
  } catch {
    return undefined;
  }
}

/** Pieces of formatted JSON, each in its colour. */
function coloured(json: string): (Node | string)[] {
  const pieces: (Node | string)[] = [];
  const token = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d[\d.eE+-]*/g;
  let at = 0;
  for (const match of json.matchAll(token)) {
    if (match.index > at) pieces.push(json.slice(at, match.index));
    const [all, text, colon, word] = match;
    const kind = text === undefined ? (word === undefined ? "number" : "word") : "string";
    if (colon !== undefined) pieces.push(el("span", "key", text!), colon);
    else pieces.push(el("span", kind, all));
    at = match.index + all.length;
  }
  pieces.push(json.slice(at));
  return pieces;
}

/** Offset, bytes and characters, sixteen a line. */
function dump(base64: string): string {
  const binary = atob(base64);
  const lines: string[] = [];
  for (let at = 0; at < Math.min(binary.length, MAX_DUMP); at += 16) {
    const part = binary.slice(at, at + 16);
    const hex = [...part].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");
    const text = part.replace(/[^ -~]/g, "·");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  if (binary.length > MAX_DUMP) lines.push(`… ${bytesText(binary.length - MAX_DUMP)} more`);
  return lines.join("\n");
}
