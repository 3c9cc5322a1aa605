import assert from "node:assert/strict";
import type { HostsEntry } from "../../../src/model/hosts.ts";
import { BINARY, type Machine, type RunOptions } from "./machine.ts";

/** A helper started by hand in a machine, spoken to line by line. */
export class SpokenHelper implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #status: Promise<Deno.CommandStatus>;
  readonly #errors: Promise<string>;
  #rest = "";

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#writer.closed.catch(() => {});
    this.#reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#status = child.status;
    this.#errors = new Response(child.stderr).text();
  }

  /** As root, without a set-uid copy, unless told otherwise. */
  static async start(
    machine: Machine,
    command: readonly string[] = [BINARY, "helper"],
    options: RunOptions = {},
  ): Promise<SpokenHelper> {
    const helper = new SpokenHelper(machine.start(command, options));
    const hello = await helper.line();
    assert.equal(hello?.["hello"], "czfwd helper", JSON.stringify(hello));
    return helper;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The next line, undefined at the end. */
  async line(): Promise<Record<string, unknown> | undefined> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end !== -1) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return JSON.parse(line);
      }
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      this.#rest += value;
    }
  }

  async send(text: string | Uint8Array): Promise<void> {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    await this.#writer.write(bytes).catch(() => {});
  }

  /** Sends a request and gives the answer to it. */
  async ask(request: Record<string, unknown>): Promise<Record<string, unknown> | undefined> {
    await this.send(`${JSON.stringify({ id: 1, ...request })}\n`);
    return await this.line();
  }

  /** Applies and expects that it works. */
  async apply(...entries: HostsEntry[]): Promise<void> {
    const answer = await this.ask({ op: "apply", entries });
    assert.equal(answer?.["ok"], true, JSON.stringify(answer));
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Ends its input, where it has not ended yet, and waits for its end. */
  async end(): Promise<{ code: number; errors: string }> {
    await this.#writer.close().catch(() => {});
    while (await this.line() !== undefined);
    return { code: (await this.#status).code, errors: await this.#errors };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end().catch(() => {});
  }
}

export function entry(service: string, more: Partial<HostsEntry> = {}): HostsEntry {
  return {
    address: "127.1.31.1",
    service,
    namespace: "demo",
    domain: "cluster.local",
    bare: false,
    ...more,
  };
}
