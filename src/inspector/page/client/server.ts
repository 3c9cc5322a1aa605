/** What the page asks of czctl. */
import type { OtherConnections } from "../../store.ts";
import type { RequestDetail, RequestSummary } from "../../request_json.ts";

export type CaptureMode = "auto" | "on" | "off";

/** A refusal, in the server's words. */
export class Refused extends Error {}

async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  // Relative: under /t/RANDOM/ the browser sends the cookie along.
  const answer = await fetch(path, { ...init, cache: "no-store" });
  const text = await answer.text();
  const value = text === "" ? undefined : JSON.parse(text);
  if (answer.ok) return value as T;
  throw new Refused(value?.error?.message ?? `czctl answered ${answer.status}`);
}

function send<T>(path: string, body: unknown): Promise<T> {
  return ask(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

export interface RequestList {
  readonly requests: readonly RequestSummary[];
  readonly unreadable: readonly OtherConnections[];
}

const one = (id: string) => `api/requests/http/${encodeURIComponent(id)}`;

export const server = {
  requests: () => ask<RequestList>("api/requests/http?limit=1000"),
  request: (id: string) => ask<RequestDetail>(one(id)),
  secret: async (id: string, field: string) =>
    (await ask<{ value: string }>(`${one(id)}/secret?field=${field}`)).value,
  replay: (id: string) => send<{ status: number; id?: string }>("api/requests/http", { id }),
  clear: () => ask<void>("api/requests/http", { method: "DELETE" }),
  status: () => ask<unknown>("api/status"),
  capture: (mode: CaptureMode) => send<unknown>("api/capture", { mode }),
};
