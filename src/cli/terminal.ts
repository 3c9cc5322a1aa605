import { CzctlError, messageOf } from "../model/errors.ts";

/** One of the two streams a command writes to. */
export interface Stream {
  readonly isTerminal: boolean;
  readonly color: boolean;
  /** Width in characters; 80 where it is not known. */
  columns(): number;
  /** Throws BrokenPipe when nobody reads any more, OutputLost when it goes nowhere. */
  write(text: string): void;
}

export interface Terminal {
  readonly stdout: Stream;
  readonly stderr: Stream;
  /** Whether decoration may use more than ASCII. */
  readonly unicode: boolean;
  /** Whether a line on standard error can be written over. */
  readonly rewrites: boolean;
}

/** The reader of our output has gone (`czctl ... | head`): no failure, but nothing left to do. */
export class BrokenPipe extends Error {
  override readonly name = "BrokenPipe";
}

/** What was written has gone nowhere: a full disk, most often. */
export class OutputLost extends CzctlError {
  constructor(cause: unknown) {
    super("failed", `Cannot write the standard output: ${messageOf(cause)}`, {
      hint: "See where it goes, and that there is room: df -h",
      cause,
    });
  }
}

/** The terminal or pipes this process was given. `env`: NO_COLOR, TERM, LC_ALL, LC_CTYPE, LANG. */
export function realTerminal(env: Readonly<Record<string, string>>): Terminal {
  const isTerminal = Deno.stdout.isTerminal();
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || "";
  const colors = !env.NO_COLOR && env.TERM !== "dumb";
  return {
    stdout: stream(Deno.stdout, "output", colors),
    stderr: stream(Deno.stderr, "error", colors),
    unicode: isTerminal && /utf-?8/i.test(locale),
    rewrites: Deno.stderr.isTerminal() && env.TERM !== "dumb",
  };
}

function stream(
  file: { writeSync(bytes: Uint8Array): number; isTerminal(): boolean },
  name: "output" | "error",
  colors: boolean,
): Stream {
  const encoder = new TextEncoder();
  const isTerminal = file.isTerminal();
  return {
    isTerminal,
    color: isTerminal && colors,
    columns() {
      try {
        return Deno.consoleSize().columns || 80;
      } catch {
        return 80;
      }
    },
    write(text) {
      const bytes = encoder.encode(text);
      try {
        for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
      } catch (error) {
        if (error instanceof Error && error.name === "BrokenPipe") throw new BrokenPipe();
        // That errors cannot be told is no reason to stop.
        if (name === "error") return;
        throw new OutputLost(error);
      }
    },
  };
}
