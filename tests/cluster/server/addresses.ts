import { createServer as createTcpServer, type Server as TcpServer } from "node:net";

/** Finds a loopback /16 nobody else uses: the holder listens on its first address. */
export async function claimPrefix(): Promise<{ prefix: string; lock: TcpServer }> {
  const first = 64 + Math.floor(Math.random() * 60);
  for (let i = 0; i < 60; i++) {
    const prefix = `127.${64 + ((first - 64 + i) % 60)}`;
    const lock = createTcpServer();
    const free = await new Promise<boolean>((resolve) => {
      lock.once("error", () => resolve(false));
      lock.listen({ host: `${prefix}.0.1`, port: 10_777, exclusive: true }, () => resolve(true));
    });
    if (free) return { prefix, lock };
  }
  throw new Error("No loopback /16 is free: too many test clusters are running");
}
