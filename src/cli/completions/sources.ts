import type { WorkloadKind } from "../../model/control.ts";
import type { CliContext } from "../context.ts";
import { controlClient, ifRunning, workloadName } from "../control.ts";
import type { Candidate, Typed } from "./complete.ts";

/** Where candidates come from that are not in the program itself. */
export interface Sources {
  namespaces(): Promise<Candidate[]>;
  contexts(): Promise<Candidate[]>;
  names(kind: WorkloadKind): Promise<Candidate[]>;
  sessions(): Promise<Candidate[]>;
}

/** The cluster that the line so far means, and the sessions of this machine. */
export function clusterSources(_typed: Typed, context: CliContext): Sources {
  return {
    namespaces: () => Promise.resolve([]),
    contexts: () => Promise.resolve([]),
    names: () => Promise.resolve([]),
    sessions: async () => {
      const sessions = await ifRunning(() => controlClient(context).sessions());
      return (sessions ?? []).map((session) => ({
        value: session.id,
        description: workloadName(session),
      }));
    },
  };
}
