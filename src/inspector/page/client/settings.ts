/** What the browser remembers: the theme, and the path it was let in by. */
import { byId } from "./dom.ts";

const THEME = "czctl-theme";
const HOME = "czctl-home";

export function themeButton(): void {
  const root = document.documentElement;
  const known = stored(THEME);
  if (known === "light" || known === "dark") root.dataset["theme"] = known;
  byId("theme").addEventListener("click", () => {
    const dark = root.dataset["theme"] === "dark" ||
      (root.dataset["theme"] === undefined && matchMedia("(prefers-color-scheme: dark)").matches);
    root.dataset["theme"] = dark ? "light" : "dark";
    store(THEME, root.dataset["theme"]);
  });
}

/**
 * The cookie is sent under one path only; storage, unlike cookies, is not
 * shared with the other ports of localhost, so the path is kept in it. True
 * when the page is about to be left for that path.
 */
export function goHome(): boolean {
  const home = stored(HOME);
  if (location.pathname !== "/" || home === null || !/^\/t\/[\w-]+\/$/.test(home)) return false;
  location.replace(home);
  return true;
}

/**
 * Remembers this path, or forgets it when it no longer opens anything. What
 * another tab has remembered since is not ours to forget.
 */
export function rememberHome(authorized: boolean): void {
  const path = location.pathname;
  if (!path.startsWith("/t/")) return;
  if (authorized) store(HOME, path);
  else if (stored(HOME) === path) store(HOME, undefined);
}

function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Storage is turned off; nothing is remembered then.
  }
}
