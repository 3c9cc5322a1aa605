/** A TCP connection to a listener on this machine. */
export interface LocalConnection {
  write(bytes: Uint8Array): Promise<void>;
  /** The next bytes, or undefined at the end. The array is the caller's. */
  read(): Promise<Uint8Array | undefined>;
  close(): void;
}

/**
 * Connects to a listener of this machine; an aborted signal closes the
 * connection and whatever waits on it throws. Refuses addresses outside
 * 127.0.0.0/8 and ::1, so that nobody is reached by mistake.
 */
export async function connectLocally(
  address: string,
  port: number,
  signal: AbortSignal,
): Promise<LocalConnection> {
  if (!/^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address) && address !== "::1") {
    throw new Error(`"${address}" is not an address of this machine`);
  }
  signal.throwIfAborted();
  // The signal of Deno.connect is unstable; loopback answers at once.
  const connection = await Deno.connect({ hostname: address, port });
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    signal.removeEventListener("abort", close);
    connection.close();
  };
  if (signal.aborted) close();
  signal.addEventListener("abort", close, { once: true });
  const buffer = new Uint8Array(64 * 1024);
  return {
    async write(bytes) {
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    },
    async read() {
      const size = await connection.read(buffer);
      return size === null ? undefined : buffer.slice(0, size);
    },
    close,
  };
}
