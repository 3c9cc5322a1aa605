/** What is masked until somebody asks for it: shown screens and shared windows are public. */

const NAMES = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "set-cookie2",
  "x-amz-security-token",
  "x-forwarded-client-cert",
  "x-forwarded-access-token",
  "x-auth-request-access-token",
  "dpop",
]);

/** Parts of names people give to secrets, in headers and in queries. */
const PARTS =
  /(^|[-_.])(api[-_]?keys?|key|tokens?|auth|secrets?|passwords?|passwd|pwd|credentials?|signature|sig|jwt|session[-_]?(id|key)?|sid|csrf|xsrf|otp|bearer)($|[-_.])|apikey|accesstoken|authtoken|accesskey|secretkey/i;

/** Names that look like secrets and are none. */
const HARMLESS =
  /^(sec-websocket-key|sec-websocket-accept|idempotency-key|surrogate-key|x-cache-key)$/i;

/** Whether a header's value is masked. */
export function isSecretHeader(name: string): boolean {
  return NAMES.has(name.toLowerCase()) || (!HARMLESS.test(name) && PARTS.test(name));
}

export const MASK = "••••••••";

/** A request target with the secret values of its query and its user info masked. */
export function maskTarget(target: string): { target: string; masked: boolean } {
  let masked = false;
  const at = target.indexOf("?");
  let head = at === -1 ? target : target.slice(0, at);
  head = head.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, (_, scheme) => {
    masked = true;
    return `${scheme}${MASK}@`;
  });
  if (at === -1) return { target: head, masked };
  const query = target.slice(at + 1).split("&").map((pair) => {
    const sign = pair.indexOf("=");
    if (sign === -1 || sign === pair.length - 1 || !isSecretParameter(pair.slice(0, sign))) {
      return pair;
    }
    masked = true;
    return `${pair.slice(0, sign)}=${MASK}`;
  });
  return { target: `${head}?${query.join("&")}`, masked };
}

function isSecretParameter(name: string): boolean {
  let plain = name;
  try {
    plain = decodeURIComponent(name);
  } catch {
    // Judged as it is.
  }
  return PARTS.test(plain) || /^(code|state|access_token|id_token|refresh_token)$/i.test(plain);
}
