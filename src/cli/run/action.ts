import { CzctlError, messageOf } from "../../model/errors.ts";
import type { SessionInfo, TeleportRequest } from "../../model/control.ts";
import { CannotStart, runInForeground } from "../../platform/children.ts";
import type { CliContext } from "../context.ts";
import { controlClient, follow, leave } from "../control.ts";
import { defined } from "../options.ts";
import { chooseSession, openSessions } from "../session/close.ts";
import { open, type Opened, teleportRequest, tell } from "../teleport/action.ts";
import { besideProxy } from "./no_proxy.ts";
import type { RunOptions } from "./command.ts";

/** As shells have it: a program that is not there, and one that cannot be run. */
const NOT_FOUND_EXIT = 127;
const NOT_RUNNABLE_EXIT = 126;

/** `czctl run [KIND NAME] -- PROGRAM`; resolves with the program's exit code. */
export async function run(
  operands: readonly string[],
  options: RunOptions,
  context: CliContext,
): Promise<number> {
  if (context.program === undefined || context.program.length === 0) {
    throw new CzctlError("usage", "No program is named", {
      hint: "Like this: czctl run -- npm start",
    });
  }
  if (operands.length === 0) {
    const sessions = await openSessions(controlClient(context), context);
    if (sessions.length === 0) {
      throw new CzctlError("failed", "Cannot run a program in a session: none is open", {
        hint: `Open one for it: czctl run KIND NAME -- ${context.program.join(" ")}`,
      });
    }
    const session = chooseSession(
      sessions,
      options.session,
      `Name one: czctl run --session ID -- ${context.program.join(" ")}`,
    );
    return await runProgram(session, options, context);
  }
  if (options.session !== undefined) {
    throw new CzctlError("usage", "A workload and --session are named together", {
      hint: "Give one of them; see czctl run --help",
    });
  }
  const request = teleportRequest(operands, { ...options, shortNames: true }, context);
  return await runInItsSession(request, options, context);
}

/**
 * Opens a session for the program behind `--`, or finds it open, and runs the
 * program there; its end closes a session that nothing else was opened for.
 */
export async function runInItsSession(
  request: TeleportRequest,
  options: Pick<RunOptions, "container" | "kubeconfig">,
  context: CliContext,
): Promise<number> {
  const opened = await open(request, context);
  try {
    await tell(opened, context);
    return await runProgram(opened.session, options, context);
  } finally {
    await release(opened, context);
  }
}

/** Runs the program behind `--` with the environment of the session's workload. */
async function runProgram(
  session: SessionInfo,
  options: Pick<RunOptions, "container" | "kubeconfig">,
  context: CliContext,
): Promise<number> {
  const { print, signal } = context;
  const variables = await variablesOf(session, options, context);
  signal.throwIfAborted();
  print.finish();
  const takeBack = context.handOverInterrupts();
  const [command, ...args] = context.program!;
  try {
    const env = besideProxy({ ...context.env, ...variables }, session);
    return await runInForeground(command!, args, env);
  } catch (error) {
    if (!(error instanceof CannotStart)) throw error;
    print.error(`Cannot start "${command}": ${error.message}`, error.hint);
    return error.missing ? NOT_FOUND_EXIT : NOT_RUNNABLE_EXIT;
  } finally {
    takeBack();
  }
}

async function variablesOf(
  session: SessionInfo,
  options: Pick<RunOptions, "container" | "kubeconfig">,
  context: CliContext,
): Promise<Record<string, string>> {
  // A namespace has services and no environment of its own.
  if (session.workload.kind === "namespace") return {};
  const { workloadEnvironment } = await import("../../session/environment.ts");
  context.print.progress("Reading the environment");
  const found = await workloadEnvironment({
    ...session.workload,
    context: session.context,
    ...defined({ kubeconfig: options.kubeconfig, container: options.container }),
    cwd: context.cwd,
    // The session may have been opened with another kubeconfig than this terminal's.
    env: session.kubeconfig === undefined
      ? context.env
      : { ...context.env, KUBECONFIG: session.kubeconfig },
    serviceAddress: addressesOf([session]),
    // What is not a terminal belongs to the program.
    interactive: context.hasTerminal,
    signal: context.signal,
  });
  for (const note of found.notes) context.print.note(note);
  const { CONTAINER_FILES, namesContainerFiles } = await import(
    "../../envfile/container_files.ts"
  );
  const entries = [...found.variables];
  const left = entries.filter(([name, value]) => namesContainerFiles(name, value));
  for (const [name] of left) context.print.note(`${name} is left out: ${CONTAINER_FILES}`);
  return Object.fromEntries(entries.filter((entry) => !left.includes(entry)));
}

/** Local addresses of the sessions' services, for variables such as WEB_SERVICE_HOST. */
export function addressesOf(
  sessions: readonly SessionInfo[],
): (server: string, namespace: string, service: string) => string | undefined {
  const addresses = new Map<string, string>();
  for (const { server, services } of sessions) {
    for (const { namespace, name, pod, address } of services) {
      if (address === undefined || pod !== undefined) continue;
      addresses.set(`${server} ${namespace}/${name}`, address);
    }
  }
  return (server, namespace, service) => addresses.get(`${server} ${namespace}/${service}`);
}

async function release({ session, holder, held }: Opened, context: CliContext): Promise<void> {
  try {
    // Not with the context's signal: an interrupt is why we may be here.
    const { ending } = await follow(controlClient(context).release(holder), context.print);
    if (ending) {
      const { untilSvcEnds } = await import("../leftovers.ts");
      await untilSvcEnds(context);
    }
  } catch (error) {
    context.print.note(`Cannot close session ${session.id}: ${messageOf(error)}`);
  }
  await leave(held);
}
