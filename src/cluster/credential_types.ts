import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/log.ts";
import type { ResolvedContext } from "./context.ts";

/** What a request proves itself with, at one moment. */
export interface Credentials {
  readonly token?: string;
  /** `user:password`, base64. */
  readonly basic?: string;
  /** PEM. */
  readonly cert?: string;
  readonly key?: string;
}

export interface CredentialSource {
  /** Valid now. `refresh`: what is cached was refused. Throws CzctlError `denied`. */
  get(refresh: boolean): Promise<Credentials>;
}

export interface CredentialOptions {
  readonly context: ResolvedContext;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** True in a program with a terminal: plugins may ask the user. */
  readonly interactive: boolean;
}
