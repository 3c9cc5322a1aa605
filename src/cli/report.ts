import { CzctlError, EXIT } from "../model/errors.ts";
import type { Printer } from "./printer.ts";
import { BrokenPipe } from "./terminal.ts";

/**
 * The one place that turns what was thrown into words and an exit code:
 * message and hint for what a user can cause, the stack for a bug.
 */
export function report(error: unknown, print: Printer): number {
  // The reader left on purpose; shells expect no complaint.
  if (error instanceof BrokenPipe) return EXIT.done;
  if (error instanceof CzctlError) {
    if (print.format === "json") {
      try {
        print.json({ error: error.toJSON() });
      } catch {
        // The output is what failed; people are still told.
      }
    }
    print.error(error.message, error.hint);
    return error.exitCode;
  }
  print.errorLines(`${stackOf(error)}\n`);
  print.error(
    "This is a bug in czctl",
    "Please report it with the lines above and the output of: czctl version",
  );
  return EXIT.failed;
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${String(error)}`;
  const stack = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause === undefined ? stack : `${stack}\ncaused by ${stackOf(error.cause)}`;
}
