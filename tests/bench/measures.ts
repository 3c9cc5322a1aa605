/** What is measured in rounds against kubectl, and the goals. */

/** The pod's programs, by port. */
export const PORTS = { http: 8080, echo: 8081, source: 8082, sink: 8083 } as const;

export type Credentials = "token" | "certificate";

/** What one run of load.mjs says. */
export interface LoadResult {
  /** Bytes, connections, requests or round trips within the window. */
  readonly amount: number;
  readonly seconds: number;
  /** CPU seconds within the window: `tool`, `gateway`, `pods`, `load`. */
  readonly cpu: Readonly<Record<string, number>>;
  /** ms */
  readonly p50?: number;
  readonly p99?: number;
  readonly times?: readonly number[];
}

export type Goal = Readonly<Partial<Record<Credentials, number>>>;

export interface Figure {
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly digits: number;
  value(result: LoadResult): number;
  /** Ratio czctl / kubectl to reach: at least, or (`below`) at most. */
  readonly goal?: Goal;
  readonly below?: boolean;
}

export interface Measure {
  /** For `--only`. */
  readonly name: string;
  readonly port: number;
  readonly load: Readonly<Record<string, unknown>>;
  readonly figures: readonly Figure[];
  /** The API server passes on one TLS record after the other. */
  readonly records?: boolean;
}

const rate = (result: LoadResult) => result.amount / result.seconds;
const megabytes = (result: LoadResult) => rate(result) / 1e6;
const perGigabyte = (result: LoadResult) => result.cpu.tool! / (result.amount / 1e9);
const microseconds = (result: LoadResult) => result.cpu.tool! / result.amount * 1e6;

function transfer(
  name: "download" | "upload",
  connections: number,
  goals: { speed: Goal; cpu?: Goal },
  how = "",
): Measure {
  const count = connections === 1 ? "one connection" : `${connections} connections`;
  const title = `${name}, ${count}${how}`;
  const id = `${name}${connections}${how}`;
  return {
    name,
    port: name === "download" ? PORTS.source : PORTS.sink,
    load: { load: name, connections },
    figures: [
      {
        id,
        title,
        unit: "MB/s",
        digits: 0,
        value: megabytes,
        goal: goals.speed,
      },
      {
        id: `${id}-cpu`,
        title: `${title}: CPU of the tunnel`,
        unit: "s/GB",
        digits: 2,
        value: perGigabyte,
        below: true,
        ...(goals.cpu === undefined ? {} : { goal: goals.cpu }),
      },
    ],
  };
}

const both = (goal: number): Goal => ({ token: goal, certificate: goal });

/** One request after the other over a kept connection, each with an answer of `size` bytes. */
function answer(size: number): Measure {
  return {
    name: "answers",
    port: PORTS.http,
    load: { load: "answers", warmMs: LATENCY_WARM_MS, size },
    figures: [{
      id: `answer${size}`,
      title: `HTTP answer of ${size / 1000} KB, p50`,
      unit: "ms",
      digits: 2,
      value: (result) => result.p50!,
      below: true,
    }],
  };
}

/** Loads that tell latencies run for so long before they count, in ms: Node compiles meanwhile. */
const LATENCY_WARM_MS = 1500;

export const MEASURES: readonly Measure[] = [
  transfer("download", 1, {
    speed: { token: 2.0, certificate: 1.6 },
    cpu: { token: 0.4, certificate: 0.6 },
  }),
  transfer("download", 8, {
    speed: { token: 2.0, certificate: 1.6 },
    cpu: { token: 0.4, certificate: 0.6 },
  }),
  {
    ...transfer("download", 1, { speed: {} }, ", record by record"),
    name: "records",
    records: true,
  },
  transfer("upload", 1, { speed: { token: 1.5 } }),
  transfer("upload", 8, { speed: { token: 1.5 } }),
  {
    name: "connections",
    port: PORTS.echo,
    load: { load: "newConnections", warmMs: LATENCY_WARM_MS, connections: 1 },
    figures: [
      {
        id: "new",
        title: "new connections, one after the other",
        unit: "/s",
        digits: 0,
        value: rate,
        goal: both(2.0),
      },
      {
        id: "new-p50",
        title: "new connection and its 1-byte answer, p50",
        unit: "ms",
        digits: 2,
        value: (result) => result.p50!,
        below: true,
      },
      {
        id: "new-p99",
        title: "new connection and its 1-byte answer, p99",
        unit: "ms",
        digits: 2,
        value: (result) => result.p99!,
        below: true,
        goal: both(0.4),
      },
      {
        id: "new-cpu",
        title: "new connection: CPU of the tunnel",
        unit: "µs",
        digits: 0,
        value: microseconds,
        below: true,
      },
    ],
  },
  {
    name: "connections",
    port: PORTS.http,
    load: { load: "perRequest", warmMs: LATENCY_WARM_MS, connections: 8 },
    figures: [
      {
        id: "per-request",
        title: "HTTP, a connection per request, 8 at once",
        unit: "req/s",
        digits: 0,
        value: rate,
        goal: both(2.0),
      },
      {
        id: "per-request-p99",
        title: "HTTP, a connection per request, 8 at once, p99",
        unit: "ms",
        digits: 2,
        value: (result) => result.p99!,
        below: true,
        goal: both(0.4),
      },
    ],
  },
  answer(100_000),
  answer(1_000_000),
  {
    name: "requests",
    port: PORTS.http,
    load: { load: "keepAlive", warmMs: LATENCY_WARM_MS, connections: 32 },
    figures: [
      {
        id: "keep-alive",
        title: "HTTP, 32 keep-alive connections",
        unit: "req/s",
        digits: 0,
        value: rate,
        goal: both(2.0),
      },
      {
        id: "keep-alive-cpu",
        title: "HTTP, 32 keep-alive connections: CPU of the tunnel",
        unit: "µs/req",
        digits: 0,
        value: microseconds,
        below: true,
      },
    ],
  },
  {
    name: "echo",
    port: PORTS.echo,
    load: { load: "echo", warmMs: LATENCY_WARM_MS },
    figures: [{
      id: "echo",
      title: "1-byte echo on an open connection, p50",
      unit: "ms",
      digits: 3,
      value: (result) => result.p50!,
      below: true,
      goal: both(0.8),
    }],
  },
];
