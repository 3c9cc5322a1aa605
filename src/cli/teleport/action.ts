import { CzctlError, messageOf } from "../../model/errors.ts";
import type { ControlEvent, SessionInfo, TeleportRequest } from "../../model/control.ts";
import { systemClock } from "../../platform/clock.ts";
import type { CliContext } from "../context.ts";
import { controlClient, follow, ifRunning, leave, workloadName } from "../control.ts";
import { type ControlClient, NotRunning } from "../control_client.ts";
import { parseWorkload } from "../kinds.ts";
import { untilSvcEnds } from "../leftovers.ts";
import { defined } from "../options.ts";
import { noProxyLine } from "../run/no_proxy.ts";
import { BrokenPipe, OutputLost } from "../terminal.ts";
import { clean } from "./clean.ts";
import type { TeleportOptions } from "./command.ts";

/** After Ctrl-C, how long to wait until what was done is undone, in ms. */
const UNDO_MS = 10_000;

/** `czctl teleport`: opens a session, or with `--clean` closes it. */
export async function teleport(
  operands: readonly string[],
  options: TeleportOptions,
  context: CliContext,
): Promise<number> {
  if (options.clean) return await clean(operands, options, context);
  const request = teleportRequest(operands, options, context);
  if (context.program !== undefined) {
    const { runInItsSession } = await import("../run/action.ts");
    return await runInItsSession(request, options, context);
  }
  const opened = await open(request, context);
  // It is open, whatever comes now.
  context.handOverInterrupts();
  await leave(opened.held);
  try {
    await tell(opened, context);
    if (context.print.format === "json") {
      context.print.json({ session: opened.session, already: opened.already });
    }
  } catch (error) {
    // A script that is told of a failure does not close what it did not get.
    if (!(error instanceof BrokenPipe)) await undo(opened.holder, controlClient(context), context);
    throw error;
  }
  return 0;
}

/** Throws CzctlError `usage`. */
export function teleportRequest(
  operands: readonly string[],
  options: Omit<TeleportOptions, "output">,
  context: Pick<CliContext, "cwd" | "env" | "program">,
): TeleportRequest {
  const { kind, name, rest } = parseWorkload(operands, "teleport");
  if (rest.length > 0) {
    throw usage(`Unexpected argument "${rest[0]}"`, "A program to run comes behind --");
  }
  if (context.program?.length === 0) {
    throw usage(
      "No program is named behind --",
      "Like this: czctl teleport KIND NAME -- npm start",
    );
  }
  if (options.envFile === undefined) {
    for (const flag of ["format", "export", "onChange", "force"] as const) {
      if (options[flag] === undefined) continue;
      const spelled = flag === "onChange" ? "--on-change" : `--${flag}`;
      throw usage(`${spelled} needs an environment file`, "Name one with -f FILE");
    }
  }
  if (options.envFile === "-") {
    throw usage(
      "Cannot keep an environment fresh on standard output: -f needs a file",
      `For one look: czctl environment ${kind} ${name}; a file of that name is ./-`,
    );
  }
  if (kind === "namespace" && options.namespace !== undefined && options.namespace !== name) {
    throw usage(
      `Two namespaces are named: "${name}" and "${options.namespace}"`,
      `To have both: czctl teleport namespace ${name} -a ${options.namespace}`,
    );
  }
  if (kind === "namespace") {
    for (const flag of ["envFile", "container"] as const) {
      if (options[flag] === undefined) continue;
      throw usage(
        `A namespace has no environment for ${flag === "envFile" ? "-f" : "-c"}`,
        "Name a workload instead: czctl teleport deployment NAME -f FILE",
      );
    }
  }
  if (
    options.container !== undefined && options.envFile === undefined &&
    context.program === undefined
  ) {
    throw usage(
      "--container needs an environment file or a program, whose environment it chooses",
      `Name one: czctl teleport ${kind} ${name} -c ${options.container} -f FILE`,
    );
  }
  return {
    kind,
    name,
    ...defined({
      namespace: options.namespace,
      additional: options.additional,
      allNamespaces: options.allNamespaces,
      kubeconfig: options.kubeconfig,
      context: options.context,
      envFile: options.envFile,
      format: options.format,
      exportVariables: options.export,
      container: options.container,
      force: options.force,
      onChange: options.onChange,
      exclude: options.exclude,
      only: options.only,
      labelSelector: options.selector,
      shortNames: options.shortNames ? undefined : false,
      clusterDomain: options.clusterDomain,
      domain: options.domain,
      take: options.take,
      holdMs: options.hold,
    }),
    cwd: context.cwd,
    env: context.env,
  };
}

/** A session that is open. */
export interface Opened {
  readonly session: SessionInfo;
  /** It was open before. */
  readonly already: boolean;
  /** By this name svc knows that it is needed, for a program while `held` is left open. */
  readonly holder: string;
  readonly held: AsyncGenerator<ControlEvent>;
}

/**
 * Opens the session, or finds it open. Ctrl-C before svc has said so cancels
 * it and waits until it is undone; after that it is open.
 */
export async function open(request: TeleportRequest, context: CliContext): Promise<Opened> {
  const { print, signal } = context;
  const { prepareCredentials } = await import("./credentials.ts");
  const credential = await prepareCredentials(request, context);
  const { ensureSvc } = await import("../../session/launch.ts");
  const client = controlClient(context);
  const holder = crypto.randomUUID();
  const forProgram = context.program === undefined ? undefined : true;
  const asked = { ...request, ...defined({ credential, forProgram }), holder };
  const attempt = async () => {
    signal.throwIfAborted();
    try {
      await ensureSvc({ paths: context.paths(), resident: false, clock: systemClock });
      await client.connect(signal);
      const held = client.teleport(asked, signal);
      const { session, already } = await follow(held, print);
      if (session === undefined) throw new Error("svc opened a session without saying which");
      return { session, already, holder, held };
    } catch (error) {
      // What fails in svc has been undone there.
      if (signal.aborted || error instanceof OutputLost) await undo(holder, client, context);
      throw error;
    }
  };
  // One without sessions may end in the very moment it is asked: then another is started.
  return await attempt().catch((error) => {
    if (error instanceof NotRunning) return attempt();
    throw error;
  });
}

/** Says what there is to know of a session that is open. */
export async function tell({ session, already }: Opened, context: CliContext): Promise<void> {
  const { print } = context;
  if (already) print.say(`  The session of ${workloadName(session)} is open already`);
  if (!session.cluster.reachable) {
    print.note(`Its cluster is unreachable: ${session.cluster.reason ?? "no answer"}`);
  }
  // svc has told the notes of one it has just opened.
  if (already) { for (const note of session.notes) print.note(note); }
  const line = context.program === undefined ? noProxyLine(context.env, session) : undefined;
  if (line !== undefined) {
    print.note(`Programs of this shell would ask its proxy; for them: ${line}`);
  }
  const status = await controlClient(context).status();
  const { url } = status.inspector;
  const id = status.sessions.length > 1 ? ` ${session.id}` : "";
  const hints = [
    ...(url === undefined ? [] : [`Inspect: ${url}`]),
    // One for a program closes by itself.
    ...(context.program === undefined ? [`Close: czctl session close${id}`] : []),
  ];
  if (hints.length > 0) print.say(`  ${hints.join("      ")}`);
}

async function undo(
  holder: string,
  client: ControlClient,
  context: CliContext,
): Promise<void> {
  const { print } = context;
  print.progress(
    context.signal.aborted ? "Interrupted: undoing what was done" : "Undoing what was done",
  );
  const late = AbortSignal.timeout(UNDO_MS);
  try {
    const outcome = await ifRunning(() => follow(client.release(holder, late), print));
    if (outcome?.ending) await untilSvcEnds(context);
  } catch (error) {
    print.note(
      late.aborted
        ? "Not all is undone yet; see czctl status"
        : `Cannot tell whether all is undone: ${messageOf(error)}`,
    );
  }
}

function usage(message: string, hint: string): CzctlError {
  return new CzctlError("usage", message, { hint });
}
