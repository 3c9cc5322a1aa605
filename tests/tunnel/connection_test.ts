import assert from "node:assert/strict";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import type { AcceptedConn, ByteConn } from "../../src/platform/net.ts";
import { ChannelsLink } from "../../src/tunnel/channels_link.ts";
import { Connection, type ConnectionHost } from "../../src/tunnel/connection.ts";
import { TunnelError } from "../../src/tunnel/errors.ts";
import { HEAD_ROOM, type Link, type StreamEvents } from "../../src/tunnel/transport.ts";
import { endpoint, until } from "./support.ts";

const POD = { namespace: "default", name: "a", uid: "uid-a" };

/** A program that sends these pieces, the last one when it is let. */
function program(pieces: Uint8Array[], more: Promise<void>): AcceptedConn {
  return {
    direct: true,
    remoteAddress: "127.0.0.1",
    read: async (into) => {
      if (pieces.length === 1) await more;
      const piece = pieces.shift();
      if (piece === undefined) return new Promise(() => {});
      into.set(piece);
      return piece.length;
    },
    write: (bytes) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
}

/** A link that only takes notes; what it is given is written when `written` says so. */
function notedLink(written: Promise<void>) {
  const got: number[] = [];
  /** What it was given, where it lies. */
  const lent: Uint8Array[] = [];
  let events: StreamEvents | undefined;
  const link = {
    pod: POD,
    kind: "spdy",
    open: (_: number, of: StreamEvents) => {
      events = of;
      return {
        send: (buffer: Uint8Array, length: number) => {
          const bytes = buffer.subarray(HEAD_ROOM, HEAD_ROOM + length);
          got.push(...bytes);
          if (length <= 4096) return undefined;
          lent.push(bytes);
          return written;
        },
        end: () => {},
        abort: () => {},
        choke: () => {},
      };
    },
  } as unknown as Link;
  return { link, got, lent, end: (error: TunnelError) => events!.closed(error) };
}

function hostWith(links: Link[]): ConnectionHost {
  const none = () => {};
  return {
    clock: systemClock,
    log: silentLogger,
    holdMs: 1000,
    pick: () => endpoint("a"),
    hasUntried: () => false,
    readyLink: () => links.shift(),
    podPort: () => 80,
    refused: () => true,
    isReplaced: () => false,
    tap: () => undefined,
    opened: none,
    closed: none,
    addUp: none,
    addDown: none,
    answered: none,
    failed: none,
    done: none,
  } as unknown as ConnectionHost;
}

Deno.test("Connection goes on with another pod though a write to the first one never ends", async () => {
  const sent = Uint8Array.from({ length: 34_096 }, (_, i) => i % 251);
  const pieces = [[0, 4096], [4096, 14_096], [14_096, 24_096], [24_096, 34_096]] as const;
  const more = Promise.withResolvers<void>();
  const stuck = notedLink(new Promise(() => {}));
  const next = notedLink(Promise.resolve());
  const connection = new Connection(
    program(pieces.map(([from, to]) => sent.slice(from, to)), more.promise),
    hostWith([stuck.link, next.link]),
  );
  connection.start();
  await until(() => stuck.got.length === 24_096, "the first one has been sent some");
  // Its server has not even looked at it.
  stuck.end(new TunnelError("pod_gone", "The pod is gone", { nothingDelivered: true }));
  more.resolve();
  await until(() => next.got.length === sent.length, "the other one has got it all", 2000);
  assert.deepEqual(Uint8Array.from(next.got), sent);
  // What may still be written to the first one lies where nobody writes to.
  assert.deepEqual(stuck.lent, [sent.slice(4096, 14_096), sent.slice(14_096, 24_096)]);
  connection.abort("the test is over");
});

Deno.test("Connection that ends while its link is dialled closes one that nobody else can use", async () => {
  const dialled = Promise.withResolvers<Link>();
  const host = { ...hostWith([]), link: () => dialled.promise };
  const connection = new Connection(
    program([new Uint8Array(1)], new Promise(() => {})),
    host,
  );
  connection.start();
  connection.abort("the program is gone");
  let closed = false;
  dialled.resolve({ kind: "channels", close: () => closed = true } as unknown as Link);
  await until(() => closed, "the link is closed", 1000);
});

Deno.test("ChannelsLink that was closed before it was used tells so", async () => {
  const silent: ByteConn = {
    direct: true,
    read: () => new Promise(() => {}),
    write: (bytes) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  const link = new ChannelsLink({
    pod: POD,
    conn: silent,
    rest: new Uint8Array(0),
    clock: systemClock,
    onClosed: () => {},
    readSize: 1024,
  });
  link.drain("its pod is gone");
  const ends: (TunnelError | undefined)[] = [];
  const stream = link.open(80, {
    data: () => {},
    flush: () => {},
    end: () => {},
    closed: (error) => ends.push(error),
  });
  stream.send(new Uint8Array(HEAD_ROOM + 1), 1);
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(ends.length, 1);
  assert.equal(ends[0]!.nothingDelivered, true);
});
