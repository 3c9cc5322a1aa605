import { kindOf } from "./kinds.ts";

/** Commands that may also stand behind their workload, as in the guide's older order. */
const TRAILING = new Set(["teleport", "environment", "env", "configuration"]);

export interface CommandLine {
  /** What the parser gets. */
  readonly args: readonly string[];
  /** What stood behind the first `--`; undefined when there was none. */
  readonly program: readonly string[] | undefined;
}

/**
 * Brings a command line into the one order the parser knows:
 * `KIND NAME teleport -n NS` becomes `teleport KIND NAME -n NS`, and a program
 * behind `--` is set apart.
 */
export function readCommandLine(argv: readonly string[]): CommandLine {
  // The shell asks about a line under way; its dashes are not ours.
  if (argv[0] === "__complete") return { args: argv, program: undefined };
  const dashes = argv.indexOf("--");
  const args = commandFirst((dashes === -1 ? argv : argv.slice(0, dashes)).flatMap(apart));
  const program = dashes === -1 ? undefined : argv.slice(dashes + 1);
  const first = args[0];
  if (first === undefined) return { args, program };
  const slash = first.indexOf("/");
  if (kindOf(slash === -1 ? first : first.slice(0, slash)) === undefined) return { args, program };
  // A workload, a namespace or a file may itself be called "env": it is never taken for the command.
  const from = slash === -1 ? 2 : 1;
  const at = args.findIndex((arg, index) =>
    index >= from && TRAILING.has(arg) && !WITH_VALUE.test(args[index - 1]!) &&
    !/^(-[fl]|--env-file|--selector)$/.test(args[index - 1]!)
  );
  if (at === -1) return { args, program };
  return { args: [args[at]!, ...args.slice(0, at), ...args.slice(at + 1)], program };
}

/** `-n=shop`, which kubectl takes as well, is `-n shop`: the parser would take the `=` for its value. */
function apart(arg: string): string[] {
  const match = /^(-[nakfmclo])=(.*)$/s.exec(arg);
  return match ? [match[1]!, match[2]!] : [arg];
}

/** Options that take the next word with them, whatever the command (`-f` and `-l` are others in `logs`). */
const WITH_VALUE =
  /^(-[nakmco]|--(namespace|additional|kubeconfig|context|format|container|output))$/;

/** The others people put in front of a command. */
const LEADING_FLAG = /^(-q|--quiet|-A|--all-namespaces)$/;

/** `-n shop teleport deployment web`, as kubectl takes it, becomes `teleport deployment web -n shop`. */
function commandFirst(args: readonly string[]): readonly string[] {
  let at = 0;
  for (let arg; (arg = args[at]) !== undefined;) {
    if (WITH_VALUE.test(arg)) at += 2;
    else if (LEADING_FLAG.test(arg) || WITH_VALUE.test(arg.split("=", 1)[0]!)) at++;
    else break;
  }
  return at < args.length ? [...args.slice(at), ...args.slice(0, at)] : args;
}
