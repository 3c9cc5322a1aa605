/** A running HTTP server on a unix socket. */
export interface UnixServer {
  /** Stops accepting, waits for what is under way up to `drainMs`, removes the socket file. */
  close(drainMs: number): Promise<void>;
}

/**
 * Serves HTTP on a unix socket that only the owner may use (0600, in a folder
 * that is 0700 already). A file left by a dead process is replaced; the caller
 * holds the lock that says it is dead.
 */
export async function serveUnix(
  path: string,
  handler: (request: Request) => Response | Promise<Response>,
): Promise<UnixServer> {
  await Deno.remove(path).catch(() => {});
  const server = Deno.serve({ path, onListen: () => {} }, handler);
  await Deno.chmod(path, 0o600);
  return {
    async close(drainMs) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, drainMs));
      await Promise.race([server.shutdown(), late]);
      clearTimeout(timer);
      await Deno.remove(path).catch(() => {});
    },
  };
}
