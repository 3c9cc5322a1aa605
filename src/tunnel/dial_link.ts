import type { ApiTarget, ApiTargetSource } from "../model/api_target.ts";
import type { Clock } from "../model/clock.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import { shellWord } from "../model/shell_word.ts";
import { requestHead } from "../platform/http_wire.ts";
import { type ByteConn, writeAll } from "../platform/net.ts";
import { hostHeader } from "../platform/tcp.ts";
import { untilAborted } from "../platform/until_aborted.ts";
import { createHash, randomBytes } from "node:crypto";
import { ChannelsLink } from "./channels_link.ts";
import { dial } from "./dial.ts";
import { TunnelError } from "./errors.ts";
import { SpdyLink } from "./spdy_link.ts";
import { type Link, type PodRef, type TransportKind, TRANSPORTS } from "./transport.ts";
import { type HttpAnswer, parseStatus, readAnswer, readBody } from "./upgrade.ts";

export interface LinkDialerOptions {
  readonly targets: ApiTargetSource;
  readonly clock: Clock;
  readonly log: Logger;
  /** How a kubectl command in a hint begins. */
  readonly kubectl: string;
  /** Deadline for everything from the TCP handshake to the upgrade, in ms. */
  readonly dialMs: number;
  readonly readSize: number;
  readonly holdSize: number;
  readonly stallMs: number;
  /** Ways to try, in this order. */
  readonly transports?: readonly TransportKind[];
}

/**
 * How long a way stays the first choice that was only found because nobody knows
 * whether one ahead of it is refused or out of order, or because a right is
 * missing, which somebody may give; in ms.
 */
const RELEARN_MS = 60_000;
/**
 * How long a way is the last choice after it was accepted and then broken off
 * without a word, in ms. Trying it again may cost a connection its first bytes.
 */
const MUTE_MS = 600_000;

/**
 * Opens links. Which of the three ways works is learnt once per API server and
 * forgotten when it stops working; which are forbidden, once per namespace.
 */
export class LinkDialer {
  readonly #options: LinkDialerOptions;
  readonly #order: readonly TransportKind[];
  #learnt:
    | { readonly server: string; readonly kind: TransportKind; readonly until: number }
    | undefined;
  /** Where a right is missing, by server and namespace. */
  readonly #missing = new Map<string, { readonly verb: Verb; readonly until: number }>();
  /** Until when a way is the last choice, by server and way. */
  readonly #mute = new Map<string, number>();
  /** Ways over which something has come, by server and way: a loss there is the network's. */
  readonly #proven = new Set<string>();

  constructor(options: LinkDialerOptions) {
    this.#options = options;
    this.#order = options.transports ?? TRANSPORTS;
  }

  /** The way that worked last. */
  get learnt(): TransportKind | undefined {
    return this.#learnt?.kind;
  }

  /**
   * A new link to a pod (`port` matters to channels alone). Throws
   * TunnelError; every one of them proves that nothing was delivered.
   */
  async dial(
    pod: PodRef,
    port: number,
    onClosed: (link: Link) => void,
    signal: AbortSignal,
  ): Promise<Link> {
    const deadline = new AbortController();
    const cancel = this.#options.clock.after(this.#options.dialMs, () => deadline.abort(LATE));
    const either = AbortSignal.any([deadline.signal, signal]);
    try {
      return await this.#dialAny(pod, port, onClosed, either);
    } catch (error) {
      if (error instanceof TunnelError) throw error;
      if (error instanceof CzctlError) {
        throw new TunnelError(error.code === "denied" ? "denied" : "unreachable", error.message, {
          nothingDelivered: true,
          cause: error,
          ...(error.hint === undefined ? {} : { hint: error.hint }),
        });
      }
      if (either.aborted) {
        throw new TunnelError("timeout", "Cannot open a port-forward: no answer in time", {
          nothingDelivered: true,
          cause: error,
        });
      }
      throw error;
    } finally {
      cancel();
    }
  }

  async #dialAny(
    pod: PodRef,
    port: number,
    onClosed: (link: Link) => void,
    signal: AbortSignal,
  ): Promise<Link> {
    let target = await untilAborted(this.#options.targets(), signal);
    let refreshed = false;
    const server = `${target.host}:${target.port}${target.basePath}`;
    const known = this.#learnt;
    const now = this.#options.clock.monotonic();
    const learnt = known?.server === server && now < known.until ? known.kind : undefined;
    const place = `${server} ${pod.namespace}`;
    const missing = this.#missingIn(place, now);
    let last: TunnelError | undefined;
    let unclear: Unclear | undefined;
    const forbidden: Forbidden[] = [];
    let learntFailed = false;
    const mute = this.#order.filter((kind) => this.#isMute(server, kind, now));
    for (const kind of this.#inOrder(learnt, missing, mute)) {
      if (forbidden.some((one) => one.verb === verbOf(kind))) continue;
      for (;;) {
        try {
          const link = await this.#dialOne(kind, target, pod, port, {
            onHeard: () => void this.#proven.add(`${server} ${kind}`),
            onClosed: (closed) => {
              if (closed.mute) this.#wasMute(server, kind);
              onClosed(closed);
            },
          }, signal);
          for (const { verb } of forbidden) {
            this.#missing.set(place, { verb, until: now + RELEARN_MS });
          }
          // A way that is only forbidden here stays the first choice elsewhere.
          if (learnt === undefined || learntFailed) {
            this.#options.log.debug("Port-forward transport learnt", { server, kind });
            const sure = (unclear ?? forbidden[0] ?? missing ?? mute[0]) === undefined;
            this.#learnt = { server, kind, until: sure ? Infinity : now + RELEARN_MS };
          }
          return link;
        } catch (error) {
          if (!(error instanceof TunnelError)) throw error;
          if (error instanceof Unauthorized && !refreshed) {
            refreshed = true;
            target = await untilAborted(this.#options.targets({ refresh: true }), signal);
            continue;
          }
          const next = error instanceof Forbidden || error.fault === "unsupported";
          if (!next) {
            // The way that worked is out of order: what another one is denied says nothing.
            if (error.fault === "denied" && unclear !== undefined && learntFailed) {
              throw unclear.asUnreachable();
            }
            throw error;
          }
          if (error instanceof Forbidden) {
            forbidden.push(error);
          } else {
            if (error instanceof Unclear) unclear ??= error;
            // Not this way, here: what was learnt is out of date, try them all.
            else if (kind === learnt) this.#learnt = undefined;
            learntFailed ||= kind === learnt;
          }
          last = error;
          break;
        }
      }
    }
    if (unclear !== undefined && (learntFailed || forbidden.length === 0)) {
      throw unclear.asUnreachable();
    }
    throw forbidden[0] ?? last ??
      new TunnelError("unsupported", "Cannot open a port-forward: no way to try");
  }

  /** The verb that was missing in a namespace, when that is not long ago. */
  #missingIn(place: string, now: number): Verb | undefined {
    const missing = this.#missing.get(place);
    if (missing === undefined || now < missing.until) return missing?.verb;
    this.#missing.delete(place);
    return undefined;
  }

  #isMute(server: string, kind: TransportKind, now: number): boolean {
    const until = this.#mute.get(`${server} ${kind}`);
    return until !== undefined && now < until;
  }

  /** Accepted, and then broken off: some proxies pass on no more than the answer. */
  #wasMute(server: string, kind: TransportKind): void {
    if (this.#proven.has(`${server} ${kind}`)) return;
    this.#options.log.debug("Port-forward transport broken off at once", { server, kind });
    this.#mute.set(`${server} ${kind}`, this.#options.clock.monotonic() + MUTE_MS);
    if (this.#learnt?.server === server && this.#learnt.kind === kind) this.#learnt = undefined;
  }

  #inOrder(
    learnt: TransportKind | undefined,
    missing: Verb | undefined,
    mute: readonly TransportKind[],
  ): TransportKind[] {
    const rank = (kind: TransportKind) =>
      verbOf(kind) === missing ? 3 : mute.includes(kind) ? 2 : kind === learnt ? 0 : 1;
    return this.#order.toSorted((a, b) => rank(a) - rank(b));
  }

  async #dialOne(
    kind: TransportKind,
    target: ApiTarget,
    pod: PodRef,
    port: number,
    { onHeard, onClosed }: { onHeard: () => void; onClosed: (link: Link) => void },
    signal: AbortSignal,
  ): Promise<Link> {
    const { clock, log, readSize, holdSize, stallMs } = this.#options;
    const conn = await dial(target, signal);
    const onAbort = () => conn.close();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const rest = await upgrade(conn, kind, target, pod, port, this.#options.kubectl);
      signal.throwIfAborted();
      if (kind === "channels") {
        return new ChannelsLink({ pod, conn, rest, clock, onClosed, readSize });
      }
      return new SpdyLink({
        pod,
        kind,
        conn,
        rest,
        clock,
        log,
        onHeard,
        onClosed,
        readSize,
        holdSize,
        stallMs,
      });
    } catch (error) {
      conn.close();
      if (error instanceof TunnelError || signal.aborted) throw error;
      // Broken off without an answer: a middlebox that cannot stand the upgrade does this.
      throw new Unclear("unsupported", `Cannot open a port-forward: ${messageOf(error)}`, {
        nothingDelivered: true,
        cause: error,
      });
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}

/** What RBAC calls the HTTP method of a way. */
type Verb = "create" | "get";

function verbOf(kind: TransportKind): Verb {
  return kind === "spdy" ? "create" : "get";
}

/** The credentials were refused: worth one try with new ones. */
class Unauthorized extends TunnelError {}

/**
 * A right is missing that another way may not ask for: until Kubernetes 1.35
 * `get` is enough for WebSockets, and kubectl prefers them since 1.31.
 */
class Forbidden extends TunnelError {
  readonly verb: Verb;

  constructor(kind: TransportKind, message: string, hint: string) {
    super("denied", message, { nothingDelivered: true, answered: true, hint });
    this.verb = verbOf(kind);
  }
}

/**
 * Not understood, or out of order for the moment: a middlebox says the same of
 * both (502, or nothing at all). Worth trying the other ways, but no reason to
 * give up when those fail, too.
 */
class Unclear extends TunnelError {
  asUnreachable(): TunnelError {
    return new TunnelError("unreachable", this.message, {
      nothingDelivered: true,
      answered: this.answered,
      cause: this,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
    });
  }
}

const LATE = new Error("No answer in time");

/** RFC 6455, 1.3. */
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const SUBPROTOCOL: Record<Exclude<TransportKind, "spdy">, string> = {
  spdy_websocket: "SPDY/3.1+portforward.k8s.io",
  channels: "v4.channel.k8s.io",
};

/** The HTTP/1.1 upgrade; returns the bytes behind the answer's header block. Throws TunnelError. */
async function upgrade(
  conn: ByteConn,
  kind: TransportKind,
  target: ApiTarget,
  pod: PodRef,
  port: number,
  kubectl: string,
): Promise<Uint8Array> {
  const path = `${target.basePath}/api/v1/namespaces/${encodeURIComponent(pod.namespace)}/pods/${
    encodeURIComponent(pod.name)
  }/portforward${kind === "channels" ? `?ports=${port}` : ""}`;
  const key = randomBytes(16).toString("base64");
  const head = requestHead(kind === "spdy" ? "POST" : "GET", path, [
    ["Host", hostHeader(target)],
    ...Object.entries(target.headers),
    ...(target.repeatedHeaders ?? []),
    ["User-Agent", "czctl"],
    ["Connection", "Upgrade"],
    ...(kind === "spdy"
      ? [
        ["Upgrade", "SPDY/3.1"],
        ["X-Stream-Protocol-Version", "portforward.k8s.io"],
        ["Content-Length", "0"],
      ] as const
      : [
        ["Upgrade", "websocket"],
        ["Sec-WebSocket-Version", "13"],
        ["Sec-WebSocket-Key", key],
        ["Sec-WebSocket-Protocol", SUBPROTOCOL[kind]],
      ] as const),
  ]);
  await writeAll(conn, new TextEncoder().encode(head));
  const answer = await readAnswer(conn);
  if (answer.status !== 101) throw await refusal(conn, answer, pod, kind, kubectl);
  const upgraded = (answer.headers.get("upgrade") ?? "").toLowerCase();
  if (kind === "spdy") {
    if (!upgraded.startsWith("spdy/")) {
      throw unsupported(`upgraded to "${upgraded}" instead of SPDY`);
    }
    return answer.rest;
  }
  const accept = createHash("sha1").update(key + WEBSOCKET_GUID).digest("base64");
  if (upgraded !== "websocket" || answer.headers.get("sec-websocket-accept") !== accept) {
    throw unsupported("the WebSocket handshake failed");
  }
  if (answer.headers.get("sec-websocket-protocol") !== SUBPROTOCOL[kind]) {
    throw unsupported("another WebSocket protocol was chosen");
  }
  return answer.rest;
}

async function refusal(
  conn: ByteConn,
  answer: HttpAnswer,
  pod: PodRef,
  kind: TransportKind,
  kubectl: string,
): Promise<TunnelError> {
  const body = await readBody(conn, answer);
  const status = parseStatus(body);
  const name = `pod "${pod.namespace}/${pod.name}"`;
  const options = { nothingDelivered: true, answered: true };
  switch (answer.status) {
    case 401:
      return new Unauthorized("denied", "Cannot forward: the API server refused the credentials", {
        ...options,
        hint: "Log in to the cluster again",
      });
    case 403:
      // Without a Status it is a proxy, or "unable to upgrade", not RBAC.
      if (status === undefined) return unsupported(`the answer was 403 ${oneLine(body)}`);
      return denied(status.message, pod, name, kind, kubectl);
    case 404:
      // Kubelets answer in plain text, and the API server passes that on as it is.
      if (status === undefined && !KUBELET_NOT_FOUND.test(body)) {
        return unsupported(`the answer was 404 ${oneLine(body)}`);
      }
      return new TunnelError("pod_gone", `Cannot forward to ${name}: it does not exist`, options);
    case 400:
    case 405:
    case 426:
    case 501:
      // A Status of an API server about the pod itself is an answer; anything else is "not this way".
      if (
        status !== undefined &&
        /not running|current phase|terminated|completed|host assigned/i.test(status.message)
      ) {
        return new TunnelError("pod_gone", `Cannot forward to ${name}: ${status.message}`, options);
      }
      return unsupported(`the answer was ${answer.status} ${status?.message ?? oneLine(body)}`);
    case 429:
    case 500:
    case 502:
    case 503:
    case 504: {
      const text = status?.message ?? oneLine(body);
      if (/not found|not running|does not exist|pod.{0,80}(gone|terminated)/i.test(text)) {
        return new TunnelError("pod_gone", `Cannot forward to ${name}: ${text}`, options);
      }
      // Not from an API server: a proxy, of the upgrade or of a server that is away.
      if (status === undefined && answer.status !== 429) {
        return unsupported(`the answer was ${answer.status} ${text}`, Unclear);
      }
      return new TunnelError("unreachable", `Cannot forward to ${name}: ${text}`, options);
    }
    default:
      return unsupported(`the answer was ${answer.status} ${oneLine(body)}`);
  }
}

/**
 * What a kubelet says of a pod it does not know (yet, or any more), or whose
 * sandbox its container runtime does not. A server that has no port-forward at
 * all says "404 page not found", or "404 request not found"; a proxy's page may repeat the path.
 */
const KUBELET_NOT_FOUND = /^\s*pod\b.{0,300}(does not exist|not found)|code = NotFound/is;

/** An admission webhook has its own reasons. */
function denied(
  message: string,
  pod: PodRef,
  name: string,
  kind: TransportKind,
  kubectl: string,
): TunnelError {
  const verb = /\bcannot (\w{1,20}) resource/.exec(message)?.[1];
  const options = { nothingDelivered: true, answered: true };
  if (verb === undefined && /\bdenied\b/i.test(message)) {
    return new TunnelError("denied", `Cannot forward to ${name}: ${oneLine(message)}`, options);
  }
  // From 1.35 on WebSockets need "create" besides, and a refusal for that names no verb.
  const needed = verb ?? "create";
  const where = `pods/portforward in namespace "${pod.namespace}"`;
  return new Forbidden(
    kind,
    `Cannot forward to ${name}: not allowed to ${needed} ${where}`,
    `Ask for the verb "${needed}" on pods/portforward; check with: ${kubectl} auth can-i ${needed} ${
      shellWord(`pods/${pod.name}`)
    } --subresource=portforward -n ${shellWord(pod.namespace)}`,
  );
}

function unsupported(reason: string, kind: typeof TunnelError = TunnelError): TunnelError {
  return new kind("unsupported", `Cannot open a port-forward: ${reason}`, {
    nothingDelivered: true,
    answered: true,
    hint: "A proxy in front of the API server may not pass upgraded connections",
  });
}

function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f]+/g, " ").trim().slice(0, 200);
}
