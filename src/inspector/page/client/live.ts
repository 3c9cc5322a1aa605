/** The live stream, begun again whenever it breaks. */

const RETRY_MS = 2000;

/**
 * Calls `handlers[event](data)` for each event; `alive` hears when the stream
 * is lost and when it is back.
 */
export function follow(
  // deno-lint-ignore no-explicit-any -- each handler knows what its event holds
  handlers: Readonly<Record<string, (data: any) => void>>,
  alive: (connected: boolean) => void,
): void {
  const source = new EventSource("api/events");
  source.addEventListener("open", () => alive(true));
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handler(JSON.parse((event as MessageEvent).data)));
  }
  source.addEventListener("error", () => {
    alive(false);
    // The browser tries again by itself only after some errors.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => follow(handlers, alive), RETRY_MS);
  });
}
