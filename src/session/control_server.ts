import type { ControlEvent, StatusInfo, TeleportRequest } from "../model/control.ts";
import { CzctlError, type ErrorJson, messageOf } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import type { Emit } from "./emit.ts";

/** A request body larger than this is refused, in bytes; environments can be large. */
const MAX_BODY = 4 * 1024 * 1024;

/** What the control API does, free of HTTP. */
export interface ControlActions {
  status(): Promise<StatusInfo>;
  open(request: TeleportRequest, emit: Emit, signal: AbortSignal): Promise<void>;
  release(holder: string, emit: Emit): Promise<void>;
  close(ids: readonly string[] | "all", force: boolean, emit: Emit): Promise<void>;
  stop(emit: Emit): Promise<void>;
  stay(): void;
  /** Nothing holds svc any more: it is about to end. */
  ending(): boolean;
  inspectUrl(): string;
}

/** The control API (src/model/control.ts) as a request handler. */
export function controlHandler(actions: ControlActions, log: Logger) {
  return async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const path = url.pathname.split("/").filter((part) => part !== "");
    const route = `${request.method} /${path.slice(0, 2).join("/")}`;
    const force = url.searchParams.get("force") === "1";
    try {
      switch (path.length > 3 ? "" : route) {
        case "GET /v1/status":
          return Response.json(await actions.status());
        case "GET /v1/sessions":
          return Response.json({ sessions: (await actions.status()).sessions });
        case "POST /v1/sessions": {
          const body = await bodyOf(request);
          return events((emit, signal) => actions.open(body, emit, signal), log);
        }
        case "DELETE /v1/sessions": {
          const ids = path[2] === undefined ? "all" as const : [decodeURIComponent(path[2])];
          return events((emit) => actions.close(ids, force, emit), log, actions);
        }
        case "DELETE /v1/holders": {
          const holder = decodeURIComponent(path[2] ?? "");
          return events((emit) => actions.release(holder, emit), log, actions);
        }
        case "POST /v1/stop":
          return events((emit) => actions.stop(emit), log, actions);
        case "POST /v1/stay":
          actions.stay();
          return Response.json(await actions.status());
        case "POST /v1/inspect":
          return Response.json({ url: actions.inspectUrl() });
        default:
          return failure(
            404,
            new CzctlError("failed", `Unknown request ${request.method} ${url.pathname}`, {
              hint: "czctl and czfwd may be of different versions; run: czctl stop",
            }),
          );
      }
    } catch (error) {
      return failure(400, toError(error, log));
    }
  };
}

/** Runs work and streams what it has to say, one JSON object a line. */
function events(
  work: (emit: Emit, signal: AbortSignal) => Promise<void>,
  log: Logger,
  after?: Pick<ControlActions, "ending">,
): Response {
  const gone = new AbortController();
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      const emit = (event: ControlEvent) => {
        if (gone.signal.aborted) return;
        try {
          controller.enqueue(encoder.encode(JSON.stringify(event) + "\n"));
        } catch {
          gone.abort();
        }
      };
      try {
        await work(emit, gone.signal);
        emit({ type: "done", ...(after?.ending() ? { ending: true } : {}) });
      } catch (error) {
        emit({ type: "error", error: toError(error, log).toJSON() });
      }
      try {
        controller.close();
      } catch {
        // The client is gone.
      }
    },
    cancel() {
      gone.abort(new CzctlError("interrupted", "The client is gone"));
    },
  });
  return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
}

async function bodyOf(request: Request): Promise<TeleportRequest> {
  const text = await request.text();
  if (text.length > MAX_BODY) {
    throw new CzctlError("failed", "Cannot read the request: it is too large");
  }
  try {
    const body = JSON.parse(text) as TeleportRequest;
    if (
      typeof body.kind !== "string" || typeof body.name !== "string" || typeof body.cwd !== "string"
    ) {
      throw new Error("kind, name and cwd are needed");
    }
    return { ...body, env: body.env ?? {} };
  } catch (cause) {
    throw new CzctlError("failed", `Cannot read the request: ${messageOf(cause)}`, { cause });
  }
}

function failure(status: number, error: CzctlError): Response {
  const body: { error: ErrorJson } = { error: error.toJSON() };
  return Response.json(body, { status });
}

/** A bug is logged in full; the client gets its message and where to look. */
function toError(error: unknown, log: Logger): CzctlError {
  if (error instanceof CzctlError) return error;
  const full = stateUnwritable(error);
  if (full !== undefined) return full;
  log.error("Unexpected failure", {
    error: messageOf(error),
    stack: error instanceof Error ? error.stack : undefined,
  });
  return new CzctlError("failed", `Unexpected failure: ${messageOf(error)}`, {
    hint: "This is a bug of czctl; the log has the details: czctl logs",
  });
}

/** svc writes in its own folder only where nothing else says so: a disk that is full is no bug. */
function stateUnwritable(error: unknown): CzctlError | undefined {
  const why = {
    ENOSPC: "no space is left on the disk",
    EDQUOT: "the disk quota is used up",
    EROFS: "the file system is read-only",
    EACCES: "permission is denied",
  }[String((error as { code?: unknown } | null)?.code)];
  if (why === undefined) return undefined;
  return new CzctlError("failed", `Cannot write in ~/.codezero: ${why}`, {
    hint: "Make room there and try again; see: df -h ~; ls -la ~/.codezero",
    cause: error,
  });
}
