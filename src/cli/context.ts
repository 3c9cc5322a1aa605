import { CzctlError } from "../model/errors.ts";
import { environment, onInterrupt, workingFolder } from "../platform/caller.ts";
import { type StatePaths, statePaths } from "../platform/paths.ts";
import { checkStateFolder } from "../platform/state_folder.ts";
import { Printer } from "./printer.ts";
import { realTerminal } from "./terminal.ts";

/** What an action gets besides its options; tests give their own. */
export interface CliContext {
  readonly print: Printer;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Somebody can be asked something. */
  readonly hasTerminal: boolean;
  /** Aborted with CzctlError `interrupted` by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Throws CzctlError when HOME is not set, or its `.codezero` cannot be used. */
  paths(): StatePaths;
  /** What stood behind `--`, where the command line had one. */
  readonly program: readonly string[] | undefined;
  /**
   * Leaves Ctrl-C to the program that is run meanwhile, or to nobody where all
   * is done. The result takes it back.
   */
  handOverInterrupts(): () => void;
}

/** The context of this process, which listens for interrupts to its very end. */
export function realContext(program: readonly string[] | undefined): CliContext {
  const env = environment();
  const print = new Printer(realTerminal(env));
  const control = new AbortController();
  let handedOver = 0;
  onInterrupt((signal) => {
    if (handedOver > 0) return;
    if (control.signal.aborted) {
      // A second Ctrl-C: the user does not want to wait for the clean-up.
      print.finish();
      Deno.exit(130);
    }
    control.abort(new CzctlError("interrupted", `Interrupted by ${signal}`));
  });
  return {
    print,
    env,
    cwd: workingFolder(),
    hasTerminal: Deno.stdin.isTerminal(),
    signal: control.signal,
    paths() {
      const paths = statePaths(env.HOME);
      checkStateFolder(paths);
      return paths;
    },
    program,
    handOverInterrupts() {
      handedOver++;
      return () => {
        handedOver--;
      };
    },
  };
}
