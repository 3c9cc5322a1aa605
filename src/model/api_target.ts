/**
 * Everything needed to open a connection to an API server, credentials
 * included, at one moment. The cluster room makes it from a kubeconfig, the
 * tunnel room dials with it; neither knows the other.
 */
export interface ApiTarget {
  /** Host to dial, without brackets for IPv6. */
  readonly host: string;
  readonly port: number;
  /** Path prefix of the server's URL, without a trailing slash; often empty. */
  readonly basePath: string;
  /** Absent for a plain `http://` server (kubectl proxy). */
  readonly tls?: ApiTls;
  /** Request headers the kubeconfig asks for: `authorization`, `impersonate-user`, ... (lower case). */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Further credential headers whose name may repeat, one line each:
   * `impersonate-group` must not be joined with commas.
   */
  readonly repeatedHeaders?: readonly (readonly [name: string, value: string])[];
  /** HTTP(S) or SOCKS5 proxy to go through, as a URL; NO_PROXY is applied already. */
  readonly proxyUrl?: string;
}

export interface ApiTls {
  /** PEM bundle; absent: the system's certificate authorities. */
  readonly ca?: string;
  /** PEM client certificate and key; both or neither. */
  readonly cert?: string;
  readonly key?: string;
  /** Name to verify and to send as SNI, where it is not `host`. */
  readonly serverName?: string;
  readonly insecureSkipVerify: boolean;
}

/**
 * Gives the target with credentials that are valid now, refreshed before they
 * expire. `refresh: true` after a 401: throw away what is cached.
 * Throws CzctlError `denied` when credentials cannot be had.
 */
export type ApiTargetSource = (options?: { refresh?: boolean }) => Promise<ApiTarget>;
