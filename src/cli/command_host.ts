import type { CliContext } from "./context.ts";
import type { OutputFormat } from "./printer.ts";

/**
 * What a command's declaration needs to run its action: the context, and a
 * place for the exit code.
 */
export class CommandHost {
  exitCode = 0;

  constructor(readonly context: CliContext) {}

  /** Runs an action with the shared output options set. */
  async run(
    common: { output?: OutputFormat; quiet?: true | undefined },
    action: () => Promise<number | void>,
  ): Promise<void> {
    this.context.print.format = common.output ?? "text";
    this.context.print.quiet = common.quiet === true;
    this.exitCode = (await action()) ?? 0;
  }
}
