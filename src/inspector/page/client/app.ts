/** The page: follows the live stream and hands what it says to the panes. */
import { portKey, type SessionFacts, type Traffic } from "../../facts.ts";
import { byId, el } from "./dom.ts";
import { count } from "./format.ts";
import { follow } from "./live.ts";
import { ServicesPane } from "./services.ts";
import { TrafficBook } from "./traffic.ts";

const traffic = new TrafficBook();
const services = new ServicesPane(traffic, { filterRequests: () => {} });
let sessions: readonly SessionFacts[] = [];
let connected = true;

follow({
  sessions(now: readonly SessionFacts[]) {
    sessions = now;
    traffic.reset(now, (session, { service, port }) => portKey(session, service, port));
    services.show(now);
    banners();
    const total = now.reduce((sum, session) => sum + session.services.length, 0);
    byId("summary").textContent = now.length === 0
      ? ""
      : `${count(now.length, "session")}, ${count(total, "service")}`;
  },
  traffic(changes: Readonly<Record<string, Traffic>>) {
    traffic.update(changes);
  },
}, (alive) => {
  connected = alive;
  banners();
});

setInterval(() => {
  traffic.tick();
  if (!document.hidden) services.refresh();
}, 1000);

function banners(): void {
  const lost = connected ? [] : [
    el("p", "banner", "czctl has stopped, or cannot be reached. This page comes back by itself."),
  ];
  const unreachable = sessions.filter((session) => !session.cluster.reachable).map((session) => {
    const { since, reason } = session.cluster;
    const last = since === undefined
      ? ""
      : ` It last did at ${new Date(since).toLocaleTimeString()}.`;
    const why = reason === undefined ? "" : ` (${reason})`;
    const name = session.context ?? session.workload.namespace;
    return el("p", "banner", `The cluster of ${name} does not answer${why}.${last}`);
  });
  byId("banners").replaceChildren(...lost, ...unreachable);
}
