/** The live stream, begun again whenever it breaks. */

const RETRY_MS = 2000;
/** A tab out of sight may keep its stream this long while it waits for its turn to have one. */
const GIVE_WAY_MS = 300;
const TURN = "czctl-events";

/**
 * Calls `handlers[event](data)` for each event; `alive` hears when the stream
 * is lost and when it is back. `captures`: this tab's stream keeps the capture
 * going, so that one such tab goes on when nobody looks at any.
 */
export function follow(
  // deno-lint-ignore no-explicit-any -- each handler knows what its event holds
  handlers: Readonly<Record<string, (data: any) => void>>,
  alive: (connected: boolean) => void,
  captures: () => boolean,
): void {
  let source: EventSource | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const close = () => {
    clearTimeout(retry);
    source?.close();
    source = undefined;
  };
  const open = () => {
    if (source !== undefined) return;
    clearTimeout(retry);
    const mine = source = new EventSource("api/events");
    mine.addEventListener("open", () => alive(true));
    for (const [name, handler] of Object.entries(handlers)) {
      mine.addEventListener(name, (event) => handler(JSON.parse((event as MessageEvent).data)));
    }
    mine.addEventListener("error", () => {
      alive(false);
      // The browser tries again by itself only after some errors.
      if (mine.readyState !== EventSource.CLOSED || source !== mine) return;
      source = undefined;
      retry = setTimeout(open, RETRY_MS);
    });
  };
  open();
  takeTurns(open, close, captures);
}

/**
 * Browsers have six connections to a host, for all tabs together: as many
 * streams would leave none for anything else, and the next tab would stay
 * white. So of the tabs out of sight only one has a stream, in turns.
 */
function takeTurns(open: () => void, close: () => void, captures: () => boolean): void {
  // Only for pages that are secure, which those of localhost are.
  if (navigator.locks === undefined) return;
  let leave = () => {};
  const look = () => {
    leave();
    leave = () => {};
    if (!document.hidden) return open();
    if (!captures()) return close();
    const waiting = new AbortController();
    const timer = setTimeout(close, GIVE_WAY_MS);
    let shown = () => {};
    const untilShown = new Promise<void>((resolve) => shown = resolve);
    leave = () => {
      clearTimeout(timer);
      waiting.abort();
      shown();
    };
    navigator.locks.request(TURN, { signal: waiting.signal }, () => {
      clearTimeout(timer);
      open();
      return untilShown;
    }).catch(() => {
      // It is looked at again.
    });
  };
  document.addEventListener("visibilitychange", look);
  if (document.hidden) look();
}
