import { messageOf } from "../model/errors.ts";

/** An HTTP server that only this machine can reach. */
export interface LoopbackServer {
  readonly port: number;
  /** `127.0.0.1`, and `::1` where the machine has IPv6. */
  readonly addresses: readonly string[];
  /** Stops accepting, waits up to `drainMs` for answers under way, then cuts them off. */
  close(drainMs: number): Promise<void>;
}

export interface LoopbackOptions {
  /** First port to try; 0 for any free one. */
  readonly port: number;
  /** How many ports to try, counted from `port`. */
  readonly attempts: number;
  readonly handler: (request: Request) => Response | Promise<Response>;
  /** A handler threw or a connection broke: to be logged. */
  readonly onError: (error: unknown) => void;
}

/**
 * Serves HTTP on the same port of 127.0.0.1 and ::1, or on neither: a browser
 * may resolve `localhost` to both, and a stranger on the other one would be
 * sent what is meant for us. A port taken on either is passed over. Without
 * IPv6 on the machine nobody can be there, and 127.0.0.1 alone will do.
 *
 * Throws an Error that names the last reason when no port could be had.
 */
export async function serveLoopback(options: LoopbackOptions): Promise<LoopbackServer> {
  let reason: unknown;
  for (let attempt = 0; attempt < options.attempts; attempt++) {
    const wanted = options.port === 0 ? 0 : options.port + attempt;
    if (wanted > 65535) break;
    const servers: Served[] = [];
    try {
      const first = listen("127.0.0.1", wanted, options);
      servers.push(first);
      const second = listenSix(first.port, options);
      if (second !== undefined) servers.push(second);
      return {
        port: first.port,
        addresses: second === undefined ? ["127.0.0.1"] : ["127.0.0.1", "::1"],
        close: (drainMs) => closeAll(servers, drainMs),
      };
    } catch (error) {
      reason = error;
      await closeAll(servers, 0);
      if (!(error instanceof Deno.errors.AddrInUse)) break;
    }
  }
  const last = options.port + options.attempts - 1;
  if (reason instanceof Deno.errors.AddrInUse && options.port !== 0) {
    throw new Error(`ports ${options.port} to ${Math.min(last, 65535)} are taken`);
  }
  throw new Error(messageOf(reason));
}

interface Served {
  readonly port: number;
  readonly abort: AbortController;
  readonly server: Deno.HttpServer<Deno.NetAddr>;
}

function listen(hostname: string, port: number, options: LoopbackOptions): Served {
  const abort = new AbortController();
  const server = Deno.serve({
    hostname,
    port,
    signal: abort.signal,
    onListen: () => {},
    onError: (error) => {
      options.onError(error);
      return new Response("Internal error\n", { status: 500 });
    },
  }, options.handler);
  return { port: server.addr.port, abort, server };
}

/** Undefined on a machine without IPv6. Throws AddrInUse when somebody else is there. */
function listenSix(port: number, options: LoopbackOptions): Served | undefined {
  try {
    return listen("::1", port, options);
  } catch (error) {
    if (error instanceof Deno.errors.AddrNotAvailable) return undefined;
    // EAFNOSUPPORT (97 on Linux, 47 on macOS) has no class of its own.
    if (/os error (97|47)\)/.test(messageOf(error))) return undefined;
    throw error;
  }
}

async function closeAll(servers: readonly Served[], drainMs: number): Promise<void> {
  await Promise.all(servers.map(async ({ server, abort }) => {
    const drained = server.shutdown();
    const timer = setTimeout(() => abort.abort(), drainMs);
    await drained.catch(() => {});
    await server.finished.catch(() => {});
    clearTimeout(timer);
  }));
}
