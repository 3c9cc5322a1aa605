import { ascii, pad, plain, plainJson, plainLines } from "./text.ts";
import { BrokenPipe, type Stream, type Terminal } from "./terminal.ts";

/** Where the right column of steps begins, and the room it needs: it comes nearer on a narrow terminal. */
const DETAIL_COLUMN = 48;
const DETAIL_WIDTH = 40;

export type OutputFormat = "text" | "json";

/**
 * All that a command says. Facts go to standard output; progress, notes and
 * errors to standard error, so that a pipe gets facts alone. Everything is
 * made harmless for a terminal here, once.
 */
export class Printer {
  /** With `json`, only `json()` writes to standard output. */
  format: OutputFormat = "text";
  /** `-q`: nothing but facts that were asked for, and errors. */
  quiet = false;
  /** Standard output belongs to a program that is run: steps and lines for people go beside it. */
  aside = false;
  #progressShown = false;
  #lastProgress = "";

  constructor(readonly terminal: Terminal) {}

  /** A line of facts. */
  line(text = ""): void {
    this.#clearProgress();
    this.terminal.stdout.write(`${this.#styled(plain(text))}\n`);
  }

  /** Text as it is, for a file or a pipe; on a terminal, made harmless. */
  raw(text: string): void {
    this.#clearProgress();
    this.terminal.stdout.write(this.terminal.stdout.isTerminal ? plainLines(text) : text);
  }

  json(value: unknown): void {
    this.#clearProgress();
    this.terminal.stdout.write(`${plainJson(value)}\n`);
  }

  /** A finished step. */
  step(label: string, detail: string): void {
    if (this.quiet || this.format === "json") return;
    this.#clearProgress();
    const mark = this.terminal.unicode ? "✔" : "ok";
    const stream = this.aside ? this.terminal.stderr : this.terminal.stdout;
    const column = stream.isTerminal
      ? Math.min(DETAIL_COLUMN, stream.columns() - DETAIL_WIDTH)
      : DETAIL_COLUMN;
    const text = `${pad(plain(label), column)} ${plain(detail)}`.trimEnd();
    this.#tell(stream, `  ${colored(32, mark, stream)} ${this.#styled(text)}\n`);
  }

  /** Something to know; nothing failed. */
  note(text: string): void {
    if (this.quiet) return;
    this.#clearProgress();
    const { stderr } = this.terminal;
    this.#tell(stderr, `  ${colored(33, "!", stderr)} ${this.#styled(plain(text))}\n`);
  }

  /** A plain line for people, beside the facts. */
  say(text: string): void {
    if (this.quiet) return;
    this.#clearProgress();
    const beside = this.aside || this.format === "json";
    const stream = beside ? this.terminal.stderr : this.terminal.stdout;
    this.#tell(stream, `${this.#styled(plain(text))}\n`);
  }

  /** What is under way: one changing line on a terminal that can do that, plain lines elsewhere. */
  progress(text: string): void {
    if (this.quiet) return;
    const stream = this.terminal.stderr;
    const line = this.#styled(`  ${plain(text)}`);
    if (!this.terminal.rewrites) {
      if (line !== this.#lastProgress) this.#tell(stream, `${line}\n`);
      this.#lastProgress = line;
      return;
    }
    const shown = [...line].slice(0, stream.columns() - 1).join("");
    this.#tell(stream, `\r${shown}\x1b[K`);
    this.#progressShown = true;
  }

  /** A failure: what and why, then what to do about it, which may take several lines. */
  error(message: string, hint?: string): void {
    this.#clearProgress();
    const { stderr } = this.terminal;
    const text = `${colored(31, "error:", stderr)} ${this.#styled(plain(message))}\n`;
    this.#tell(
      stderr,
      hint === undefined
        ? text
        : text + hint.split("\n").map((line) => `  ${this.#styled(plain(line))}\n`).join(""),
    );
  }

  /** Text of several lines to standard error: help after a wrong command line, a stack. */
  errorLines(text: string): void {
    this.#clearProgress();
    this.#tell(this.terminal.stderr, plainLines(text));
  }

  /** Takes the progress line away; call before another program writes. */
  finish(): void {
    this.#clearProgress();
  }

  #clearProgress(): void {
    if (!this.#progressShown) return;
    this.#progressShown = false;
    this.#tell(this.terminal.stderr, "\r\x1b[K");
  }

  /**
   * Words beside what is being done. Who stops reading them (`| head -1`,
   * `| grep -q`) does not mean that it should be left half done.
   */
  #tell(stream: Stream, text: string): void {
    try {
      stream.write(text);
    } catch (error) {
      if (!(error instanceof BrokenPipe)) throw error;
    }
  }

  #styled(text: string): string {
    return this.terminal.unicode ? text : ascii(text);
  }
}

function colored(code: number, text: string, stream: Stream): string {
  return stream.color ? `\x1b[${code}m${text}\x1b[0m` : text;
}
