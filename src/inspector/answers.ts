/** How everything is answered: the same guards on every response. */

/** No inline script or style, nothing from elsewhere, no frames, no forms; DOM sinks need trusted types. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const GUARDS: Record<string, string> = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  // no-transform: Deno would otherwise compress, and thereby hold back, the event stream.
  "cache-control": "no-store, no-transform",
};

export function answer(
  status: number,
  body: string | ReadableStream<Uint8Array> | null,
  headers: Record<string, string> = {},
): Response {
  return new Response(body, { status, headers: { ...GUARDS, ...headers } });
}

export function json(status: number, value: unknown): Response {
  return answer(status, JSON.stringify(value), { "content-type": "application/json" });
}

/** `message` in sentence case without a final period; `hint` is the next step. */
export function problem(status: number, message: string, hint?: string): Response {
  return json(status, { error: { message, ...(hint === undefined ? {} : { hint }) } });
}
