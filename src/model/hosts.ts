/**
 * One Service or pod of the hosts block, as labels; several may have one
 * address (an ExternalName for another). The privileged helper composes
 * the names from these and nothing else, so no request can name an arbitrary
 * host.
 */
export interface HostsEntry {
  /** Inside 127.1.0.0/16. */
  readonly address: string;
  readonly service: string;
  readonly namespace: string;
  /** Cluster domain, `cluster.local` unless the session says otherwise. */
  readonly domain: string;
  /**
   * `--domain SUFFIX`: the one name is `service.namespace.svc.SUFFIX`, so that a
   * second cluster with the same services can live beside the first.
   */
  readonly qualifiedOnly?: boolean;
  /** Set for the addressed pod of a headless Service: names are `pod.service.namespace...`. */
  readonly pod?: string;
  /** Also the bare name, `service` or `pod.service` (the session's own namespace). */
  readonly bare: boolean;
  /** Names to leave out, because svc found that they lead somewhere else outside. */
  readonly omit?: readonly string[];
  /** Names a session insists on (`--take`) though something else answers to them. */
  readonly take?: readonly string[];
}

/** A name that was asked for and left out, and why. */
export interface LeftOutName {
  readonly name: string;
  readonly reason: string;
}

/** What is in the hosts file after an apply. */
export interface HostsResult {
  /** Names by address, in the order of the line. */
  readonly lines: readonly { readonly address: string; readonly names: readonly string[] }[];
  readonly leftOut: readonly LeftOutName[];
  /** False when the block was already as wanted. */
  readonly changed: boolean;
}
