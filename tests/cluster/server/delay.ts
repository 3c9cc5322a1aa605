/** A socket whose bytes take their time, each way: a far-away cluster. */
import { Duplex } from "node:stream";
import type { Socket } from "node:net";

/** Wraps `socket`; order is kept, and so is half-close. `ms` is asked for each chunk. */
export function delayed(socket: Socket, ms: () => number): Duplex {
  const later = (action: () => void) => void setTimeout(action, ms());
  const wrapped = new Duplex({
    allowHalfOpen: true,
    read() {
      socket.resume();
    },
    write(chunk, _encoding, done) {
      later(() => socket.destroyed || socket.write(chunk));
      if (socket.writableLength > 1 << 20) socket.once("drain", done);
      else done();
    },
    final(done) {
      later(() => {
        socket.end();
        done();
      });
    },
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk) => later(() => wrapped.destroyed || wrapped.push(chunk)));
  socket.on("end", () => later(() => wrapped.destroyed || wrapped.push(null)));
  socket.on("close", () => wrapped.destroy());
  return wrapped;
}
