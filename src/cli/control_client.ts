import { CzctlError, type ErrorJson } from "../model/errors.ts";
import type { ControlEvent, SessionInfo, StatusInfo, TeleportRequest } from "../model/control.ts";
import { requestUnix, SocketDead, type UnixResponse } from "../platform/unix_http.ts";

/** For the connection and the head of an answer; svc answers at once, so this means it hangs. */
const ANSWER_MS = 5_000;
/** An event may take this long to come: opening waits for a slow cluster, with deadlines of its own. */
const SILENCE_MS = 120_000;
/** No event of the protocol is near this size, in characters. */
const LONGEST_LINE = 16 * 1024 * 1024;

/** Nothing answers on the control socket: no svc is running. */
export class NotRunning extends Error {
  override readonly name = "NotRunning";
  /** `missing`: never started or ended well. `dead`: its socket was left behind. */
  constructor(readonly kind: "missing" | "dead") {
    super("czfwd is not running");
  }
}

export interface ControlClientOptions {
  readonly socket: string;
  /** The caller's own version; one that differs is refused by `connect`. */
  readonly version: string;
  /** The caller's own machine, as in StatusInfo; another one is refused by `connect`. */
  readonly machine?: string;
  /** In ms; for tests. */
  readonly answerMs?: number;
  readonly silenceMs?: number;
}

/** Talks to `czfwd svc` over its unix socket (src/model/control.ts). */
export class ControlClient {
  constructor(private readonly options: ControlClientOptions) {}

  /**
   * Makes sure that svc answers, is of the same version and on this machine.
   * Throws NotRunning; CzctlError `failed` when it hangs or differs.
   */
  async connect(signal?: AbortSignal): Promise<StatusInfo> {
    const status = await this.status(signal);
    const { machine } = this.options;
    if (machine !== undefined && status.machine !== undefined && status.machine !== machine) {
      throw new CzctlError(
        "failed",
        "Cannot use the czfwd of this HOME: it runs in another container or network namespace, " +
          "and its names and ports are there",
        {
          hint:
            "Close its sessions there, or give this one a HOME of its own: HOME=FOLDER czctl ...",
        },
      );
    }
    if (status.version === this.options.version) return status;
    throw new CzctlError(
      "failed",
      `Cannot work with the running czfwd ${status.version}: this is czctl ${this.options.version}`,
      { hint: "Close its sessions and start anew: czctl stop && czctl start" },
    );
  }

  status(signal?: AbortSignal): Promise<StatusInfo> {
    return this.#json<StatusInfo>("GET", "/v1/status", signal);
  }

  async sessions(signal?: AbortSignal): Promise<readonly SessionInfo[]> {
    return (await this.#json<{ sessions: SessionInfo[] }>("GET", "/v1/sessions", signal)).sessions;
  }

  /** Has svc stay when no session is open. */
  stay(signal?: AbortSignal): Promise<StatusInfo> {
    return this.#json<StatusInfo>("POST", "/v1/stay", signal);
  }

  /** URL of the inspector with a one-time code. */
  async inspect(signal?: AbortSignal): Promise<string> {
    return (await this.#json<{ url: string }>("POST", "/v1/inspect", signal)).url;
  }

  /**
   * Opens a session; aborting cancels it and svc undoes what was done. One for
   * a program is held for as long as the stream is left open.
   */
  teleport(request: TeleportRequest, signal?: AbortSignal): AsyncGenerator<ControlEvent> {
    return this.#events("POST", "/v1/sessions", signal, request);
  }

  /** Undoes what this holder's request did, and closes its session unless others hold it. */
  release(holder: string, signal?: AbortSignal): AsyncGenerator<ControlEvent> {
    return this.#events("DELETE", `/v1/holders/${encodeURIComponent(holder)}`, signal);
  }

  /** Closes one session, or all of them without an id. */
  close(
    id: string | undefined,
    force: boolean,
    signal?: AbortSignal,
  ): AsyncGenerator<ControlEvent> {
    const path = id === undefined ? "/v1/sessions" : `/v1/sessions/${encodeURIComponent(id)}`;
    return this.#events("DELETE", force ? `${path}?force=1` : path, signal);
  }

  stop(signal?: AbortSignal): AsyncGenerator<ControlEvent> {
    return this.#events("POST", "/v1/stop", signal);
  }

  async #json<T>(method: string, path: string, signal?: AbortSignal): Promise<T> {
    const deadline = AbortSignal.timeout(this.#answerMs);
    const both = signal ? AbortSignal.any([signal, deadline]) : deadline;
    try {
      const response = await this.#request(method, path, both);
      try {
        return parse(await new Response(response.body).text()) as T;
      } finally {
        response.close();
      }
    } catch (error) {
      if (deadline.aborted && !signal?.aborted) throw hangs(this.#answerMs);
      throw error;
    }
  }

  async *#events(
    method: string,
    path: string,
    signal?: AbortSignal,
    body?: unknown,
  ): AsyncGenerator<ControlEvent> {
    const silence = new AbortController();
    const both = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
    const response = await this.#request(method, path, both, body);
    const limit = this.options.silenceMs ?? SILENCE_MS;
    let timer = setTimeout(() => silence.abort(), limit);
    let ended = false;
    try {
      for await (const line of lines(response.body)) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), limit);
        const event = parse(line) as ControlEvent;
        if (event.type === "error") throw CzctlError.fromJSON(event.error);
        if (event.type === "done") ended = true;
        // Nothing more needs to come.
        if (event.type === "session") clearTimeout(timer);
        yield event;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof CzctlError) throw error;
      if (silence.signal.aborted) throw hangs(limit);
      throw brokenOff(error);
    } finally {
      clearTimeout(timer);
      response.close();
    }
    signal?.throwIfAborted();
    // Only an orderly end says that what was asked for has been done.
    if (!ended) throw brokenOff();
  }

  async #request(
    method: string,
    path: string,
    signal: AbortSignal,
    body?: unknown,
  ): Promise<UnixResponse> {
    let response: UnixResponse;
    try {
      response = await requestUnix(this.options.socket, {
        method,
        path,
        timeoutMs: this.#answerMs,
        signal,
        ...(body === undefined ? {} : { body }),
      });
    } catch (error) {
      if (!(error instanceof SocketDead)) throw error;
      if (error.kind === "timeout") throw hangs(this.#answerMs);
      if (error.kind === "denied") {
        throw new CzctlError(
          "failed",
          `Cannot use the control socket "${this.options.socket}": it belongs to another user`,
          { hint: "Run czctl as the user who started czfwd" },
        );
      }
      throw new NotRunning(error.kind === "missing" ? "missing" : "dead");
    }
    if (response.status < 400) return response;
    try {
      throw failure(response.status, await new Response(response.body).text());
    } finally {
      response.close();
    }
  }

  get #answerMs(): number {
    return this.options.answerMs ?? ANSWER_MS;
  }
}

function failure(status: number, text: string): CzctlError {
  try {
    const { error } = JSON.parse(text) as { error?: ErrorJson };
    if (error?.code && error.message) return CzctlError.fromJSON(error);
  } catch {
    // Not one of ours: told below.
  }
  return new CzctlError("failed", `Cannot understand czfwd: it answered ${status}`, {
    hint: "It may be of another version: czctl stop && czctl start",
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CzctlError("failed", "Cannot understand czfwd: its answer is not JSON", {
      hint: "It may be of another version: czctl stop && czctl start",
      cause,
    });
  }
}

function hangs(ms: number): CzctlError {
  return new CzctlError("failed", `Cannot reach czfwd: no answer within ${ms / 1000} s`, {
    hint: "See czctl logs; to end it and clean up: killall czfwd",
  });
}

function brokenOff(cause?: unknown): CzctlError {
  return new CzctlError(
    "failed",
    "Lost the connection to czfwd before it was done",
    { hint: "See czctl logs, and czctl doctor --fix to clean up", cause },
  );
}

/** Lines of a body, without their ends; the last may lack its own. */
async function* lines(body: ReadableStream<Uint8Array> | null): AsyncGenerator<string> {
  if (body === null) return;
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    if (rest.length > LONGEST_LINE) throw new Error("a line is too long");
    for (const part of parts) if (part.trim() !== "") yield part;
  }
  if (rest.trim() !== "") yield rest;
}
