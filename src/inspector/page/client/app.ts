/** The page: follows the live stream and hands what it says to the panes. */
import { lostText } from "../../../model/control.ts";
import { portKey, type SessionFacts, type Traffic } from "../../facts.ts";
import type { RequestSummary } from "../../request_json.ts";
import type { OtherConnections } from "../../store.ts";
import { DetailPane } from "./detail.ts";
import { byId, el, toast } from "./dom.ts";
import { count } from "./format.ts";
import { listenToKeys } from "./keys.ts";
import { follow } from "./live.ts";
import { type CaptureState, RequestsPane } from "./requests.ts";
import { type CaptureMode, server } from "./server.ts";
import { ServicesPane } from "./services.ts";
import { goHome, rememberHome, themeButton } from "./settings.ts";
import { TrafficBook } from "./traffic.ts";

interface Hello {
  readonly version: string;
  readonly authorized: boolean;
  readonly capture: CaptureState;
}

themeButton();
if (!goHome()) start();

function start(): void {
  const traffic = new TrafficBook();
  const services = new ServicesPane(traffic, {
    filterRequests: (service) => requests.filterService(service),
  });
  const detail = new DetailPane({
    close: () => requests.choose(undefined),
    open: (id) => requests.choose(id),
    hostOf: ({ session, namespace, service }) => {
      const found = sessions.filter(({ id }) => session === undefined || id === session)
        .flatMap(({ services }) => services)
        .find((known) =>
          known.namespace === namespace && known.name === service && known.pod === undefined
        );
      return found?.names[0] ?? found?.address ?? `${service}.${namespace}`;
    },
  });
  const requests = new RequestsPane({
    choose: (id) => void detail.show(id),
    clear: () => orSay(server.clear()),
    captureOn: () => setCapture("auto"),
  });
  const capture = captureChoice(setCapture);
  let sessions: readonly SessionFacts[] = [];
  let connected = true;
  let unlocked = false;
  let expired = location.hash === "#expired";

  function setCapture(mode: CaptureMode): void {
    orSay(server.capture(mode));
  }

  function captureIs(state: CaptureState): void {
    capture.value = state.mode;
    requests.captureIs(state);
  }

  const showBanners = () => banners(sessions, connected, expired);

  follow({
    async hello({ authorized, capture: state, version }: Hello) {
      unlocked = authorized;
      traffic.clear();
      rememberHome(authorized);
      if (authorized) expired = false;
      byId("capture").hidden = !authorized;
      byId("version").textContent = version;
      captureIs(state);
      requests.unlock(authorized);
      showBanners();
      if (!authorized) return detail.show(undefined);
      try {
        const known = await server.requests();
        requests.reset(known.requests);
        requests.unreadable(known.unreadable);
      } catch {
        // The stream breaks too, then, and begins again with a hello.
      }
    },
    sessions(now: readonly SessionFacts[]) {
      sessions = now;
      traffic.reset(now, (session, { service, port }) => portKey(session, service, port));
      services.show(now);
      showBanners();
      const total = now.reduce((sum, session) => sum + session.services.length, 0);
      const text = `${count(now.length, "session")}, ${count(total, "service")}`;
      byId("summary").textContent = now.length === 0 ? "" : text;
    },
    traffic: (changes: Readonly<Record<string, Traffic>>) => traffic.update(changes),
    requests(changed: readonly RequestSummary[]) {
      requests.update(changed);
      if (changed.some(({ id }) => id === requests.chosen)) void detail.show(requests.chosen);
    },
    unreadable: (others: readonly OtherConnections[]) => requests.unreadable(others),
    cleared() {
      requests.reset([]);
      requests.choose(undefined);
    },
    capture: captureIs,
  }, (alive) => {
    connected = alive;
    showBanners();
  }, () => unlocked);

  setInterval(() => {
    traffic.tick();
    if (!document.hidden) services.refresh();
  }, 1000);

  // A token nobody uses for half a day ends; a page left open overnight uses it.
  setInterval(() => void server.status().catch(() => {}), 60 * 60_000);

  listenToKeys({
    "/": ["Filter by path", () => requests.focusFilter()],
    j: ["Next request", () => requests.step(1)],
    k: ["Previous request", () => requests.step(-1)],
    r: ["Replay the chosen request", () => void detail.replay()],
    c: ["Copy it as curl", () => detail.copyAsCurl()],
    Escape: ["Close it", () => requests.choose(undefined)],
  });
}

function captureChoice(change: (mode: CaptureMode) => void): HTMLSelectElement {
  const modes: readonly (readonly [CaptureMode, string, string])[] = [
    ["auto", "while this page is open", "New connections are captured while this page is open"],
    ["on", "always", "New connections are captured, with or without this page"],
    ["off", "off", "Nothing is captured"],
  ];
  const select = el(
    "select",
    {
      attributes: { "aria-label": "Capture" },
      on: { change: () => change(select.value as CaptureMode) },
    },
    ...modes.map(([mode, text, title]) =>
      el("option", { title, attributes: { value: mode } }, text)
    ),
  );
  byId("capture").append(el("label", {}, "Capture ", select));
  return select;
}

function banners(sessions: readonly SessionFacts[], connected: boolean, expired: boolean): void {
  const texts: string[] = [];
  if (!connected) {
    texts.push("czctl has stopped, or cannot be reached. This page comes back by itself.");
  }
  if (expired) {
    texts.push("That address was used already or is older than a minute. Run: czctl inspect");
  }
  for (const { cluster, context, lost, workload } of sessions) {
    for (const gone of lost ?? []) {
      texts.push(`${lostText(gone)}. The session goes on if it is made again.`);
    }
    if (cluster.reachable) continue;
    const { since, reason } = cluster;
    const last = since === undefined
      ? ""
      : ` It last did at ${new Date(since).toLocaleTimeString()}.`;
    const why = reason === undefined ? "" : ` (${reason})`;
    texts.push(`The cluster of ${context ?? workload.namespace} does not answer${why}.${last}`);
  }
  const root = byId("banners");
  // The same text set again would be read out again.
  if ([...root.children].map((child) => child.textContent).join("\n") === texts.join("\n")) return;
  root.replaceChildren(...texts.map((text) => el("p", "banner", text)));
}

function orSay(work: Promise<unknown>): void {
  work.catch((error) => toast(error instanceof Error ? error.message : String(error)));
}
