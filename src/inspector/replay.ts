/** Sends a captured request once more, to the service's local address. */
import { Buffer } from "node:buffer";
import type { SessionInfo } from "../model/control.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import type { Clock } from "../model/clock.ts";
import type { TapConnectionInfo } from "../model/tap.ts";
import { connectLocally } from "../platform/local_connection.ts";
import { type Exchange, keptBytes } from "./exchange.ts";
import {
  type Header,
  headerOf,
  MessageReader,
  type RequestHead,
  responseFraming,
} from "./http1.ts";

/** How long a replay may wait for its answer, and go on reading it. */
const DEADLINE_MS = 30_000;
/** Answers are read to their end so that the capture sees all of them, but not for ever. */
const MAX_ANSWER = 64 * 1024 * 1024;
const MAX_AT_ONCE = 8;

/** Headers that speak of the old connection or of framing, which are made anew. */
const DROPPED = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
]);

export interface ReplayResult {
  readonly status: number;
  /** Until the head of the answer, in ms. */
  readonly first_byte_ms: number;
}

interface Expected {
  readonly key: string;
  readonly id: string;
  readonly until: number;
}

export class Replayer {
  readonly #clock: Clock;
  readonly #sessions: () => readonly SessionInfo[];
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  #expected: Expected[] = [];

  constructor(clock: Clock, sessions: () => readonly SessionInfo[]) {
    this.#clock = clock;
    this.#sessions = sessions;
  }

  /**
   * Sends it and resolves with the head of the answer; the rest is read behind.
   * Throws CzctlError `failed` when it cannot be repeated or nothing answers.
   */
  replay(exchange: Exchange): Promise<ReplayResult> {
    if (this.#running.size >= MAX_AT_ONCE) {
      throw new CzctlError("failed", "Cannot replay: too many replays are under way");
    }
    const target = this.#target(exchange);
    const head = replayHead(exchange);
    return new Promise((resolve, reject) => {
      const sent = this.#send(exchange, target, head, resolve).catch((error) => {
        reject(
          new CzctlError("failed", `Cannot replay: ${messageOf(error)}`, {
            cause: error,
            hint: "Look at the service with: czctl session list --details",
          }),
        );
      }).finally(() => this.#running.delete(sent));
      this.#running.add(sent);
    });
  }

  /** The id of the request that `head` repeats, if we have just sent it. */
  replayOf(head: RequestHead, connection: TapConnectionInfo): string | undefined {
    if (this.#expected.length === 0) return undefined;
    const now = this.#clock.monotonic();
    this.#expected = this.#expected.filter((expected) => expected.until > now);
    const at = this.#expected.findIndex(({ key }) => key === keyOf(connection, head));
    return at === -1 ? undefined : this.#expected.splice(at, 1)[0]!.id;
  }

  async close(): Promise<void> {
    this.#abort.abort(new Error("czctl is closing"));
    await Promise.allSettled([...this.#running]);
  }

  async #send(
    exchange: Exchange,
    { address, port }: { address: string; port: number },
    head: RequestHead,
    answered: (result: ReplayResult) => void,
  ): Promise<void> {
    const deadline = new AbortController();
    const signal = AbortSignal.any([deadline.signal, this.#abort.signal]);
    const cancel = this.#clock.after(DEADLINE_MS, () => {
      deadline.abort(new Error(`no answer within ${DEADLINE_MS / 1000} s`));
    });
    const started = this.#clock.monotonic();
    try {
      const connection = await connectLocally(address, port, signal);
      try {
        this.#expected.push({
          key: keyOf(exchange.connection, head),
          id: exchange.id,
          until: started + DEADLINE_MS,
        });
        let done = false;
        let problem: string | undefined;
        let status: number | undefined;
        const reader = new MessageReader("response", {
          head: (answer) => {
            if (answer.kind !== "response") return { kind: "stop", reason: "not a response" };
            if (answer.status >= 200) {
              status = answer.status;
              answered({ status, first_byte_ms: this.#clock.monotonic() - started });
            }
            return responseFraming(answer, head.method);
          },
          body: () => {},
          end: () => done = status !== undefined,
          stop: (reason) => {
            problem = reason;
            done = true;
          },
        });
        const writing = connection.write(requestBytes(head, exchange));
        // An answer may come before all is written; a failed write shows in the read.
        writing.catch(() => {});
        for (let size = 0; !done && size < MAX_ANSWER;) {
          const bytes = await connection.read();
          if (bytes === undefined) {
            reader.finish();
            break;
          }
          size += bytes.length;
          reader.feed(bytes);
        }
        if (status === undefined) throw new Error(`the answer is ${problem ?? "missing"}`);
      } finally {
        connection.close();
      }
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      cancel();
    }
  }

  /** Where the service listens now; its address may be another than when the request was made. */
  #target({ connection }: Exchange): { address: string; port: number } {
    const { namespace, service, port } = connection;
    const open = this.#sessions().filter((session) =>
      connection.session === undefined || session.id === connection.session
    );
    const found = open.flatMap((session) => {
      const candidates = session.services.filter((candidate) =>
        candidate.namespace === namespace && candidate.name === service &&
        candidate.address !== undefined && candidate.ports.some((known) => known.port === port)
      );
      return candidates.find((candidate) => candidate.pod === undefined) ?? candidates[0] ?? [];
    });
    const what = `port ${port} of the service "${service}" in "${namespace}"`;
    if (found.length > 1) {
      // Two clusters: a request meant for one must never be repeated in the other.
      throw new CzctlError("failed", `Cannot replay: several sessions have ${what}`, {
        hint: "Close the other one with: czctl session close ID",
      });
    }
    if (found[0]?.address === undefined) {
      throw new CzctlError("failed", `Cannot replay: no open session has ${what}`, {
        hint: "Open it again with: czctl teleport",
      });
    }
    return { address: found[0].address, port };
  }
}

/** The head to send. Throws CzctlError `failed` for what cannot be repeated faithfully. */
export function replayHead(exchange: Exchange): RequestHead {
  const { request } = exchange;
  const { body } = request;
  if (request.method === "CONNECT" || headerOf(request.headers, "upgrade") !== undefined) {
    throw new CzctlError("failed", "Cannot replay: the request changes the protocol");
  }
  if (!body.complete) {
    throw new CzctlError("failed", "Cannot replay: the request was not seen to its end");
  }
  if (body.keptSize < body.size) {
    throw new CzctlError(
      "failed",
      `Cannot replay: only ${body.keptSize} of the body's ${body.size} bytes were kept`,
    );
  }
  const headers: Header[] = request.headers.filter(([name]) => !DROPPED.has(name.toLowerCase()));
  const framed = ["content-length", "transfer-encoding"];
  if (body.size > 0 || request.headers.some(([name]) => framed.includes(name.toLowerCase()))) {
    headers.push(["Content-Length", String(body.size)]);
  }
  headers.push(["Connection", "close"]);
  return {
    kind: "request",
    method: request.method,
    target: request.target,
    version: "1.1",
    headers,
  };
}

/** Nothing in it can break a line: the parser lets no such character into a head. */
function requestBytes(head: RequestHead, exchange: Exchange): Uint8Array {
  const lines = [
    `${head.method} ${head.target} HTTP/1.1`,
    ...head.headers.map(([name, value]) => `${name}: ${value}`),
  ];
  const text = `${lines.join("\r\n")}\r\n\r\n`;
  return Buffer.concat([Buffer.from(text, "latin1"), keptBytes(exchange.request.body)]);
}

function keyOf({ namespace, service, port }: TapConnectionInfo, head: RequestHead): string {
  return JSON.stringify([namespace, service, port, head.method, head.target, head.headers]);
}
