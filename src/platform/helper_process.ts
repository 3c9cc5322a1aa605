/** What the privileged helper needs from the system, and nothing more. */
import process from "node:process";

export interface Identity {
  /** Real and effective user id; -1 where the system has none. */
  readonly uid: number;
  readonly euid: number;
  readonly pid: number;
  readonly hostName: string;
  /** Path of the running program, links resolved by the kernel. */
  readonly program: string;
}

/**
 * The helper's first step: private files, no folder of the caller's kept busy,
 * and every permission it needs no more given up for good; without a prompt
 * nothing brings them back. Returns who runs this process, which only then
 * could still be asked.
 */
export async function confine(): Promise<Identity> {
  Deno.umask(0o077);
  Deno.chdir("/");
  const self = identity();
  for (const name of ["run", "env", "sys", "import", "ffi"] as const) {
    await Deno.permissions.revoke({ name });
  }
  return self;
}

function identity(): Identity {
  return {
    uid: process.getuid?.() ?? -1,
    euid: process.geteuid?.() ?? -1,
    pid: Deno.pid,
    hostName: Deno.hostname(),
    program: Deno.execPath(),
  };
}

/** Calls `onSignal` when the process is asked to end; the result stops listening. */
export function onEndSignals(onSignal: (name: string) => void): () => void {
  const names = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  const listeners = names.map((name) => {
    const listener = () => onSignal(name);
    Deno.addSignalListener(name, listener);
    return () => Deno.removeSignalListener(name, listener);
  });
  return () => listeners.forEach((remove) => remove());
}

/** Standard input in chunks, undefined at its end (or when it cannot be read). */
export async function readStdin(buffer: Uint8Array): Promise<number | undefined> {
  return await Deno.stdin.read(buffer).catch(() => null) ?? undefined;
}

/** Writes all of `bytes` to standard output. Throws when nobody reads it any more. */
export async function writeStdout(bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
}

export interface LowListener {
  /** Resolves when nothing listens any more; connections go on until one of their ends closes. */
  release(): Promise<void>;
  /** The same, and connections are ended. */
  close(): Promise<void>;
}

/**
 * Listens on `address:port` and joins each connection to `address:to`, byte for
 * byte, closing one direction at a time. At most `limit()` at once; the rest is
 * closed at once. Throws the system's error when the port cannot be bound.
 */
export function relayPort(
  address: string,
  port: number,
  to: number,
  slots: { take(): boolean; give(): void },
): LowListener {
  const listener = Deno.listen({ hostname: address, port });
  const open = new Set<Deno.TcpConn>();
  const serve = async () => {
    for (;;) {
      let client: Deno.TcpConn;
      try {
        client = await listener.accept();
      } catch (error) {
        // Closed by us, or out of descriptors: the latter passes.
        if (error instanceof Deno.errors.BadResource || closed) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      if (!slots.take()) {
        client.close();
        continue;
      }
      join(client, address, to, open).finally(() => slots.give());
    }
  };
  let closed = false;
  const served = serve();
  const release = async () => {
    closed = true;
    listener.close();
    await served;
  };
  return {
    release,
    async close() {
      const released = release();
      for (const connection of open) closeQuietly(connection);
      await released;
    },
  };
}

async function join(
  client: Deno.TcpConn,
  address: string,
  to: number,
  open: Set<Deno.TcpConn>,
): Promise<void> {
  open.add(client);
  let server: Deno.TcpConn | undefined;
  try {
    server = await Deno.connect({ hostname: address, port: to });
    open.add(server);
    client.setNoDelay(true);
    server.setNoDelay(true);
    await Promise.all([pump(client, server), pump(server, client)]);
  } catch {
    // Either side is gone: both are closed below, which is all there is to say.
  } finally {
    for (const connection of [client, server]) {
      if (connection === undefined) continue;
      open.delete(connection);
      closeQuietly(connection);
    }
  }
}

async function pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  for (;;) {
    const length = await from.read(buffer);
    if (length === null) break;
    for (let at = 0; at < length;) at += await to.write(buffer.subarray(at, length));
  }
  await to.closeWrite();
}

function closeQuietly(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
