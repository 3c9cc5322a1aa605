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

/**
 * What a plugin gave in `czctl`, where it could ask the user, on its way to
 * svc, where it cannot. Crosses the control socket only; never written down.
 */
export interface HandedCredential extends Credentials {
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number;
}

export interface CredentialSource {
  /** A plugin that may ask the user. */
  readonly asks?: boolean;
  /** Gets the credential now, for another process to start with. */
  handOver?(): Promise<HandedCredential>;
  /** Valid now. `refresh`: what is cached was refused. Throws CzctlError `denied`. */
  get(refresh: boolean): Promise<Credentials>;
  /** Ends what still runs for it. */
  close?(): void;
}

export interface CredentialOptions {
  readonly context: ResolvedContext;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** True in a program with a terminal: plugins may ask the user. */
  readonly interactive: boolean;
  /** From `handOver` in a program with a terminal; used until it expires or is refused. */
  readonly handed?: HandedCredential;
}
