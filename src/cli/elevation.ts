import { join, resolve } from "node:path";
import { CzctlError, EXIT } from "../model/errors.ts";
import { buildInfo } from "../platform/build_info.ts";
import { ownExecutable } from "../platform/daemon.ts";
import {
  elevateAnswer,
  type ElevateRequest,
  elevateWithSudo,
  type Elevation,
  FOR_START,
  forgetPrefix,
  inspectElevation,
  isInstalled,
  rememberedPrefix,
  rememberPrefix,
  runElevate,
  WHY_ROOT,
} from "../hosts/elevate.ts";
import { ensurePrivateDir } from "../platform/private_files.ts";
import type { CliContext } from "./context.ts";
import type { Printer } from "./printer.ts";

/**
 * Makes sure that this user's helper works and is the only one, asking for root
 * when that is not so. Throws CzctlError.
 */
export async function elevate(
  prefix: string | undefined,
  context: CliContext,
): Promise<Elevation> {
  const { print } = context;
  const { base } = context.paths();
  const remembered = await rememberedPrefix(base);
  const query = { version: buildInfo().version, prefix: prefixOf(prefix, remembered, context) };
  const before = await inspectElevation(query);
  if (before.state === "root") return before;
  const moves = query.prefix !== remembered && await isInstalled(remembered);
  const ready = before.state === "ready" && !moves;
  if (ready && query.prefix === remembered) return before;
  // Before root is asked for what could not be used then.
  await ensurePrivateDir(join(base, "state"));
  if (ready) {
    // Root installed it by hand.
    await rememberPrefix(base, query.prefix);
    return before;
  }
  print.say(`${WHY_ROOT}.`);
  if (before.state === "outdated") {
    print.say(`The installed helper is of version ${before.version} and is replaced.`);
  }
  if (moves) print.say(`The one below "${remembered}" is removed.`);
  await askRoot({
    action: "install",
    binary: ownExecutable(),
    prefix: query.prefix,
    ...(moves ? { former: remembered } : {}),
  }, context);
  await rememberPrefix(base, query.prefix);
  const after = await inspectElevation(query);
  if (after.state !== "ready") {
    throw new CzctlError(
      "not_elevated",
      `Cannot use the helper just installed as "${after.path}": ${after.reason ?? after.state}`,
      { hint: "Install it in another place: czctl start --prefix FOLDER" },
    );
  }
  return after;
}

/** Removes and forgets this user's helper; undefined when there is none. Throws CzctlError. */
export async function removeElevated(
  prefix: string | undefined,
  context: CliContext,
): Promise<string | undefined> {
  const { base } = context.paths();
  const remembered = await rememberedPrefix(base);
  const query = { version: buildInfo().version, prefix: prefixOf(prefix, remembered, context) };
  const { state, path } = await inspectElevation(query);
  if (state === "root") return undefined;
  if (state !== "absent") {
    await askRoot(
      { action: "uninstall", binary: ownExecutable(), prefix: query.prefix },
      context,
    );
  }
  if (query.prefix === remembered) await forgetPrefix(base);
  return state === "absent" ? undefined : path;
}

async function askRoot(request: ElevateRequest, context: CliContext): Promise<void> {
  const { print } = context;
  print.finish();
  // sudo asks on the terminal itself; Ctrl-C there is for sudo.
  const takeBack = context.handOverInterrupts();
  try {
    await elevateWithSudo(request, (text) => print.errorLines(text));
  } finally {
    takeBack();
  }
}

/**
 * `czctl elevate ...`, which root runs for `czctl start`; not for people to
 * type, but where there is no sudo. Resolves with the exit code.
 */
export async function elevateAsRoot(args: readonly string[], print: Printer): Promise<number> {
  const forStart = args[0] === FOR_START;
  try {
    await runElevate(forStart ? args.slice(1) : args, ownExecutable());
    return EXIT.done;
  } catch (error) {
    if (!forStart || !(error instanceof CzctlError)) throw error;
    print.raw(elevateAnswer(error));
    return error.exitCode;
  }
}

function prefixOf(prefix: string | undefined, remembered: string, context: CliContext): string {
  return prefix === undefined ? remembered : resolve(context.cwd, prefix);
}
