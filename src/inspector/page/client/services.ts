/** The left side: sessions, their services and what flows. */
import { portKey, type SessionFacts } from "../../facts.ts";
import { button, byId, copyable, el } from "./dom.ts";
import { ageText, bytesText, count } from "./format.ts";
import { Sparkline } from "./spark.ts";
import type { TrafficBook } from "./traffic.ts";

type Service = SessionFacts["services"][number];

export interface ServicesActions {
  /** Show only requests of this service (`namespace/name`). */
  readonly filterRequests: (service: string) => void;
}

/** A row whose figures are refreshed every second. */
interface Row {
  readonly keys: readonly string[];
  readonly text: string;
  readonly element: HTMLElement;
  readonly refresh: () => void;
}

export class ServicesPane {
  readonly #root = byId("services");
  readonly #traffic: TrafficBook;
  readonly #actions: ServicesActions;
  readonly #list = el("div", "session-list");
  readonly #search = el("input", {
    class: "search",
    attributes: {
      type: "search",
      placeholder: "Find a service, name or address",
      "aria-label": "Find a service",
      autocomplete: "off",
      spellcheck: "false",
    },
    on: { input: () => this.#filter() },
  });
  /** What is unfolded; kept over changes. */
  readonly #unfolded = new Set<string>();
  #rows: Row[] = [];

  constructor(traffic: TrafficBook, actions: ServicesActions) {
    this.#traffic = traffic;
    this.#actions = actions;
    this.#root.append(this.#search, this.#list);
  }

  show(sessions: readonly SessionFacts[]): void {
    const focused = (document.activeElement as HTMLElement | null)?.dataset?.["key"];
    this.#rows = [];
    const total = sessions.reduce((sum, session) => sum + session.services.length, 0);
    this.#search.hidden = total < 8;
    this.#list.replaceChildren(
      ...(sessions.length === 0
        ? [noSession()]
        : sessions.map((session) => this.#session(session))),
    );
    this.#filter();
    this.refresh();
    if (focused === undefined) return;
    for (const element of this.#list.querySelectorAll<HTMLElement>("[data-key]")) {
      if (element.dataset["key"] === focused) element.focus();
    }
  }

  /** New figures into the rows. */
  refresh(): void {
    for (const row of this.#rows) row.refresh();
  }

  #session(session: SessionFacts): HTMLElement {
    const { workload } = session;
    const lost = new Set(session.lost?.map(({ namespace }) => namespace));
    const gone = session.namespaces.every((namespace) => lost.has(namespace));
    const state = !session.cluster.reachable
      ? "cluster unreachable"
      : gone
      ? "namespace gone"
      : session.state === "ready"
      ? "connected"
      : session.state;
    const more = el("p", "more");
    this.#rows.push({
      keys: [],
      text: "",
      element: more,
      refresh: () => {
        const text = [
          session.context,
          session.namespaces[0] === ALL ? "all namespaces" : undefined,
          count(session.services.length, "service"),
          `open for ${ageText(Date.now() - Date.parse(session.createdAt))}`,
        ].filter((part) => part !== undefined).join(" · ");
        if (more.textContent !== text) more.textContent = text;
      },
    });
    const name = workload.kind === "namespace"
      ? workload.name
      : `${workload.kind}/${workload.name}`;
    return el(
      "article",
      "session",
      el(
        "header",
        {},
        el(
          "h2",
          { title: `Session ${session.id}` },
          name,
          el("span", "in", workload.kind === "namespace" ? "namespace" : workload.namespace),
        ),
        el(
          "span",
          `state ${session.cluster.reachable && !gone ? session.state : "bad"}`,
          state,
        ),
        more,
        ...(session.envFile === undefined ? [] : [envFile(session.envFile)]),
      ),
      el("div", "services", ...session.services.map((service) => this.#service(session, service))),
      ...((session.notes ?? []).length === 0 ? [] : [this.#notes(session.id, session.notes!)]),
    );
  }

  #notes(session: string, notes: readonly string[]): HTMLElement {
    const key = `${session}/notes`;
    return this.#foldable(
      key,
      el(
        "details",
        "notes",
        el("summary", { attributes: { "data-key": key } }, count(notes.length, "note")),
        el("ul", {}, ...notes.map((note) => el("li", {}, note))),
      ),
    );
  }

  /** Unfolded as it was before the last change. */
  #foldable(key: string, element: HTMLDetailsElement): HTMLDetailsElement {
    element.open = this.#unfolded.has(key);
    element.addEventListener("toggle", () => {
      if (element.open) this.#unfolded.add(key);
      else this.#unfolded.delete(key);
    });
    return element;
  }

  #service(session: SessionFacts, service: Service): HTMLElement {
    const id = [session.id, service.namespace, service.name, service.pod ?? ""].join("/");
    const keys = service.ports.map((port) => portKey(session.id, service, port));
    const spark = new Sparkline();
    let drawn = "";
    const live = el("span", {
      class: "live",
      title: "Ready pods and open connections, or throughput",
    });
    const health = service.address === undefined
      ? "none"
      : service.readyPods === 0 || service.ports.some((port) => troubleOf(port) !== undefined)
      ? "warn"
      : "good";
    const several = session.namespaces.length > 1 || session.namespaces[0] === ALL;
    const element = el(
      "details",
      `service ${health}`,
      el(
        "summary",
        { attributes: { "data-key": id } },
        el("span", {
          class: "dot",
          title: HEALTH[health],
          attributes: { role: "img", "aria-label": HEALTH[health] },
        }),
        el(
          "span",
          "name",
          service.pod === undefined ? "" : `${service.pod}.`,
          el("b", {}, service.name),
          several ? el("i", {}, `.${service.namespace}`) : "",
        ),
        spark.element,
        el(
          "span",
          "where",
          service.address ?? "no tunnel",
          ...service.ports.map((port) =>
            el(
              "span",
              { class: `port ${port.state}`, title: portTitle(port) },
              `:${port.port}`,
            )
          ),
        ),
        live,
      ),
      this.#inside(service, keys),
    );
    this.#foldable(id, element);
    this.#rows.push({
      keys,
      element,
      text: [service.namespace, service.name, service.pod ?? "", service.address ?? ""]
        .concat(service.names).join(" ").toLowerCase(),
      refresh: () => {
        const now = this.#traffic.rates(keys);
        // Most services are quiet most of the time.
        const quiet = now.history.length === 0 ? String(now.connections) : "";
        if (quiet !== "" && quiet === drawn) return;
        drawn = quiet;
        spark.draw(now.history);
        const flows = now.down + now.up > 0;
        // In the same place, so that nothing moves when traffic begins and ends.
        live.textContent = flows
          ? [arrow("↓", now.down), arrow("↑", now.up)].filter((text) => text !== "").join("  ")
          : [
            service.address === undefined ? "" : count(service.readyPods, "pod"),
            now.connections === 0 ? "" : `${now.connections} open`,
          ].filter((text) => text !== "").join(" · ");
        element.classList.toggle("busy", flows);
      },
    });
    return element;
  }

  #inside(service: Service, keys: readonly string[]): HTMLElement {
    const rows = service.ports.map((port, at) => {
      const cells = [el("td"), el("td"), el("td")];
      this.#rows.push({
        keys: [],
        text: "",
        element: cells[0]!,
        refresh: () => {
          const [connections, down, up] = this.#traffic.figures(keys[at]!);
          cells[0]!.textContent = String(connections);
          cells[1]!.textContent = bytesText(down);
          cells[2]!.textContent = bytesText(up);
        },
      });
      return el(
        "tr",
        {},
        el("th", {}, String(port.port)),
        el("td", {}, port.name),
        el("td", `port ${port.state}`, port.state === "blocked" ? portTitle(port) : port.state),
        ...cells,
      );
    });
    return el(
      "div",
      "inside",
      service.reason === undefined ? undefined : el("p", "reason", service.reason),
      service.aliasOf === undefined
        ? undefined
        : el("p", "reason", `Another name of ${service.aliasOf}, which has the ports`),
      service.names.length === 0 ? undefined : el(
        "ul",
        "names",
        ...service.names.map((name) => el("li", {}, copyable(name))),
        service.address === undefined ? "" : el("li", {}, copyable(service.address)),
      ),
      rows.length === 0 ? undefined : el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ...["Port", "Name", "State", "Open", "Down", "Up"].map((text) =>
              el("th", { attributes: { scope: "col" } }, text)
            ),
          ),
        ),
        el("tbody", {}, ...rows),
      ),
      ...service.ports.flatMap(({ port, lastFailure: failure }) =>
        failure === undefined ? [] : [el(
          "p",
          "reason",
          `The last connection to ${port} failed: ${failure.reason}.`,
          failure.hint === undefined ? "" : ` ${failure.hint}`,
        )]
      ),
      service.skipped.length === 0
        ? undefined
        : el("p", "reason", `Not forwarded: ${service.skipped.join("; ")}`),
      service.address === undefined || service.aliasOf !== undefined ? undefined : button(
        "Only its requests",
        () => this.#actions.filterRequests(`${service.namespace}/${service.name}`),
        { class: "small", attributes: { "data-key": `${keys[0]}/only` } },
      ),
    );
  }

  #filter(): void {
    const wanted = this.#search.hidden ? "" : this.#search.value.trim().toLowerCase();
    for (const row of this.#rows) {
      if (row.text !== "") row.element.hidden = wanted !== "" && !row.text.includes(wanted);
    }
  }
}

function arrow(sign: string, rate: number): string {
  return rate === 0 ? "" : `${sign} ${bytesText(rate)}/s`;
}

type Port = Service["ports"][number];

/** Stands for all namespaces. */
const ALL = "*";

/** The coloured dots in words, for who cannot tell the colours. */
const HEALTH = { good: "works", warn: "has trouble", none: "no tunnel" } as const;

/** Why a program may not be served by a port. */
function troubleOf(port: Port): string | undefined {
  if (port.state === "blocked") return port.reason ?? "cannot be bound";
  return port.lastFailure?.reason;
}

function portTitle(port: Port): string {
  const name = port.name === "" ? "" : `${port.name}: `;
  const why = troubleOf(port) ?? port.reason;
  return `${name}${port.state}${why === undefined ? "" : `, ${why}`}`;
}

function envFile(info: NonNullable<SessionFacts["envFile"]>): HTMLElement {
  const state = info.state === "watching"
    ? ""
    : `, no longer refreshed: ${info.reason ?? "stopped"}`;
  return el("p", "more", `${info.path}: ${count(info.variables, "variable")}${state}`);
}

function noSession(): HTMLElement {
  return el(
    "div",
    "empty",
    el("h2", {}, "No session is open"),
    el("p", {}, "Bring a cluster's services to this machine; they appear here at once:"),
    copyable("czctl teleport deployment NAME -n NAMESPACE", "copyable command"),
  );
}
