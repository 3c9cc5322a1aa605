import type { Clock } from "../model/clock.ts";
import type { SessionInfo, StatusInfo } from "../model/control.ts";
import type { Logger } from "../model/log.ts";
import type { TapSource } from "../model/tap.ts";

export interface InspectorAccess {
  readonly tap: TapSource | undefined;
  readonly state: StatusInfo["inspector"];
  inspectUrl(): string;
  close(): Promise<void>;
}

export function startInspector(
  _options: { clock: Clock; log: Logger; sessions: () => SessionInfo[] },
): InspectorAccess {
  return {
    tap: undefined,
    state: { reason: "not built yet" },
    inspectUrl: () => "",
    close: () => Promise.resolve(),
  };
}
