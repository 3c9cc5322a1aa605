/** A process spoken to through its standard input and output: one line of JSON a message. */
export class LineProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #status: Promise<Deno.CommandStatus>;
  /** What it says on standard error; settled when that is closed. */
  protected readonly errors: Promise<string>;
  #rest = "";

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#writer.closed.catch(() => {});
    this.#reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#status = child.status;
    this.errors = new Response(child.stderr).text();
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

  /** Sends it as it is; one that has ended is found out by its answers. */
  async send(text: string | Uint8Array): Promise<void> {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    await this.#writer.write(bytes).catch(() => {});
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Ends its input, where it has not ended yet, and waits for its end. */
  async end(): Promise<{ code: number; errors: string }> {
    await this.#writer.close().catch(() => {});
    while (await this.line() !== undefined);
    return { code: (await this.#status).code, errors: await this.errors };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end().catch(() => {});
  }
}
