/** The pod at the end of a port-forward, as a gateway knows it. */
export interface ForwardTarget {
  /** `namespace/name` */
  readonly pod: string;
  readonly uid: string;
  /** Id of the pod's sandbox and path of its network namespace: only for error texts. */
  readonly sandbox: string;
  readonly netns: string;
  /** Where the pod's programs really listen. */
  readonly address: string;
  /** containerd's answer once the pod is being torn down (`closed`), and after that (`removed`). */
  state: "up" | "closed" | "removed";
}

/** What a gateway process is told. */
export type GatewayCommand =
  | { readonly type: "pod"; readonly uid: string; readonly state: ForwardTarget["state"] }
  | {
    readonly type: "drop";
    /** `all`: every TCP connection; `links`: those that carry port-forwards. */
    readonly what: "all" | "links";
    /** Only links to this pod (`namespace/name`). */
    readonly pod?: string;
    readonly how: "reset" | "close";
  }
  | { readonly type: "freeze"; readonly frozen: boolean; readonly pod?: string }
  | { readonly type: "ways"; readonly spdy: boolean; readonly websocket: boolean }
  | { readonly type: "delay"; readonly ms: number }
  | { readonly type: "records"; readonly single: boolean }
  | { readonly type: "stats"; readonly id: number };

export interface LinkInfo {
  readonly pod: string;
  readonly way: "spdy" | "websocket" | "channels";
  /** Streams open now (pairs) and ever. */
  readonly streams: number;
  readonly streamsTotal: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly pings: number;
}

export interface GatewayStats {
  readonly connectionsTotal: number;
  readonly connectionsOpen: number;
  readonly linksTotal: number;
  readonly links: readonly LinkInfo[];
}

export type GatewayReport =
  | { readonly type: "listening"; readonly port: number }
  | { readonly type: "stats"; readonly id: number; readonly stats: GatewayStats };

export interface GatewayConfig {
  readonly port: number;
  readonly socketPath: string;
  readonly certPem: string;
  readonly keyPem: string;
  readonly caPem: string;
  readonly lingerMs: number;
  readonly streamCreationMs: number;
  readonly delayMs: number;
  readonly spdy: boolean;
  readonly websocket: boolean;
}
