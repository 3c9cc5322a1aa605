/** Why nothing answers on a unix socket. */
export class SocketDead extends Error {
  override readonly name = "SocketDead";
  /** `missing`: no such file; `refused`: a file nobody listens on; `denied`: not ours. */
  constructor(readonly kind: "missing" | "refused" | "denied" | "timeout") {
    super(`nothing answers on the socket: ${kind}`);
  }
}

export interface UnixRequest {
  readonly method: string;
  /** Path with query, beginning with a slash. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** For the connection and the answer's head; the body may take as long as it likes. */
  readonly timeoutMs: number;
  /** Ends the request at any time, the body included. */
  readonly signal?: AbortSignal;
}

export interface UnixResponse {
  readonly status: number;
  readonly body: ReadableStream<Uint8Array> | null;
  /** Must be called when done with the body. */
  close(): void;
}

/**
 * One HTTP request over a unix socket. Throws SocketDead when nothing listens
 * there or no answer comes in time; the signal's reason when aborted.
 */
export async function requestUnix(socket: string, request: UnixRequest): Promise<UnixResponse> {
  request.signal?.throwIfAborted();
  await probe(socket);
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), request.timeoutMs);
  const signals = request.signal ? [late.signal, request.signal] : [late.signal];
  try {
    const response = await fetch(`http://localhost${request.path}`, {
      client,
      method: request.method,
      signal: AbortSignal.any(signals),
      ...(request.body === undefined ? {} : {
        body: JSON.stringify(request.body),
        headers: { "content-type": "application/json" },
      }),
    });
    return { status: response.status, body: response.body, close: () => client.close() };
  } catch (error) {
    client.close();
    request.signal?.throwIfAborted();
    if (late.signal.aborted) throw new SocketDead("timeout");
    // The listener went away between the probe and the request.
    if (error instanceof TypeError) throw new SocketDead("refused");
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** fetch() tells all failures alike; a bare connection says which it is. */
async function probe(socket: string): Promise<void> {
  try {
    (await Deno.connect({ transport: "unix", path: socket })).close();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new SocketDead("missing");
    if (error instanceof Deno.errors.ConnectionRefused) throw new SocketDead("refused");
    // It ended while we waited to be accepted.
    if (error instanceof Deno.errors.ConnectionReset) throw new SocketDead("refused");
    if (error instanceof Deno.errors.PermissionDenied) throw new SocketDead("denied");
    throw error;
  }
}
