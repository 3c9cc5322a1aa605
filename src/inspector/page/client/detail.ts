/** The right side: one request and its answer. */
import { curlCommand } from "../../curl.ts";
import type { HeaderJson, MessageJson, RequestDetail } from "../../request_json.ts";
import { bodyView } from "./body.ts";
import { button, byId, copy, el, toast } from "./dom.ts";
import { clockText, durationText } from "./format.ts";
import { statusClass, statusText } from "./requests.ts";
import { Refused, server } from "./server.ts";

export interface DetailActions {
  readonly close: () => void;
  /** Show another request, once it is there. */
  readonly open: (id: string) => void;
  /** The name its service has on this machine. */
  readonly hostOf: (detail: RequestDetail) => string;
}

export class DetailPane {
  readonly #root = byId("detail");
  readonly #actions: DetailActions;
  #shown: RequestDetail | undefined;
  #wanted: string | undefined;
  /** Values asked for, by field. */
  #revealed = new Map<string, string>();

  constructor(actions: DetailActions) {
    this.#actions = actions;
  }

  /** Shows a request, or nothing. The same one again: with what is new about it. */
  async show(id: string | undefined): Promise<void> {
    if (id !== this.#wanted) this.#revealed = new Map();
    this.#wanted = id;
    if (id === undefined) {
      this.#shown = undefined;
      this.#root.hidden = true;
      this.#root.parentElement!.classList.remove("detailed");
      this.#root.replaceChildren();
      return;
    }
    try {
      const detail = await server.request(id);
      if (this.#wanted !== id) return;
      const other = this.#shown?.id !== id;
      this.#shown = detail;
      this.#draw(detail);
      if (other) this.#root.scrollTop = 0;
    } catch (error) {
      if (this.#wanted === id) toast(said(error));
    }
  }

  async replay(): Promise<void> {
    const detail = this.#shown;
    if (detail === undefined) return;
    toast("Sending it again");
    try {
      const { status, id } = await server.replay(detail.id);
      toast(`Answered ${status}`);
      if (id !== undefined) this.#actions.open(id);
    } catch (error) {
      toast(said(error));
    }
  }

  copyAsCurl(): void {
    const detail = this.#shown;
    if (detail === undefined) return;
    const { command, notes } = curlCommand({
      method: detail.method,
      origin: `http://${this.#actions.hostOf(detail)}${
        detail.port === 80 ? "" : `:${detail.port}`
      }`,
      target: this.#revealed.get("uri") ?? detail.request.uri,
      headers: this.#headers("request", detail.request),
      body: detail.request.body,
    });
    void copy(command, ["Copied", ...notes].join("; "));
  }

  #draw(detail: RequestDetail): void {
    this.#root.hidden = false;
    this.#root.parentElement!.classList.add("detailed");
    const uri = this.#revealed.get("uri") ?? detail.request.uri;
    const unread = detail.state === "upgraded"
      ? `The connection speaks ${detail.upgraded} since; what follows is not captured.`
      : detail.error;
    const focused = this.#root.contains(document.activeElement);
    this.#root.replaceChildren(
      el(
        "header",
        "detail-head",
        el(
          "div",
          "line",
          el("span", `status ${statusClass(detail)}`, statusText(detail)),
          el("h2", {}, `${detail.method} `, el("span", "uri", uri)),
          button("×", () => this.#actions.close(), {
            class: "quiet",
            title: "Close (Esc)",
            attributes: { "aria-label": "Close" },
          }),
        ),
        el(
          "p",
          "more",
          `${detail.service}.${detail.namespace}:${detail.port} · pod ${detail.pod} · ${
            clockText(detail.start)
          }`,
          ...(detail.replay_of === undefined ? [] : [
            " · ",
            button("replay of an earlier one", () => this.#actions.open(detail.replay_of!), {
              class: "link",
            }),
          ]),
        ),
        el(
          "div",
          "actions",
          button("Replay", () => void this.replay(), {
            class: "small",
            title: "Send it again (r)",
          }),
          button("Copy as curl", () => this.copyAsCurl(), { class: "small", title: "(c)" }),
          detail.request.uri_masked && !this.#revealed.has("uri")
            ? button("Reveal the address", () => void this.#reveal("uri"), { class: "small" })
            : undefined,
        ),
        timing(detail),
        unread === undefined ? undefined : el("p", "reason", unread),
      ),
      this.#message("Request", "request", detail.request),
      detail.response === undefined
        ? el("p", "nothing", detail.state === "failed" ? "No answer" : "Waiting for the answer")
        : this.#message(
          "Response",
          "response",
          detail.response,
          `${detail.response.proto} ${detail.response.status}`,
        ),
    );
    // What had the focus is no longer there: the keyboard goes on here, not at the top of the page.
    if (focused) this.#root.focus({ preventScroll: true });
  }

  #message(
    title: string,
    side: "request" | "response",
    message: MessageJson,
    line: string = message.proto,
  ): HTMLElement {
    const headers = this.#headers(side, message);
    return el(
      "section",
      "message",
      el("h3", {}, title, el("span", {}, line)),
      el(
        "table",
        "headers",
        el(
          "tbody",
          {},
          ...headers.map((header, at) =>
            el(
              "tr",
              {},
              el("th", { attributes: { scope: "row" } }, header.name),
              el(
                "td",
                {},
                header.masked
                  ? button(header.value, () => void this.#reveal(`${side}.${at}`), {
                    class: "masked",
                    title: "Click to reveal",
                    attributes: { "aria-label": `Reveal ${header.name}` },
                  })
                  : header.value,
              ),
            )
          ),
        ),
      ),
      bodyView(message.body),
    );
  }

  /** The headers, with what has been revealed in its place. */
  #headers(side: string, message: MessageJson): HeaderJson[] {
    return message.header_list.map((header, at) => {
      const value = this.#revealed.get(`${side}.${at}`);
      return value === undefined ? header : { name: header.name, value };
    });
  }

  async #reveal(field: string): Promise<void> {
    const detail = this.#shown;
    if (detail === undefined) return;
    try {
      const value = await server.secret(detail.id, field);
      if (this.#shown?.id !== detail.id) return;
      this.#revealed.set(field, value);
      this.#draw(this.#shown);
    } catch (error) {
      toast(said(error));
    }
  }
}

/** Waiting and receiving, in proportion. */
function timing(detail: RequestDetail): HTMLElement {
  const total = detail.total_ms;
  const first = detail.first_byte_ms;
  const bar = el("div", "timing");
  if (first === undefined) {
    bar.append(
      el("span", "label", total === undefined ? "" : `ended after ${durationText(total)}`),
    );
    return bar;
  }
  const wait = el("span", "wait");
  const receive = el("span", "receive");
  const share = total === undefined || total === 0 ? 100 : (100 * first) / total;
  wait.style.width = `${share}%`;
  receive.style.width = `${100 - share}%`;
  const receiving = total === undefined ? "…" : durationText(total - first);
  bar.append(
    el("span", { class: "bar", attributes: { "aria-hidden": "true" } }, wait, receive),
    el(
      "span",
      "label",
      `first byte ${durationText(first)} · receiving ${receiving}`,
      total === undefined ? "" : ` · total ${durationText(total)}`,
    ),
  );
  return bar;
}

function said(error: unknown): string {
  return error instanceof Refused ? error.message : "czctl does not answer";
}
