import { join, resolve } from "node:path";
import { CzctlError } from "../model/errors.ts";
import { buildInfo } from "../platform/build_info.ts";
import { ownExecutable } from "../platform/daemon.ts";
import {
  elevateWithSudo,
  type Elevation,
  inspectElevation,
  rememberedPrefix,
  rememberPrefix,
  runElevate,
  WHY_ROOT,
} from "../hosts/elevate.ts";
import { ensurePrivateDir } from "../platform/private_files.ts";
import type { CliContext } from "./context.ts";

/**
 * Makes sure that this user's helper works, asking for root when it does not.
 * Throws CzctlError `not_elevated`.
 */
export async function elevate(
  prefix: string | undefined,
  context: CliContext,
): Promise<Elevation> {
  const { print } = context;
  const query = { version: buildInfo().version, prefix: await prefixOf(prefix, context) };
  const before = await inspectElevation(query);
  if (before.state === "root" || before.state === "ready") return before;
  // Before root is asked for what could not be used then.
  await ensurePrivateDir(join(context.paths().base, "state"));
  print.say(`${WHY_ROOT}.`);
  if (before.state === "outdated") {
    print.say(`The installed helper is of version ${before.version} and is replaced.`);
  }
  print.finish();
  // sudo asks on the terminal itself; Ctrl-C there is for sudo.
  const takeBack = context.handOverInterrupts();
  try {
    await elevateWithSudo({ action: "install", binary: ownExecutable(), prefix: query.prefix });
  } finally {
    takeBack();
  }
  const after = await inspectElevation(query);
  if (after.state !== "ready") {
    throw new CzctlError(
      "not_elevated",
      `Cannot use the helper just installed as "${after.path}": ${after.reason ?? after.state}`,
      { hint: "Install it in another place: czctl start --prefix FOLDER" },
    );
  }
  await rememberPrefix(context.paths().base, query.prefix);
  return after;
}

/** Removes this user's helper; undefined when there is none. Throws CzctlError `not_elevated`. */
export async function removeElevated(
  prefix: string | undefined,
  context: CliContext,
): Promise<string | undefined> {
  const query = { version: buildInfo().version, prefix: await prefixOf(prefix, context) };
  const { state, path } = await inspectElevation(query);
  if (state === "root" || state === "absent") return undefined;
  context.print.finish();
  const takeBack = context.handOverInterrupts();
  try {
    await elevateWithSudo({ action: "uninstall", binary: ownExecutable(), prefix: query.prefix });
  } finally {
    takeBack();
  }
  return path;
}

/** `czctl elevate ...`, which root runs for `czctl start`; not for people to type. */
export async function elevateAsRoot(args: readonly string[]): Promise<void> {
  await runElevate(args, ownExecutable());
}

async function prefixOf(prefix: string | undefined, context: CliContext): Promise<string> {
  return prefix === undefined
    ? await rememberedPrefix(context.paths().base)
    : resolve(context.cwd, prefix);
}
