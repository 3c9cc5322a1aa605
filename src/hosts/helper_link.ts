import type { Clock } from "../model/clock.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import type { HostsResult } from "../model/hosts.ts";
import { type LineChild, startLineChild } from "../platform/helper_child.ts";
import type { HelperAnswer, HelperHello, HelperRequest } from "./protocol.ts";

/** Until a started helper has said hello, in ms. */
const HELLO_MS = 10_000;
/** For one answer, in ms: the wait for the lock, and a slow disk. */
const ANSWER_MS = 30_000;
/** For the last edit and the end, in ms; above the helper's own wait for the lock. */
const END_MS = 40_000;

/** The helper went away before it answered; what it was asked may or may not be done. */
export class HelperGone extends CzctlError {
  constructor(reason: string) {
    super("failed", `Cannot reach the helper: ${reason}`, { hint: "See: czctl status" });
    this.name = "HelperGone";
  }
}

type RequestBody = HelperRequest extends infer R ? R extends unknown ? Omit<R, "id"> : never
  : never;

interface Waiting {
  resolve(result: HostsResult | undefined): void;
  reject(error: Error): void;
}

/** One running helper: requests and their answers. */
export class HelperLink {
  readonly hello: HelperHello;
  /** Resolves when the process has ended, with the reason; undefined after an orderly end. */
  readonly gone: Promise<CzctlError | undefined>;
  readonly #child: LineChild;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;

  private constructor(
    child: LineChild,
    hello: HelperHello,
    lines: AsyncIterator<string>,
    clock: Clock,
  ) {
    this.#child = child;
    this.hello = hello;
    this.#clock = clock;
    this.gone = this.#read(lines);
  }

  /** Starts a helper. Throws CzctlError when it does not come up or says why it cannot. */
  static async start(
    command: readonly string[],
    env: Readonly<Record<string, string>>,
    clock: Clock,
  ): Promise<HelperLink> {
    let child: LineChild;
    try {
      child = startLineChild(command, env);
    } catch (error) {
      throw new CzctlError("not_elevated", `Cannot start the helper: ${messageOf(error)}`, {
        hint: "Install it with: czctl start",
        cause: error,
      });
    }
    const cancel = clock.after(HELLO_MS, () => child.kill());
    try {
      const lines = child.lines[Symbol.asyncIterator]();
      const first = await lines.next();
      const said = first.done ? undefined : JSON.parse(first.value);
      if (said?.hello === "czfwd helper") return new HelperLink(child, said, lines, clock);
      if (said?.fatal !== undefined) throw CzctlError.fromJSON(said.fatal);
      throw new HelperGone(child.errorText() || "it ended without a word");
    } catch (error) {
      child.kill();
      throw error;
    } finally {
      cancel();
    }
  }

  /** Throws what the helper refuses, or HelperGone. */
  async ask(request: RequestBody): Promise<HostsResult | undefined> {
    const id = this.#nextId++;
    const answer = new Promise<HostsResult | undefined>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    // A helper that does not answer is no helper: the next one takes over.
    const cancel = this.#clock.after(ANSWER_MS, () => this.#child.kill());
    // Whoever is gone is noticed by the reader, which rejects the answer.
    this.#child.send(JSON.stringify({ id, ...request })).catch(() => {});
    try {
      return await answer;
    } finally {
      cancel();
    }
  }

  /** Ends the helper: it takes the block out first. Throws CzctlError when it could not. */
  async end(): Promise<void> {
    const cancel = this.#clock.after(END_MS, () => this.#child.kill());
    await this.#child.finish();
    const error = await this.gone;
    cancel();
    if (error !== undefined) throw error;
  }

  async #read(lines: AsyncIterator<string>): Promise<CzctlError | undefined> {
    let fatal: CzctlError | undefined;
    try {
      for (;;) {
        const next = await lines.next();
        if (next.done) break;
        const answer: HelperAnswer = JSON.parse(next.value);
        if ("fatal" in answer) fatal = CzctlError.fromJSON(answer.fatal);
        else this.#settle(answer);
      }
    } catch {
      this.#child.kill();
    }
    const { code, signal } = await this.#child.ended;
    const reason = fatal ??
      (code === 0 ? undefined : new HelperGone(
        signal === null ? this.#child.errorText() || `it ended with code ${code}` : `${signal}`,
      ));
    for (const { reject } of this.#waiting.values()) reject(reason ?? new HelperGone("it ended"));
    this.#waiting.clear();
    return reason;
  }

  #settle(answer: Exclude<HelperAnswer, { fatal: unknown }>): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.ok) waiting?.resolve(answer.result);
    else waiting?.reject(CzctlError.fromJSON(answer.error));
  }

  get pid(): number {
    return this.#child.pid;
  }
}
