import type { ControlEvent, ServiceInfo, SessionInfo } from "../model/control.ts";
import { buildInfo } from "../platform/build_info.ts";
import { machineView } from "../platform/machine_view.ts";
import type { CliContext } from "./context.ts";
import { ControlClient, NotRunning } from "./control_client.ts";
import type { Printer } from "./printer.ts";

/** The client for this user's svc. */
export function controlClient(context: CliContext): ControlClient {
  return new ControlClient({
    socket: context.paths().socket,
    version: buildInfo().version,
    machine: machineView(),
  });
}

/** What `ask` gives, or undefined when no svc is running. */
export async function ifRunning<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof NotRunning) return undefined;
    throw error;
  }
}

export interface Outcome {
  readonly session: SessionInfo | undefined;
  /** The session was open before. */
  readonly already: boolean;
  readonly closed: readonly SessionInfo[];
  /** svc has nothing left to do and ends now. */
  readonly ending: boolean;
}

/**
 * Shows a stream of events as it comes and tells how it ended. A session that
 * is open is an end, too: the stream is then left to the caller as it is.
 */
export async function follow(
  events: AsyncGenerator<ControlEvent>,
  print: Printer,
): Promise<Outcome> {
  const closed: SessionInfo[] = [];
  let ending = false;
  try {
    for (let next = await events.next(); !next.done; next = await events.next()) {
      const event = next.value;
      if (event.type === "session") {
        print.finish();
        return { session: event.session, already: event.already, closed, ending };
      }
      if (event.type === "done") ending = event.ending === true;
      if (event.type === "closed") closed.push(event.session);
      show(event, print);
    }
  } catch (error) {
    await leave(events);
    throw error;
  }
  print.finish();
  return { session: undefined, already: false, closed, ending };
}

function show(event: ControlEvent, print: Printer): void {
  switch (event.type) {
    case "progress":
      return print.progress(event.text);
    case "step":
      return print.step(event.label, event.detail);
    case "note":
      return print.note(event.text);
  }
}

/** Ends a stream that has been read far enough. */
export async function leave(events: AsyncGenerator<ControlEvent>): Promise<void> {
  // One that was cut off before fails once more.
  await events.return(undefined).catch(() => {});
}

/** `deployment/web`, as in every message. */
export function workloadName(session: SessionInfo): string {
  return `${session.workload.kind}/${session.workload.name}`;
}

/** The namespaces whose services a session has, in words. */
export function namespacesOf({ namespaces }: SessionInfo): string {
  return namespaces[0] === "*" ? "all namespaces" : namespaces.join(", ");
}

/** The Services that can be reached; pods with an address of their own are part of theirs. */
export function tunnelledOf({ services }: SessionInfo): ServiceInfo[] {
  return services.filter(({ address, pod }) => address !== undefined && pod === undefined);
}
