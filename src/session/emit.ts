import type { ControlEvent } from "../model/control.ts";

/** Says something to the client whose request is under way. */
export type Emit = (event: ControlEvent) => void;
