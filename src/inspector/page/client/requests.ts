/** The middle: what passed, the newest on top. */
import type { OtherConnections } from "../../store.ts";
import type { RequestSummary } from "../../request_json.ts";
import { button, byId, copyable, el } from "./dom.ts";
import { bytesText, clockText, count, durationText } from "./format.ts";

/** As many as czctl keeps. */
const MAX_ROWS = 500;

export interface RequestsActions {
  readonly choose: (id: string | undefined) => void;
  readonly clear: () => void;
  readonly captureOn: () => void;
}

export interface CaptureState {
  readonly mode: "auto" | "on" | "off";
}

interface Row {
  summary: RequestSummary;
  readonly element: HTMLButtonElement;
}

export class RequestsPane {
  readonly #root = byId("requests");
  readonly #actions: RequestsActions;
  readonly #rows = new Map<string, Row>();
  readonly #list = el("div", "requests");
  readonly #empty = el("div", "empty");
  readonly #unreadable = el("details", "unreadable");
  readonly #count = el("span", "count");
  readonly #path = el("input", {
    class: "search",
    attributes: {
      type: "search",
      placeholder: "Filter by path  ( / )",
      "aria-label": "Filter by path",
      autocomplete: "off",
      spellcheck: "false",
    },
    on: { input: () => this.#filter() },
  });
  readonly #method = choice("Method", () => this.#filter());
  readonly #status = choice("Status", () => this.#filter());
  readonly #service = choice("Service", () => this.#filter());
  readonly #toolbar = el(
    "div",
    "toolbar",
    this.#path,
    this.#method,
    this.#status,
    this.#service,
    this.#count,
    button("Clear", () => this.#actions.clear(), { class: "small", title: "Forget all requests" }),
  );
  #chosen: string | undefined;
  #locked = true;
  #capture: CaptureState = { mode: "auto" };

  constructor(actions: RequestsActions) {
    this.#actions = actions;
    options(this.#status, "Any status", ["2xx", "3xx", "4xx", "5xx", "failed"]);
    this.#choices();
    this.#root.append(this.#toolbar, this.#empty, this.#list, this.#unreadable);
    this.#list.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") this.step(1);
      else if (event.key === "ArrowUp") this.step(-1);
      else return;
      event.preventDefault();
    });
    this.#refresh();
  }

  get chosen(): string | undefined {
    return this.#chosen;
  }

  unlock(authorized: boolean): void {
    this.#locked = !authorized;
    if (this.#locked) this.reset([]);
    this.#refresh();
  }

  captureIs(state: CaptureState): void {
    this.#capture = state;
    this.#refresh();
  }

  /** All there is, in any order. */
  reset(summaries: readonly RequestSummary[]): void {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.update(summaries);
  }

  /** New requests and new facts about known ones. */
  update(summaries: readonly RequestSummary[]): void {
    for (const summary of [...summaries].sort((a, b) => Number(a.id) - Number(b.id))) {
      const known = this.#rows.get(summary.id);
      if (known !== undefined) {
        known.summary = summary;
        fill(known.element, summary);
        continue;
      }
      const element = el("button", {
        class: "request",
        attributes: { type: "button" },
        on: { click: () => this.choose(summary.id) },
      });
      fill(element, summary);
      if (summary.id === this.#chosen) element.setAttribute("aria-current", "true");
      this.#rows.set(summary.id, { summary, element });
      this.#list.prepend(element);
    }
    for (const [id, row] of this.#rows) {
      if (this.#rows.size <= MAX_ROWS) break;
      if (id === this.#chosen) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    this.#choices();
    this.#filter();
  }

  unreadable(others: readonly OtherConnections[]): void {
    const total = others.reduce((sum, other) => sum + other.count, 0);
    this.#unreadable.hidden = total === 0;
    const items = others.map(({ service, namespace, port, reason, count }) =>
      el("li", {}, `${service}.${namespace}:${port} · ${reason} · ${count}`)
    );
    this.#unreadable.replaceChildren(
      el("summary", {}, `${count(total, "connection")} in other protocols than HTTP/1.1`),
      el("ul", {}, ...items),
    );
  }

  filterService(service: string): void {
    if (![...this.#service.options].some((option) => option.value === service)) {
      this.#service.append(el("option", { attributes: { value: service } }, service));
    }
    this.#service.value = service;
    this.#filter();
    this.#service.focus();
  }

  focusFilter(): void {
    this.#path.focus();
    this.#path.select();
  }

  choose(id: string | undefined): void {
    if (this.#chosen !== undefined) {
      const left = this.#rows.get(this.#chosen)?.element;
      left?.removeAttribute("aria-current");
      // What is about to be hidden must not take the focus with it.
      if (id === undefined && byId("detail").contains(document.activeElement)) left?.focus();
    }
    this.#chosen = id;
    const row = id === undefined ? undefined : this.#rows.get(id);
    row?.element.setAttribute("aria-current", "true");
    row?.element.scrollIntoView({ block: "nearest" });
    this.#actions.choose(id);
  }

  /** Chooses the next or previous request that is shown. */
  step(by: number): void {
    const shown = [...this.#rows.values()].reverse().filter((row) => !row.element.hidden);
    if (shown.length === 0) return;
    const at = shown.findIndex((row) => row.summary.id === this.#chosen);
    const next = shown[at === -1 ? 0 : Math.min(shown.length - 1, Math.max(0, at + by))]!;
    next.element.focus();
    this.choose(next.summary.id);
  }

  #filter(): void {
    const path = this.#path.value.trim().toLowerCase();
    const [method, status, service] = [this.#method, this.#status, this.#service]
      .map((select) => select.value);
    let shown = 0;
    for (const { summary, element } of this.#rows.values()) {
      const fits = (path === "" || (summary.path + summary.query).toLowerCase().includes(path)) &&
        (method === "" || summary.method === method) &&
        (status === "" || statusFits(summary, status!)) &&
        (service === "" || `${summary.namespace}/${summary.service}` === service);
      element.hidden = !fits;
      if (fits) shown++;
    }
    const total = this.#rows.size;
    this.#count.textContent = shown === total ? count(total, "request") : `${shown} of ${total}`;
    this.#refresh(shown);
  }

  #choices(): void {
    const summaries = [...this.#rows.values()].map((row) => row.summary);
    options(this.#method, "Any method", summaries.map((summary) => summary.method));
    const services = summaries.map((summary) => `${summary.namespace}/${summary.service}`);
    options(this.#service, "Any service", services);
  }

  #refresh(shown = this.#rows.size): void {
    this.#toolbar.hidden = this.#locked;
    this.#list.hidden = this.#locked;
    if (this.#locked) this.#unreadable.hidden = true;
    this.#empty.hidden = !this.#locked && shown > 0;
    if (this.#empty.hidden) return;
    this.#empty.replaceChildren(...this.#emptyText());
  }

  #emptyText(): Node[] {
    if (this.#locked) {
      return [
        el("h2", {}, "Requests are for your eyes only"),
        el("p", {}, "Any program here can open this address. To see contents, run:"),
        copyable("czctl inspect", "copyable command"),
      ];
    }
    if (this.#rows.size > 0) return [el("p", {}, "No request fits the filter.")];
    if (this.#capture.mode === "off") {
      return [
        el("h2", {}, "Capture is off"),
        el("p", {}, "Traffic passes unseen, as fast as it can."),
        button("Turn it on", () => this.#actions.captureOn(), { class: "small command" }),
      ];
    }
    return [
      el("h2", {}, "Waiting for requests"),
      el(
        "p",
        {},
        "HTTP/1.1 requests on new connections appear here while this page is open. " +
          "Connections that were open before are not seen.",
      ),
    ];
  }
}

function choice(label: string, changed: () => void): HTMLSelectElement {
  return el("select", { attributes: { "aria-label": label }, on: { change: changed } });
}

/** Sets what can be chosen, and keeps what is. */
function options(select: HTMLSelectElement, any: string, values: readonly string[]): void {
  const wanted = [...new Set(values)].sort();
  const now = select.value;
  if (now !== "" && !wanted.includes(now)) wanted.push(now);
  const known = [...select.options].map((option) => option.value);
  if (known.length === wanted.length + 1 && wanted.every((value, at) => known[at + 1] === value)) {
    return;
  }
  select.replaceChildren(
    el("option", { attributes: { value: "" } }, any),
    ...wanted.map((value) => el("option", { attributes: { value } }, value)),
  );
  select.value = now;
}

function statusFits(summary: RequestSummary, wanted: string): boolean {
  if (wanted === "failed") return summary.state === "failed";
  return summary.status !== undefined && String(summary.status)[0] === wanted[0];
}

export function statusClass(summary: RequestSummary): string {
  if (summary.state === "failed") return "failed";
  if (summary.status === undefined) return "pending";
  return `s${String(summary.status)[0]}`;
}

export function statusText(summary: RequestSummary): string {
  if (summary.status !== undefined) return String(summary.status);
  return summary.state === "failed" ? "failed" : "…";
}

function fill(element: HTMLButtonElement, summary: RequestSummary): void {
  element.replaceChildren(
    el("span", `status ${statusClass(summary)}`, statusText(summary)),
    el("span", "method", summary.method),
    el(
      "span",
      "path",
      summary.path,
      el("i", {}, summary.query),
      summary.upgraded === undefined ? "" : el("em", {}, summary.upgraded),
      summary.replay_of === undefined ? "" : el("em", {}, "replay"),
    ),
    el(
      "span",
      { class: "to", title: `${summary.service}.${summary.namespace}:${summary.port}` },
      summary.service,
    ),
    el("span", "size", summary.status === undefined ? "" : bytesText(summary.response_size)),
    el("span", "took", summary.total_ms === undefined ? "" : durationText(summary.total_ms)),
    el("span", "when", clockText(summary.start).slice(0, 8)),
  );
}
