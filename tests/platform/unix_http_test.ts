import assert from "node:assert/strict";
import { requestUnix, SocketDead } from "../../src/platform/unix_http.ts";

const request = { method: "GET", path: "/", timeoutMs: 1000 };

Deno.test("requestUnix() tells why nothing answers on a socket", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const socket = `${folder}/socket`;
    const dead = (kind: SocketDead["kind"]) =>
      assert.rejects(
        requestUnix(socket, request),
        (error) => error instanceof SocketDead && error.kind === kind,
      );
    await dead("missing");
    const listener = Deno.listen({ transport: "unix", path: `${socket}.new` });
    // As after a crash: the file stays.
    await Deno.rename(`${socket}.new`, socket);
    listener.close();
    await dead("refused");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("requestUnix() takes a listener that ends before it accepts for one that is not there", async () => {
  // What connect(2) says then on Linux; bringing it about needs that very moment.
  const { connect } = Deno;
  const reset = () => Promise.reject(new Deno.errors.ConnectionReset("os error 104"));
  Reflect.set(Deno, "connect", reset);
  try {
    await assert.rejects(
      requestUnix("/socket", request),
      (error) => error instanceof SocketDead && error.kind === "refused",
    );
  } finally {
    Reflect.set(Deno, "connect", connect);
  }
});
