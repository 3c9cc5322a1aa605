/**
 * Who may see what. Any program on this machine and any web page in the user's
 * browser can reach the port; docs/inspector.md says what each of them gets.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "../model/clock.ts";

/** How long a one-time code is good: enough for a browser to start, too short to be found later. */
const CODE_LIFE_MS = 60_000;
/** A browser that has not asked for anything this long has to be let in anew. */
const TOKEN_IDLE_MS = 12 * 60 * 60_000;
/** Codes and tokens kept at once; the oldest goes first. */
const MAX_CODES = 16;
const MAX_TOKENS = 32;

/** One-time codes, and the tokens they are traded for. */
export class Access {
  readonly #clock: Clock;
  /** Hashes, so that comparing takes the same time whatever is asked. */
  #codes: { hash: Uint8Array; until: number }[] = [];
  #tokens: { hash: Uint8Array; usedAt: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A new code, good for 60 s and for one use. */
  mintCode(): string {
    const code = randomText();
    this.#codes.push({ hash: hashOf(code), until: this.#clock.monotonic() + CODE_LIFE_MS });
    if (this.#codes.length > MAX_CODES) this.#codes.shift();
    return code;
  }

  /** The token for a code, which is thereby used up; undefined when the code is no good. */
  trade(code: string): string | undefined {
    const now = this.#clock.monotonic();
    const hash = hashOf(code);
    const good = this.#codes.filter((entry) => timingSafeEqual(entry.hash, hash));
    this.#codes = this.#codes.filter((entry) => !good.includes(entry) && entry.until > now);
    if (!good.some((entry) => entry.until > now)) return undefined;
    const token = randomText();
    this.#tokens.push({ hash: hashOf(token), usedAt: now });
    if (this.#tokens.length > MAX_TOKENS) this.#tokens.shift();
    return token;
  }

  /** Whether a token is one of ours and still in use. */
  accepts(token: string): boolean {
    const now = this.#clock.monotonic();
    const hash = hashOf(token);
    this.#tokens = this.#tokens.filter((entry) => now - entry.usedAt < TOKEN_IDLE_MS);
    let found = false;
    for (const entry of this.#tokens) {
      if (!timingSafeEqual(entry.hash, hash)) continue;
      entry.usedAt = now;
      found = true;
    }
    return found;
  }
}

/** 256 random bits as text that needs no escaping in a URL or a cookie. */
export function randomText(bytes = 32): string {
  const raw = crypto.getRandomValues(new Uint8Array(bytes));
  return btoa(String.fromCharCode(...raw)).replace(
    /[+/=]/g,
    (c) => c === "+" ? "-" : c === "/" ? "_" : "",
  );
}

function hashOf(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

/** Cookies are shared by all ports of a host, so the name tells them apart. */
export function cookieName(port: number): string {
  return `czctl_inspect_${port}`;
}

/** Values of one name looked at; a server on another port can add more to confuse us. */
const MAX_SAME_NAME = 8;

/** The values a request has for a cookie, in its order. */
export function cookiesOf(headers: Headers, name: string): string[] {
  return (headers.get("cookie") ?? "").split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1))
    .slice(0, MAX_SAME_NAME);
}

/**
 * Why a request is refused before anybody looks at what it wants, or
 * undefined. `navigable` is true for the page itself, which a link may lead to.
 *
 * - Host: a name an attacker points at 127.0.0.1 (DNS rebinding) is not ours.
 * - Origin and Sec-Fetch-Site: pages of other sites, and of other ports of
 *   localhost, may neither read nor write. Programs such as curl send neither.
 */
export function refusal(request: Request, port: number, navigable: boolean): string | undefined {
  const host = request.headers.get("host")?.toLowerCase();
  const hosts = [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`];
  if (host === undefined || !hosts.includes(host)) {
    return `This address answers to localhost:${port} only`;
  }
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== `http://${host}`) return "Requests of other pages are refused";
  const site = request.headers.get("sec-fetch-site");
  if (site === null || site === "same-origin" || site === "none") return undefined;
  const follows = request.method === "GET" &&
    request.headers.get("sec-fetch-mode") === "navigate" &&
    request.headers.get("sec-fetch-dest") === "document";
  return navigable && follows ? undefined : "Requests of other pages are refused";
}
