/** Captured requests as the API tells them: names as in the ngrok agent's API, secrets masked. */
import { Buffer } from "node:buffer";
import { bodyJson } from "./body_text.ts";
import { type Exchange, keptBytes, splitTarget } from "./exchange.ts";
import type { Header } from "./http1.ts";
import type { HeaderJson, RequestDetail, RequestSummary } from "./request_json.ts";
import { isSecretHeader, MASK, maskTarget } from "./secrets.ts";

/** Heads are kept one byte a character; programs mean UTF-8 where it is, as `curl http://web/ü` sends it. */
function readable(text: string): string {
  if (!/[\u0080-\u00ff]/.test(text)) return text;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(Buffer.from(text, "latin1"));
  } catch {
    return text;
  }
}

export function summaryOf(exchange: Exchange): RequestSummary {
  const { id, connection, request, response } = exchange;
  const { path, query } = splitTarget(maskTarget(readable(request.target)).target);
  const type = response?.headers.find(([name]) => name.toLowerCase() === "content-type")?.[1];
  return {
    id,
    uri: `/api/requests/http/${id}`,
    ...(connection.session === undefined ? {} : { session: connection.session }),
    namespace: connection.namespace,
    service: connection.service,
    port: connection.port,
    pod: connection.pod,
    start: new Date(exchange.startedAt).toISOString(),
    method: request.method,
    path,
    query,
    state: exchange.state,
    ...(response === undefined ? {} : { status: response.status }),
    ...(type === undefined ? {} : { content_type: type }),
    request_size: request.body.size,
    response_size: response?.body.size ?? 0,
    ...(exchange.firstByteMs === undefined ? {} : { first_byte_ms: exchange.firstByteMs }),
    ...(exchange.totalMs === undefined ? {} : { total_ms: exchange.totalMs }),
    ...(exchange.upgraded === undefined ? {} : { upgraded: exchange.upgraded }),
    ...(exchange.replayOf === undefined ? {} : { replay_of: exchange.replayOf }),
    ...(exchange.error === undefined ? {} : { error: exchange.error }),
  };
}

export function detailOf(exchange: Exchange): RequestDetail {
  const { request, response, connection } = exchange;
  const uri = maskTarget(readable(request.target));
  return {
    ...summaryOf(exchange),
    tunnel_name: `${connection.service}.${connection.namespace}:${connection.port}`,
    duration: Math.round((exchange.totalMs ?? 0) * 1e6),
    request: {
      method: request.method,
      uri: uri.target,
      uri_masked: uri.masked,
      ...messageJson(request, `${request.method} ${uri.target} HTTP/${request.version}`),
    },
    ...(response === undefined ? {} : {
      response: {
        status: `${response.status} ${response.reason}`.trim(),
        status_code: response.status,
        ...messageJson(response, `HTTP/${response.version} ${response.status} ${response.reason}`),
      },
    }),
  };
}

function messageJson(
  message: Exchange["request"] | NonNullable<Exchange["response"]>,
  start: string,
) {
  const list = message.headers.map(masked);
  const headers = Object.create(null) as Record<string, string[]>;
  for (const { name, value } of list) (headers[name] ??= []).push(value);
  const head = [start, ...list.map(({ name, value }) => `${name}: ${value}`), "", ""].join("\r\n");
  return {
    proto: `HTTP/${message.version}`,
    headers,
    header_list: list,
    body: bodyJson(message.body, message.headers),
    raw: Buffer.concat([Buffer.from(head), keptBytes(message.body)]).toString("base64"),
  };
}

function masked([name, value]: Header): HeaderJson {
  return isSecretHeader(name) && value !== ""
    ? { name, value: MASK, masked: true }
    : { name, value: readable(value) };
}

/**
 * One value that is masked in `detailOf`: `uri`, or `request.3` and
 * `response.0` for headers by their place. Undefined when there is none.
 */
export function secretOf(exchange: Exchange, field: string): string | undefined {
  if (field === "uri") return readable(exchange.request.target);
  const match = /^(request|response)\.(\d{1,4})$/.exec(field);
  if (match === null) return undefined;
  const value = exchange[match[1] as "request" | "response"]?.headers[Number(match[2])]?.[1];
  return value && readable(value);
}

export interface RequestFilter {
  readonly method?: string;
  /** `404`, or `4xx`. */
  readonly status?: string;
  /** Part of the path. */
  readonly path?: string;
  /** `web`, `web.namespace` or `namespace/web`. */
  readonly service?: string;
  /** As in `/api/tunnels`. */
  readonly tunnel?: string;
}

export function matches(exchange: Exchange, filter: RequestFilter): boolean {
  const { service, namespace, port } = exchange.connection;
  const { method, status, path } = filter;
  if (method && exchange.request.method !== method.toUpperCase()) return false;
  if (status && !statusMatches(exchange.response?.status, status)) return false;
  if (path && !splitTarget(readable(exchange.request.target)).path.includes(path)) return false;
  if (filter.tunnel && filter.tunnel !== `${service}.${namespace}:${port}`) return false;
  const names = [service, `${service}.${namespace}`, `${namespace}/${service}`];
  return !filter.service || names.includes(filter.service);
}

function statusMatches(status: number | undefined, wanted: string): boolean {
  if (status === undefined) return false;
  return /^[1-5]xx$/i.test(wanted) ? String(status)[0] === wanted[0] : String(status) === wanted;
}
