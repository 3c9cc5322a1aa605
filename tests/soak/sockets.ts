/** What a process holds open, from outside. */

export interface Sockets {
  /** Open file descriptors of every kind. */
  readonly descriptors: number;
  readonly listening: number;
  /** TCP connections to this port of the API server, in any state. */
  readonly toServer: number;
  /** TCP connections that programs made to the listeners, in any state. */
  readonly accepted: number;
  /** Of both, those that the other side has closed and this one has not. */
  readonly closeWait: number;
}

const LISTEN = "0A";
const CLOSE_WAIT = "08";

export function socketsOf(pid: number, serverPort: number): Sockets {
  const inodes = new Set<string>();
  let descriptors = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      const link = Deno.readLinkSync(`/proc/${pid}/fd/${name}`);
      descriptors++;
      const socket = /^socket:\[(\d+)\]$/.exec(link);
      if (socket) inodes.add(socket[1]!);
    } catch {
      // Closed meanwhile.
    }
  }
  let listening = 0;
  let toServer = 0;
  let accepted = 0;
  let closeWait = 0;
  for (const family of ["tcp", "tcp6"]) {
    const lines = Deno.readTextFileSync(`/proc/${pid}/net/${family}`).trim().split("\n").slice(1);
    for (const line of lines) {
      const fields = line.trim().split(/\s+/);
      if (!inodes.has(fields[9]!)) continue;
      if (fields[3] === LISTEN) {
        listening++;
        continue;
      }
      if (parseInt(fields[2]!.split(":")[1]!, 16) === serverPort) toServer++;
      else accepted++;
      if (fields[3] === CLOSE_WAIT) closeWait++;
    }
  }
  return { descriptors, listening, toServer, accepted, closeWait };
}
