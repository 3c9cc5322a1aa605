/** The inspector of http://localhost:4040: what passes through the tunnels, for the user's eyes only. */
import type { Clock } from "../model/clock.ts";
import type { SessionInfo } from "../model/control.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import type { TapSource } from "../model/tap.ts";
import { buildInfo } from "../platform/build_info.ts";
import { type LoopbackServer, serveLoopback } from "../platform/http_server.ts";
import { Access } from "./access.ts";
import { problem } from "./answers.ts";
import { type ApiContext, handle } from "./api.ts";
import { Attention } from "./attention.ts";
import { captureSource } from "./capture.ts";
import { LiveEvents } from "./events.ts";
import { Replayer } from "./replay.ts";
import { summaryOf } from "./request_view.ts";
import { DEFAULT_LIMITS, RequestStore, type StoreLimits } from "./store.ts";

/** The port people know from the ngrok agent. */
export const DEFAULT_PORT = 4040;
/** Ports tried, from the first one on. */
const ATTEMPTS = 100;
const DRAIN_MS = 500;

export interface InspectorOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** What is open now; called often while a page is open. */
  readonly sessions: () => readonly SessionInfo[];
  /** Called now and then while a page is open: to find out what nobody tells by itself. */
  readonly look?: () => void;
  /** First port to try; 0 for any. */
  readonly port?: number;
  readonly limits?: Partial<StoreLimits>;
}

export interface Inspector {
  /** For the relay of every tunnel. */
  readonly tap: TapSource;
  /** `url` where it is served; else `reason` why it is not. */
  readonly state: { readonly url?: string; readonly reason?: string };
  /**
   * An address with a one-time code, good for 60 s, that unlocks contents in
   * the browser it is opened in. Throws CzctlError `failed` when nothing is served.
   */
  inspectUrl(): string;
  /** Sessions were opened, closed or changed; open pages are told at once. */
  sessionsChanged(): void;
  close(): Promise<void>;
}

/** Starts it. Never throws: without a port `state.reason` says why there is no page. */
export async function startInspector(options: InspectorOptions): Promise<Inspector> {
  const { clock, sessions } = options;
  const log = options.log.with({ part: "inspector" });
  const attention = new Attention(clock);
  const access = new Access(clock);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const store: RequestStore = new RequestStore(
    limits,
    (id) => events.requestChanged(id),
    () => events.unreadableChanged(),
  );
  const version = buildInfo().version;
  const events = new LiveEvents({
    clock,
    sessions,
    look: () => options.look?.(),
    hello: (full) => ({
      version,
      authorized: full,
      capture: { mode: attention.mode, watching: attention.watching },
    }),
    requests: (ids) =>
      ids.flatMap((id) => {
        const exchange = store.get(id);
        return exchange === undefined ? [] : [summaryOf(exchange)];
      }),
    unreadable: () => store.others,
  });
  const replayer = new Replayer(clock, sessions);
  let server: LoopbackServer | undefined;
  let reason: string | undefined;
  const context: ApiContext = {
    version,
    port: () => server?.port ?? 0,
    sessions,
    access,
    attention,
    store,
    events,
    replayer,
  };
  const onError = (error: unknown) => log.warn("A request failed", { error: messageOf(error) });
  try {
    server = await serveLoopback({
      port: options.port ?? DEFAULT_PORT,
      attempts: ATTEMPTS,
      onError,
      // Before both addresses are bound nobody is answered.
      handler: (request) =>
        server === undefined ? problem(503, "Not ready yet") : handle(context, request),
    });
    log.info("Serving", { port: server.port, addresses: server.addresses.join(" ") });
  } catch (error) {
    reason = messageOf(error);
    log.warn("Cannot serve the inspector", { reason });
  }
  const url = server === undefined ? undefined : `http://localhost:${server.port}`;
  return {
    tap: captureSource({
      clock,
      log,
      attention,
      store,
      replayOf: (head, connection) => replayer.replayOf(head, connection),
    }),
    state: url === undefined ? { reason: reason ?? "not started" } : { url },
    inspectUrl() {
      if (url === undefined) {
        throw new CzctlError("failed", `Cannot open the inspector: ${reason}`, {
          hint: "See what keeps it from starting with: czctl doctor",
        });
      }
      return `${url}/?code=${access.mintCode()}`;
    },
    sessionsChanged: () => events.sessionsChanged(),
    async close() {
      events.close();
      await replayer.close();
      await server?.close(DRAIN_MS);
    },
  };
}
