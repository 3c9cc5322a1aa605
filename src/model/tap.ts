/**
 * What the inspector sees of a connection. The relay asks `watching` once per
 * connection and calls nothing else when it is false: with nobody looking it
 * pays one property read.
 */
export interface TapSource {
  readonly watching: boolean;
  /** A connection was accepted. Returns undefined to stay out of it. */
  open(connection: TapConnectionInfo): ConnectionTap | undefined;
}

export interface TapConnectionInfo {
  /** Id of the session whose listener it was; two may have services of the same name. */
  readonly session?: string;
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  readonly appProtocol?: string;
  readonly pod: string;
}

/** Chunks are only lent: copy what is kept. Must not throw and must not block. */
export interface ConnectionTap {
  up(chunk: Uint8Array): void;
  down(chunk: Uint8Array): void;
  close(error?: string): void;
}
