import type { SessionInfo, StatusInfo } from "../../src/model/control.ts";
import type { CliContext } from "../../src/cli/context.ts";
import { Printer } from "../../src/cli/printer.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { statePaths } from "../../src/platform/paths.ts";
import { withFolder } from "../temp_folder.ts";

/** A terminal that remembers what was written to it. */
export class FakeTerminal implements Terminal {
  out = "";
  err = "";
  readonly unicode: boolean;
  readonly rewrites: boolean;
  readonly stdout;
  readonly stderr;

  constructor(
    options: {
      isTerminal?: boolean;
      unicode?: boolean;
      color?: boolean;
      errorColor?: boolean;
      rewrites?: boolean;
      columns?: number;
    } = {},
  ) {
    const isTerminal = options.isTerminal ?? false;
    const columns = () => options.columns ?? 80;
    this.unicode = options.unicode ?? false;
    const color = options.color ?? false;
    this.rewrites = options.rewrites ?? isTerminal;
    this.stdout = { isTerminal, color, columns, write: (text: string) => void (this.out += text) };
    this.stderr = {
      isTerminal,
      color: options.errorColor ?? color,
      columns,
      write: (text: string) => void (this.err += text),
    };
  }
}

export function fakeContext(
  home: string,
  options: { terminal?: FakeTerminal; program?: readonly string[]; env?: Record<string, string> } =
    {},
) {
  const terminal = options.terminal ?? new FakeTerminal();
  const control = new AbortController();
  const context: CliContext = {
    print: new Printer(terminal),
    env: { HOME: home, ...options.env },
    cwd: home,
    hasTerminal: false,
    signal: control.signal,
    paths: () => statePaths(home),
    program: options.program,
    handOverInterrupts: () => () => {},
  };
  return { context, terminal, interrupt: (reason: unknown) => control.abort(reason) };
}

export function fakeSession(over: Partial<SessionInfo> = {}): SessionInfo {
  return {
    id: "3f2a9c01",
    workload: { kind: "deployment", name: "web", namespace: "shop" },
    context: "dev",
    server: "https://127.0.0.1:6443",
    namespaces: ["shop"],
    createdAt: "2026-01-02T03:04:05Z",
    state: "ready",
    cluster: { reachable: true },
    services: [{
      namespace: "shop",
      name: "leaf",
      address: "127.1.31.1",
      names: ["shop-leaf.shop", "leaf"],
      ports: [{
        port: 80,
        name: "http",
        state: "relayed",
        connections: 0,
        bytesDown: 1500,
        bytesUp: 20,
        failed: 0,
      }],
      skipped: [],
      readyPods: 2,
    }],
    notes: [],
    ...over,
  };
}

export function fakeStatus(over: Partial<StatusInfo> = {}): StatusInfo {
  return {
    version: "0.0.0-dev",
    pid: 4242,
    startedAt: "2026-01-02T03:04:05Z",
    resident: true,
    helper: { state: "running", pid: 4243 },
    inspector: { url: "http://localhost:4040" },
    sessions: [],
    ...over,
  };
}

/** A real HTTP server on the control socket of a home folder. */
export async function withControlServer(
  handler: (request: Request) => Response | Promise<Response>,
  act: (home: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (home) => {
    const path = statePaths(home).socket;
    await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
    const server = Deno.serve({ path, onListen() {} }, handler);
    try {
      await act(home);
    } finally {
      await server.shutdown();
    }
  });
}

/** A body of events, one JSON object a line. */
export function eventBody(events: readonly unknown[]): Response {
  return new Response(events.map((event) => JSON.stringify(event) + "\n").join(""));
}
