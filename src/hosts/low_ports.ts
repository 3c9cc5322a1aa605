import { CzctlError, messageOf } from "../model/errors.ts";
import { codeOf } from "../platform/files.ts";
import { type LowListener, relayPort } from "../platform/helper_process.ts";
import { isLocalServiceAddress } from "./names.ts";

/**
 * Root without the capability is what a container is whose pod spec says
 * `drop: [ALL]`, and `--network host` keeps the machine's first free port.
 */
export const NO_LOW_PORTS = "root has no CAP_NET_BIND_SERVICE here";
export const LET_LOW_PORTS =
  "--cap-add NET_BIND_SERVICE or --sysctl net.ipv4.ip_unprivileged_port_start=0";

const MAX_LISTENERS = 16_384;
/** Relayed connections at once, over all ports of the user. */
const MAX_CONNECTIONS = 8_192;

/** Ports below 1024 that the helper listens on for svc. */
export class LowPorts {
  readonly #listeners = new Map<string, { readonly to: number; readonly listener: LowListener }>();
  readonly #otherAddresses: () => Promise<ReadonlyMap<string, number>>;
  #connections = 0;

  /** `otherAddresses`: the addresses in other users' blocks, with the user. */
  constructor(otherAddresses: () => Promise<ReadonlyMap<string, number>>) {
    this.#otherAddresses = otherAddresses;
  }

  /**
   * Relays `address:port` to `address:to`. Throws CzctlError `usage` for what
   * is never relayed, `failed` when the port is taken or the address another
   * user's.
   */
  async open(address: string, port: number, to: number): Promise<void> {
    const where = `${address}:${port}`;
    if (!isLocalServiceAddress(address)) throw refused(where, "it is not inside 127.1.0.0/16");
    if (port >= 1024) throw refused(where, "only ports below 1024 need the helper");
    if (to < 1024) throw refused(where, "it may only lead to a port an ordinary user can bind");
    const existing = this.#listeners.get(where);
    if (existing?.to === to) return;
    if (this.#listeners.size >= MAX_LISTENERS) throw refused(where, "too many ports are relayed");
    const owner = (await this.#otherAddresses()).get(address);
    if (owner !== undefined) {
      throw new CzctlError(
        "failed",
        `Cannot relay ${where}: the address belongs to user ${owner}`,
      );
    }
    await this.shut(address, port);
    try {
      const listener = relayPort(address, port, to, {
        take: () => this.#connections < MAX_CONNECTIONS && ++this.#connections > 0,
        give: () => void this.#connections--,
      });
      this.#listeners.set(where, { to, listener });
    } catch (error) {
      throw new CzctlError("failed", `Cannot relay ${where}: ${reasonOf(error)}`);
    }
  }

  /** Resolves when the port is free again; svc ends its connections where they are to end. */
  async shut(address: string, port: number): Promise<void> {
    const where = `${address}:${port}`;
    const existing = this.#listeners.get(where);
    this.#listeners.delete(where);
    await existing?.listener.release();
  }

  async close(): Promise<void> {
    const all = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all(all.map(({ listener }) => listener.close()));
  }
}

function reasonOf(error: unknown): string {
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return "another program has the port";
    case "EACCES":
      return `${NO_LOW_PORTS}; run the container with ${LET_LOW_PORTS}`;
    default:
      return messageOf(error);
  }
}

function refused(where: string, reason: string): CzctlError {
  return new CzctlError("usage", `Cannot relay ${where}: ${reason}`);
}
