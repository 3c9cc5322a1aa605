import type { Clock } from "../model/clock.ts";
import type { StatusInfo } from "../model/control.ts";
import type { StatePaths } from "../platform/paths.ts";

/** Placeholder: makes sure that this user's `czfwd svc` runs and answers. */
export function ensureSvc(
  _options: { paths: StatePaths; resident: boolean; clock: Clock; debug?: boolean },
): Promise<StatusInfo> {
  throw new Error("Starting the background process is not built yet");
}
