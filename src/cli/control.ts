import type { ControlEvent, ServiceInfo, SessionInfo } from "../model/control.ts";
import { buildInfo } from "../platform/build_info.ts";
import type { CliContext } from "./context.ts";
import { ControlClient, NotRunning } from "./control_client.ts";
import type { Printer } from "./printer.ts";

/** The client for this user's svc. */
export function controlClient(context: CliContext): ControlClient {
  return new ControlClient({ socket: context.paths().socket, version: buildInfo().version });
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
}

/** Shows a stream of events as it comes and tells how it ended. */
export async function follow(
  events: AsyncIterable<ControlEvent>,
  print: Printer,
): Promise<Outcome> {
  let session: SessionInfo | undefined;
  let already = false;
  const closed: SessionInfo[] = [];
  for await (const event of events) {
    switch (event.type) {
      case "progress":
        print.progress(event.text);
        break;
      case "step":
        print.step(event.label, event.detail);
        break;
      case "note":
        print.note(event.text);
        break;
      case "session":
        session = event.session;
        already = event.already;
        break;
      case "closed":
        closed.push(event.session);
        break;
    }
  }
  print.finish();
  return { session, already, closed };
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
