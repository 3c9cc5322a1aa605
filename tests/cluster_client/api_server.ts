import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cluster, openCluster } from "../../src/cluster/cluster.ts";
import type { Clock } from "../../src/model/clock.ts";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { type KeyPair, TestAuthority } from "./certificates.ts";

// deno-lint-ignore no-explicit-any
export type Raw = any;

export interface RecordedRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  /** Remote port: tells connections apart. */
  readonly port: number;
}

/** An answer under way, written to piece by piece. */
export class Answer {
  status = 200;
  readonly headers = new Headers({ "content-type": "application/json" });
  readonly response: Promise<Response>;
  #resolve: (response: Response) => void;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  #onClose: (() => void)[] = [];
  #closed = false;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<Response>();
    this.response = promise;
    this.#resolve = resolve;
  }

  /** Sends the head. */
  start(): void {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#stream = controller),
      cancel: () => this.#close(),
    });
    this.#resolve(new Response(body, { status: this.status, headers: this.headers }));
  }

  write(data: string | Uint8Array): void {
    if (this.#closed) return;
    if (!this.#stream) this.start();
    this.#stream!.enqueue(typeof data === "string" ? new TextEncoder().encode(data) : data);
  }

  end(data = ""): void {
    if (this.#closed) return;
    if (this.#stream) {
      if (data) this.write(data);
      this.#stream.close();
    } else {
      this.#resolve(new Response(data, { status: this.status, headers: this.headers }));
    }
    this.#close();
  }

  /** Breaks it off. */
  destroy(): void {
    if (this.#closed) return;
    if (this.#stream) this.#stream.error(new Error("cut"));
    else this.#resolve(new Response(null, { status: 500 }));
    this.#close();
  }

  onClose(callback: () => void): void {
    this.#onClose.push(callback);
  }

  #close(): void {
    this.#closed = true;
    for (const callback of this.#onClose) callback();
  }
}

let shared: { authority: TestAuthority; pair: KeyPair } | undefined;

function certificates() {
  if (!shared) {
    const authority = new TestAuthority();
    shared = { authority, pair: authority.server(["localhost", "127.0.0.1"]) };
  }
  return shared;
}

/**
 * A bare HTTPS server that speaks just enough of the Kubernetes API for tests
 * of single behaviours: lists and watches of collections held in memory, and a
 * hook before every answer for whatever should go wrong.
 */
export class TestApi {
  readonly requests: RecordedRequest[] = [];
  readonly collections = new Map<string, Map<string, Raw>>();
  /** Watches open now, by collection path. */
  readonly watches = new Map<string, Set<Answer>>();
  /** Return true when the answer was given here. */
  intercept: (request: RecordedRequest, response: Answer) => boolean = () => false;
  resourceVersion = 1000;
  pageSize = Infinity;
  readonly folder: string;
  readonly ca: string;
  #server: Deno.HttpServer<Deno.NetAddr> | undefined;
  #abort = new AbortController();
  readonly #answers = new Set<Answer>();
  readonly #pair: { cert: string; key: string };
  port = 0;

  private constructor(folder: string, ca: string, pair: { cert: string; key: string }) {
    this.folder = folder;
    this.ca = ca;
    this.#pair = pair;
  }

  static async start(pair?: { cert: string; key: string }): Promise<TestApi> {
    const { authority, pair: usual } = certificates();
    const folder = await mkdtemp(join(tmpdir(), "czctl-test-"));
    const api = new TestApi(folder, authority.cert, pair ?? usual);
    await api.listen();
    return api;
  }

  static authority(): TestAuthority {
    return certificates().authority;
  }

  async listen(): Promise<void> {
    this.#abort = new AbortController();
    this.#server = Deno.serve({
      hostname: "127.0.0.1",
      port: this.port,
      cert: this.#pair.cert,
      key: this.#pair.key,
      signal: this.#abort.signal,
      onListen() {},
      onError: () => new Response(null, { status: 500 }),
    }, (request, info) => this.#handle(request, info.remoteAddr.port));
    this.port = this.#server.addr.port;
    await Promise.resolve();
  }

  /** Goes away with every connection, keeping its port. */
  async stop(): Promise<void> {
    this.#abort.abort();
    for (const answer of this.#answers) answer.destroy();
    this.#answers.clear();
    await this.#server?.finished;
    this.watches.clear();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.listen();
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** Writes a kubeconfig for one user; returns its path. */
  async kubeconfig(user: object = { token: "secret" }, cluster: object = {}): Promise<string> {
    const path = join(this.folder, `config-${crypto.randomUUID()}`);
    await writeFile(
      path,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": "test",
        contexts: [{
          name: "test",
          context: { cluster: "test", user: "alice", namespace: "sample-project" },
        }],
        clusters: [{
          name: "test",
          cluster: {
            server: this.url,
            "certificate-authority-data": btoa(this.ca),
            ...cluster,
          },
        }],
        users: [{ name: "alice", user }],
      }),
    );
    return path;
  }

  async open(
    options: { user?: object; cluster?: object; clock?: Clock; env?: Record<string, string> } = {},
  ): Promise<Cluster> {
    return await openCluster({
      kubeconfig: await this.kubeconfig(options.user, options.cluster),
      env: options.env ?? {},
      cwd: this.folder,
      home: this.folder,
      log: silentLogger,
      clock: options.clock ?? systemClock,
    });
  }

  /** Puts an object without an event, as though it had been there before. */
  seed(collection: string, object: Raw): void {
    let objects = this.collections.get(collection);
    if (!objects) this.collections.set(collection, objects = new Map());
    objects.set(object.metadata.name, object);
  }

  /** A change as the API server tells it, to the store and to every watch. */
  push(collection: string, type: string, object: Raw): void {
    const version = Number(object.metadata?.resourceVersion);
    if (version > this.resourceVersion) this.resourceVersion = version;
    if (type === "DELETED") this.collections.get(collection)?.delete(object.metadata.name);
    else if (type === "ADDED" || type === "MODIFIED") this.seed(collection, object);
    const line = JSON.stringify({ type, object }) + "\n";
    for (const watch of this.watches.get(collection) ?? []) watch.write(line);
  }

  /** Like `push`, with the next resourceVersion. */
  change(collection: string, type: "ADDED" | "MODIFIED" | "DELETED", object: Raw): void {
    this.push(collection, type, {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(this.resourceVersion + 1) },
    });
  }

  refuse(response: Answer, status: number, message: string, reason = ""): true {
    response.status = status;
    response.end(JSON.stringify({
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      message,
      reason,
      code: status,
    }));
    return true;
  }

  #handle(message: Request, port: number): Promise<Response> {
    const url = new URL(message.url);
    const request: RecordedRequest = {
      path: url.pathname,
      query: url.searchParams,
      headers: Object.fromEntries(message.headers),
      port,
    };
    const answer = new Answer();
    this.#answers.add(answer);
    answer.onClose(() => this.#answers.delete(answer));
    this.#serve(request, answer);
    return answer.response;
  }

  #serve(request: RecordedRequest, response: Answer): void {
    this.requests.push(request);
    if (this.intercept(request, response)) return;
    if (request.path === "/version") {
      response.end(JSON.stringify({ major: "1", minor: "36" }));
      return;
    }
    const objects = this.collections.get(request.path);
    if (objects && request.query.get("watch") === "true") {
      let watches = this.watches.get(request.path);
      if (!watches) this.watches.set(request.path, watches = new Set());
      watches.add(response);
      response.onClose(() => watches.delete(response));
      response.start();
      return;
    }
    if (objects) {
      const all = [...objects.values()];
      const from = Number(request.query.get("continue") ?? "0");
      const page = all.slice(from, from + this.pageSize);
      const more = from + page.length < all.length ? { continue: `${from + page.length}` } : {};
      response.end(JSON.stringify({
        kind: "List",
        metadata: { resourceVersion: String(this.resourceVersion), ...more },
        items: page,
      }));
      return;
    }
    const cut = request.path.lastIndexOf("/");
    const found = this.collections.get(request.path.slice(0, cut))?.get(
      decodeURIComponent(request.path.slice(cut + 1)),
    );
    if (found) response.end(JSON.stringify(found));
    else this.refuse(response, 404, `${request.path} not found`, "NotFound");
  }
}

const RECORDINGS = new URL("../testdata/recordings/", import.meta.url);

/** One recorded watch, event by event. */
export function recordedWatch(name: string): { type: string; object: Raw }[] {
  const text = readFileSync(new URL(`watch-${name}.jsonl`, RECORDINGS), "utf8");
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

export function recordedList(name: string): Raw {
  return JSON.parse(readFileSync(new URL(`list-${name}.json`, RECORDINGS), "utf8"));
}

export const SERVICES = "/api/v1/namespaces/sample-project/services";
export const PODS = "/api/v1/namespaces/sample-project/pods";
export const SLICES = "/apis/discovery.k8s.io/v1/namespaces/sample-project/endpointslices";
