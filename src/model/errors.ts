/** Process exit codes, one meaning each (docs/guide.md lists them for users). */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  cluster: 3,
  notElevated: 4,
  interrupted: 130,
} as const;

/**
 * What kind of failure this is; decides the exit code and whether another try
 * can help. `unreachable` and `denied` speak of the cluster, `not_elevated` of
 * root on this machine.
 */
export type ErrorCode =
  | "failed"
  | "usage"
  | "unreachable"
  | "denied"
  | "not_found"
  | "not_elevated"
  | "interrupted";

const EXIT_OF: Record<ErrorCode, number> = {
  failed: EXIT.failed,
  usage: EXIT.usage,
  unreachable: EXIT.cluster,
  denied: EXIT.cluster,
  not_found: EXIT.failed,
  not_elevated: EXIT.notElevated,
  interrupted: EXIT.interrupted,
};

/** An error as it crosses the control socket or is printed with `-o json`. */
export interface ErrorJson {
  code: ErrorCode;
  message: string;
  hint?: string;
}

/**
 * A failure a user can cause or mend. `message` is one sentence without a
 * final period that says what failed and why; `hint` is the next command or
 * step. Anything else thrown is a bug and is shown with its stack.
 */
export class CzctlError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CzctlError";
    this.code = code;
    this.hint = options.hint;
  }

  /** The exit code `czctl` ends with when this error reaches the top. */
  get exitCode(): number {
    return EXIT_OF[this.code];
  }

  toJSON(): ErrorJson {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
    };
  }

  static fromJSON(json: ErrorJson): CzctlError {
    return new CzctlError(
      json.code,
      json.message,
      json.hint === undefined ? {} : { hint: json.hint },
    );
  }
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
