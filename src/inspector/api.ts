/** Every route of the inspector. */
import type { SessionInfo } from "../model/control.ts";
import { CzctlError } from "../model/errors.ts";
import { type Access, cookieName, cookiesOf, randomText, refusal } from "./access.ts";
import { answer, json, problem } from "./answers.ts";
import type { Attention } from "./attention.ts";
import type { LiveEvents } from "./events.ts";
import { sessionFacts } from "./facts.ts";
import { metricsText } from "./metrics.ts";
import { ASSETS } from "./page/assets.ts";
import type { Replayer } from "./replay.ts";
import { detailOf, matches, type RequestFilter, secretOf, summaryOf } from "./request_view.ts";
import type { RequestStore } from "./store.ts";
import { tunnelsOf } from "./tunnels.ts";

/** Most bytes of a request to the inspector itself. */
const MAX_BODY = 4096;
/** Requests told at once unless `limit` says otherwise; the same as the ngrok agent. */
const DEFAULT_LIMIT = 50;

export interface ApiContext {
  readonly version: string;
  readonly port: () => number;
  readonly sessions: () => readonly SessionInfo[];
  readonly access: Access;
  readonly attention: Attention;
  readonly store: RequestStore;
  readonly events: LiveEvents;
  readonly replayer: Replayer;
}

interface Asked {
  readonly request: Request;
  readonly path: string;
  readonly query: URLSearchParams;
  /** The request holds the token. */
  readonly full: boolean;
}

type Answering = Response | Promise<Response>;
type Route = (context: ApiContext, asked: Asked, id: string) => Answering;

const EVENTS = "/api/events";

/** `[method, path, who, what]`; `*` in a path stands for one segment, handed over decoded. */
const ROUTES: readonly (readonly [string, string, "anybody" | "holder", Route])[] = [
  ["GET", "/api/status", "anybody", status],
  ["GET", "/api/sessions", "anybody", sessions],
  ["GET", "/api/tunnels", "anybody", tunnels],
  ["GET", "/api/tunnels/*", "anybody", tunnel],
  ["GET", EVENTS, "anybody", events],
  ["GET", "/metrics", "anybody", metrics],
  ["POST", "/api/capture", "holder", capture],
  ["GET", "/api/requests/http", "holder", requests],
  ["POST", "/api/requests/http", "holder", replay],
  ["DELETE", "/api/requests/http", "holder", clear],
  ["GET", "/api/requests/http/*", "holder", oneRequest],
  ["GET", "/api/requests/http/*/secret", "holder", secret],
];

/**
 * The answer to any request. The browser's cookie is bound to a path nobody
 * else's page has, `/t/RANDOM/`, because cookies are sent to every port of
 * localhost; under it is the same as under `/`.
 */
export function handle(context: ApiContext, request: Request): Answering {
  const url = new URL(request.url);
  const path = url.pathname.replace(/^\/t\/[\w-]{1,64}(?=\/)/, "");
  const navigable = path === "/";
  const refused = refusal(request, context.port(), navigable);
  if (refused !== undefined) return problem(403, refused);
  // wait-on and the like ask for heads alone; the server leaves the body out.
  const method = request.method === "HEAD" && path !== EVENTS ? "GET" : request.method;
  const asset = ASSETS[path];
  if (asset !== undefined) {
    if (method !== "GET") return notAllowed(["GET"]);
    const code = url.searchParams.get("code");
    if (navigable && code !== null && request.method === "GET") {
      return enter(context, request, code);
    }
    return answer(200, asset.text, { "content-type": asset.type });
  }
  const tokens = cookiesOf(request.headers, cookieName(context.port()));
  const full = tokens.some((token) => context.access.accepts(token));
  const asked = { request, path, query: url.searchParams, full };
  const allowed: string[] = [];
  for (const [wanted, pattern, who, route] of ROUTES) {
    const id = match(pattern, path);
    if (id === undefined) continue;
    allowed.push(wanted);
    if (wanted !== method) continue;
    if (who === "holder" && !full) {
      return problem(401, "This needs the token", "Open the inspector with: czctl inspect");
    }
    return route(context, asked, id);
  }
  return allowed.length > 0 ? notAllowed(allowed) : problem(404, "Nothing here");
}

function match(pattern: string, path: string): string | undefined {
  const wanted = pattern.split("/");
  const parts = path.split("/");
  if (wanted.length !== parts.length) return undefined;
  let id = "";
  for (const [at, want] of wanted.entries()) {
    const part = parts[at]!;
    if (want !== "*") {
      if (want !== part) return undefined;
      continue;
    }
    try {
      id = decodeURIComponent(part);
    } catch {
      return undefined;
    }
  }
  return id;
}

function notAllowed(methods: readonly string[]): Response {
  return answer(405, null, { allow: methods.join(", ") });
}

/** Trades the one-time code of the address for the token. */
function enter(context: ApiContext, request: Request, code: string): Response {
  // A browser that loads the address before the user has chosen it must not use the code up.
  if (/prefetch|prerender/i.test(request.headers.get("sec-purpose") ?? "")) {
    return problem(503, "Not in advance");
  }
  const token = context.access.trade(code);
  if (token === undefined) return answer(303, null, { location: "/#expired" });
  const home = `/t/${randomText(16)}/`;
  const cookie = `${cookieName(context.port())}=${token}; Path=${home}; HttpOnly; SameSite=Strict`;
  return answer(303, null, { location: home, "set-cookie": cookie });
}

function status(context: ApiContext, { full }: Asked): Response {
  const { version, attention, store } = context;
  return json(200, {
    status: "online",
    version,
    uri: "/api/status",
    authorized: full,
    sessions: context.sessions().length,
    capture: { mode: attention.mode, watching: attention.watching, ...usage(store) },
  });
}

function usage(store: RequestStore) {
  return { kept: store.size, bytes: store.bytes, total: store.count, limits: store.limits };
}

function sessions(context: ApiContext, { full }: Asked): Response {
  const facts = context.sessions().map((session) => sessionFacts(session, full));
  return json(200, { uri: "/api/sessions", sessions: facts });
}

function tunnels({ sessions, attention }: ApiContext): Response {
  return json(200, { uri: "/api/tunnels", tunnels: tunnelsOf(sessions(), attention.watching) });
}

function tunnel({ sessions, attention }: ApiContext, _: Asked, name: string): Response {
  const found = tunnelsOf(sessions(), attention.watching).find((tunnel) => tunnel.name === name);
  return found === undefined ? problem(404, "There is no such tunnel") : json(200, found);
}

function events({ events, attention }: ApiContext, { full }: Asked): Response {
  return events.listen(full, full ? attention.enter() : () => {});
}

function metrics({ sessions, store }: ApiContext): Response {
  const type = "text/plain; version=0.0.4; charset=utf-8";
  return answer(200, metricsText(sessions(), store.count), { "content-type": type });
}

async function capture(context: ApiContext, { request }: Asked): Promise<Response> {
  const body = await jsonBody(request);
  if (body instanceof Response) return body;
  const { mode } = body;
  if (mode !== "auto" && mode !== "on" && mode !== "off") {
    return problem(400, 'The mode must be "auto", "on" or "off"');
  }
  context.attention.mode = mode;
  const now = { mode, watching: context.attention.watching };
  context.events.publish("capture", now);
  return json(200, now);
}

function requests({ store, attention }: ApiContext, { query }: Asked): Response {
  attention.touch();
  const limit = Number(query.get("limit") ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1) return problem(400, "The limit must be a number");
  const filter: { -readonly [K in keyof RequestFilter]: RequestFilter[K] } = {};
  for (const key of ["method", "status", "path", "service"] as const) {
    const value = query.get(key);
    if (value !== null) filter[key] = value;
  }
  const tunnel = query.get("tunnel_name");
  if (tunnel !== null) filter.tunnel = tunnel;
  const found = [];
  for (const exchange of store.newest()) {
    if (found.length >= limit) break;
    if (matches(exchange, filter)) found.push(summaryOf(exchange));
  }
  return json(200, {
    uri: "/api/requests/http",
    requests: found,
    unreadable: store.others,
    ...usage(store),
  });
}

function oneRequest({ store, attention }: ApiContext, _: Asked, id: string): Response {
  attention.touch();
  const exchange = store.get(id);
  return exchange === undefined ? gone() : json(200, detailOf(exchange));
}

function secret({ store }: ApiContext, { query }: Asked, id: string): Response {
  const exchange = store.get(id);
  const value = exchange && secretOf(exchange, query.get("field") ?? "");
  return value === undefined ? gone() : json(200, { value });
}

async function replay(context: ApiContext, { request }: Asked): Promise<Response> {
  const body = await jsonBody(request);
  if (body instanceof Response) return body;
  context.attention.touch();
  const exchange = context.store.get(String(body.id));
  if (exchange === undefined) return gone();
  try {
    const result = await context.replayer.replay(exchange);
    let captured: string | undefined;
    for (const newer of context.store.newest()) {
      if (newer.replayOf !== exchange.id) continue;
      captured = newer.id;
      break;
    }
    return json(200, { ...result, ...(captured === undefined ? {} : { id: captured }) });
  } catch (error) {
    if (error instanceof CzctlError) return problem(409, error.message, error.hint);
    throw error;
  }
}

function clear({ store, events }: ApiContext): Response {
  store.clear();
  events.cleared();
  return answer(204, null);
}

function gone(): Response {
  return problem(404, "There is no such request any more");
}

/** The JSON object a request carries, or the answer that refuses it. */
async function jsonBody(request: Request): Promise<Record<string, unknown> | Response> {
  // A type no form can send: a page elsewhere would have to ask first, and is refused then.
  if (!/^application\/json *(;|$)/i.test(request.headers.get("content-type") ?? "")) {
    return problem(415, "The body must be application/json");
  }
  const length = Number(request.headers.get("content-length") ?? NaN);
  if (!(length <= MAX_BODY)) return problem(413, "The body is too large");
  try {
    const value: unknown = await request.json();
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  return problem(400, "The body must be a JSON object");
}
