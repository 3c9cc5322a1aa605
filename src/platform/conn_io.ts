/** Reading and writing of a connection, without what the runtime wraps around them. */
export interface ConnIo {
  /** False when the public calls do it, which costs more. */
  readonly direct: boolean;
  /** As ByteConn. */
  read(into: Uint8Array): Promise<number>;
  write(bytes: Uint8Array): Promise<number>;
}

type Call = (rid: number, bytes: Uint8Array) => Promise<number>;

/** The runtime's own read and write calls, if it is built as the pinned one. */
const core = runtimeCore();

/**
 * `Deno.Conn.read` is an asynchronous function around the call that reads: it keeps a set of reads
 * under way and adds a promise and a turn of the loop to each. Without it a download costs 5 to 12 %
 * less CPU time (docs/decisions/0146). Where the runtime is built differently, the public calls do.
 */
export function connIo(conn: Deno.Conn): ConnIo {
  const rid = ridOf(conn);
  if (core === undefined || rid === undefined) {
    return {
      direct: false,
      read: async (into) => await conn.read(into) ?? 0,
      write: (bytes) => conn.write(bytes),
    };
  }
  const { read, write } = core;
  return {
    direct: true,
    read: (into) => read(rid, into),
    write: (bytes) => write(rid, bytes),
  };
}

function runtimeCore(): { read: Call; write: Call } | undefined {
  const name = Reflect.get(Deno, "internal");
  if (typeof name !== "symbol") return undefined;
  const { read, write } = Reflect.get(Deno, name)?.core ?? {};
  return typeof read === "function" && typeof write === "function" ? { read, write } : undefined;
}

/** The number under which the runtime keeps the connection. */
function ridOf(conn: Deno.Conn): number | undefined {
  const field = Object.getOwnPropertySymbols(conn)
    .find((symbol) => symbol.description === "Deno.internal.rid");
  const rid = field === undefined ? undefined : Reflect.get(conn, field);
  return typeof rid === "number" && rid > 0 ? rid : undefined;
}
