import { CzctlError, messageOf } from "../model/errors.ts";
import { grantHint } from "./grants.ts";
import { DIAL_HINT, DialError } from "../platform/tcp.ts";

/** What a request was for, for the words of its error. */
export interface RequestSubject {
  /** `list`, `watch`, `get`. */
  readonly verb: string;
  readonly resource: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** Whom the error is about: fixed for a cluster. */
export interface ClusterLabel {
  readonly context: string;
  readonly server: string;
  /** Of the kubeconfig's entry: whose credentials these are. */
  readonly userName: string;
  /** Who the requests are made as, where that is somebody else (`as:`); else the same. */
  readonly actsAs: string;
  /** How a kubectl command about it begins. */
  readonly kubectl: string;
}

/** The API server answered, and not with success. */
export class ApiError extends CzctlError {
  readonly status: number;
  /** `Expired`, `Forbidden`, ... from the Status object. */
  readonly reason: string;
  /** What the server asked to wait, in ms. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: CzctlError["code"],
    message: string,
    options: { status: number; reason: string; retryAfterMs?: number; hint?: string },
  ) {
    super(code, message, options);
    this.status = options.status;
    this.reason = options.reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** `services in namespace "x"`, `namespaces`. */
export function subjectText(subject: RequestSubject): string {
  const name = subject.name === undefined ? "" : ` "${subject.name}"`;
  const place = subject.namespace ? ` in namespace "${subject.namespace}"` : "";
  return `${subject.resource}${name}${place}`;
}

/** Makes the error for an answer of 4xx or 5xx; `body` is a Status object or whatever came. */
export function answerError(
  cluster: ClusterLabel,
  subject: RequestSubject,
  status: number,
  body: string,
  retryAfter: string | undefined,
): ApiError {
  const { reason, message } = readStatus(body);
  const what = `Cannot ${subject.verb} ${subjectText(subject)}`;
  const seconds = Number(retryAfter);
  const base = {
    status,
    reason,
    ...(retryAfter !== undefined && seconds >= 0 ? { retryAfterMs: seconds * 1000 } : {}),
  };
  if (status === 401 && cluster.server.startsWith("http:")) {
    return new ApiError(
      "denied",
      `Cannot log in to the cluster ${cluster.server}: it wants credentials, which are not sent without TLS (401 Unauthorized)`,
      { ...base, hint: "Give the cluster an https:// server in the kubeconfig" },
    );
  }
  if (status === 401) {
    return new ApiError(
      "denied",
      `Cannot log in to the cluster ${cluster.server}: the credentials of user "${cluster.userName}" are refused (401 Unauthorized)`,
      {
        ...base,
        hint: `Log in again, then check with: ${cluster.kubectl} version`,
      },
    );
  }
  if (status === 403) {
    const right = {
      verb: subject.verb,
      resource: subject.resource,
      ...(subject.namespace === undefined ? {} : { namespace: subject.namespace }),
    };
    const hint = grantHint([right], { server: cluster.server, user: userIn(message) });
    return new ApiError("denied", `${what}: forbidden (${message || "403"})`, {
      ...base,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  if (status === 404) {
    return new ApiError("not_found", `${what}: ${message || "not found"}`, base);
  }
  const busy = status === 429 || status >= 500;
  return new ApiError(
    busy ? "unreachable" : "failed",
    `${what}: the API server answered ${status}${message ? ` (${message})` : ""}`,
    base,
  );
}

/** The user an API server knows, as its RBAC names him in a refusal. */
function userIn(message: string): string | undefined {
  return /User "([^"]+)" cannot /.exec(message)?.[1];
}

/** Characters of a server's message that are kept: the longest real ones name a few hundred objects. */
const MAX_MESSAGE = 4_000;

/** Reads a Status object; a plain text or HTML page is cut to its first line. */
export function readStatus(body: string): { reason: string; message: string; code?: number } {
  try {
    const status = JSON.parse(body);
    if (status && typeof status === "object") {
      return {
        reason: String(status.reason ?? "").slice(0, MAX_MESSAGE),
        message: String(status.message ?? "").slice(0, MAX_MESSAGE),
        ...(typeof status.code === "number" ? { code: status.code } : {}),
      };
    }
  } catch {
    // Not from the API server itself: a proxy in between.
  }
  const line = body.trim().split("\n")[0] ?? "";
  return { reason: "", message: line.startsWith("<") ? "" : line.slice(0, 200) };
}

/** Makes the CzctlError `unreachable` for a connection that failed; anything else comes back as it is. */
export function connectionError(cluster: ClusterLabel, error: unknown): unknown {
  if (!(error instanceof DialError)) return error;
  return new CzctlError(
    "unreachable",
    `Cannot reach the cluster ${cluster.server}: ${messageOf(error)}`,
    {
      hint: DIAL_HINT[error.kind] ?? `Check with: ${cluster.kubectl} version`,
      cause: error,
    },
  );
}
