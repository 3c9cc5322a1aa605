/**
 * Connections of every kind against a session, run by Node because only Node can reset one:
 * `node traffic.mjs SPEC`. SPEC: `{ places: { NAME: { host, port } }, lines }`. Reads lines of JSON
 * on stdin: `{ "disturbed": true }` while something happens that may end connections, `false`
 * when that is over, and `{ "stop": true }`; answers each with an empty line, so that nothing is
 * done before it is known here. Prints one line of JSON at the end: how often each kind was done,
 * and what failed that must not.
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";

const { places, lines } = JSON.parse(process.argv[2]);
/** Whatever takes longer than this hangs, in ms: connections are held for 10 s at most. */
const LIMIT_MS = 20_000;
/** After a disturbance, what it has cut may still come to light for this long, in ms. */
const AFTERMATH_MS = 3_000;

let stopping = false;
let disturbed = false;
let calmSince = 0;
const done = {};
const excused = {};
const failures = [];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const between = (from, to) => from + Math.random() * (to - from);

function isDisturbed(since) {
  return disturbed || calmSince + AFTERMATH_MS > since;
}

/** Nothing excuses this one. */
class Hang extends Error {}

/** A connection with what happened to it; never throws, never hangs. */
class Client {
  received = 0;
  text = "";
  ended = false;
  closed = false;
  #wake = () => {};

  constructor(place) {
    this.socket = net.connect({ ...places[place], noDelay: true, allowHalfOpen: true });
    this.socket.on("data", (chunk) => {
      this.received += chunk.length;
      if (this.text.length < 4096) this.text += chunk.toString("latin1");
      this.#wake();
    });
    this.socket.on("end", () => {
      this.ended = true;
      this.#wake();
    });
    this.socket.on("error", (error) => this.error = error);
    this.socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  /** Resolves once `condition` holds; throws when the connection closes before, or it takes too long. */
  async until(what, condition) {
    const deadline = performance.now() + LIMIT_MS;
    while (!condition()) {
      if (this.closed || this.ended) {
        throw new Error(`${what}: closed before (${this.error?.code ?? "no error"})`);
      }
      const left = deadline - performance.now();
      if (left <= 0) throw new Hang(`${what}: not within ${LIMIT_MS} ms`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  destroy() {
    this.socket.destroy();
  }
}

async function withClient(place, act) {
  const client = new Client(place);
  try {
    await act(client);
  } finally {
    client.destroy();
  }
}

/** A whole HTTP answer with status 200; returns its body. */
async function answer(client, request) {
  const from = client.received;
  client.text = "";
  client.socket.write(request);
  let end = Infinity;
  await client.until("HTTP answer", () => {
    const head = client.text.indexOf("\r\n\r\n");
    if (head < 0) return false;
    end = head + 4 + Number(/content-length: (\d+)/i.exec(client.text)?.[1] ?? 0);
    return client.received - from >= end;
  });
  if (!client.text.startsWith("HTTP/1.1 200")) throw new Error(client.text.slice(0, 60));
  return client.text.slice(client.text.indexOf("\r\n\r\n") + 4, end);
}

const KINDS = {
  /** No request without keep-alive may ever fail, rollouts included. */
  request: () =>
    withClient("http", async (client) => {
      const body = await answer(client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      if (!body.startsWith("Hello from ")) throw new Error(`Wrong body: ${body.slice(0, 60)}`);
    }),

  upload: () =>
    withClient("http", async (client) => {
      const size = Math.floor(between(1, 600_000));
      const body = await answer(
        client,
        Buffer.concat([
          Buffer.from(
            `POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${size}\r\n\r\n`,
          ),
          Buffer.alloc(size, "u"),
        ]),
      );
      if (JSON.parse(body).received !== size) throw new Error(`Sent ${size}, arrived: ${body}`);
    }),

  download: () =>
    withClient("http", async (client) => {
      const size = Math.floor(between(1, 2_000_000));
      client.socket.write(`GET /bytes?n=${size} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      await client.until("download", () => {
        const head = client.text.indexOf("\r\n\r\n");
        return head >= 0 && client.received >= head + 4 + size;
      });
    }),

  /** Kept for a while on pods that nobody replaces: every byte comes back. */
  long: () =>
    withClient("echo", async (client) => {
      const until = performance.now() + between(2_000, 10_000);
      let sent = 0;
      while (performance.now() < until && !stopping) {
        const piece = "x".repeat(Math.ceil(between(1, 20_000)));
        client.socket.write(piece);
        sent += piece.length;
        await client.until("echo", () => client.received === sent);
        await sleep(between(10, 300));
      }
    }),

  /** What was sent before the end of output comes back, then the end. */
  halfClosed: () =>
    withClient("echo", async (client) => {
      client.socket.end("last words");
      await client.until("echo of a half-closed connection", () => client.text === "last words");
      await client.until("end of a half-closed connection", () => client.ended);
    }),

  abortedDownload: () =>
    withClient("source", async (client) => {
      const size = between(1, 3_000_000);
      await client.until("bytes", () => client.received > size);
      if (Math.random() < 0.5) client.socket.resetAndDestroy();
    }),

  abortedAtOnce: () =>
    withClient("echo", async (client) => {
      await sleep(between(0, 5));
      if (Math.random() < 0.5) client.socket.resetAndDestroy();
    }),

  refused: () =>
    withClient("refuse", async (client) => {
      client.socket.write("x");
      await client.until("end of a refused connection", () => client.ended || client.closed)
        .catch((error) => {
          if (!client.closed) throw error;
        });
      if (client.received > 0) throw new Error("A refused connection got bytes");
    }),

  reset: () =>
    withClient("reset", async (client) => {
      client.socket.write("x");
      await client.until("end of a reset connection", () => client.ended || client.closed)
        .catch((error) => {
          if (!client.closed) throw error;
        });
    }),

  /** Never reads: must not hold up the others, nor fill memory. */
  stalledReader: () =>
    withClient("source", async (client) => {
      client.socket.pause();
      await sleep(between(500, 4_000));
    }),

  /** Nobody in the pod reads: more than the sockets on the way can hold. */
  stalledPod: () =>
    withClient("stall", async (client) => {
      client.socket.write(Buffer.alloc(4_000_000));
      await sleep(between(200, 2_000));
    }),

  /**
   * The same pod as a stalled one: what shares a link with that may end with it, but must not hang.
   */
  besideStalled: async () => {
    const from = performance.now();
    try {
      await withClient("calm", async (client) => {
        for (let sent = 0; performance.now() - from < 3_000 && !stopping;) {
          const piece = "x".repeat(Math.ceil(between(1, 20_000)));
          client.socket.write(piece);
          sent += piece.length;
          await client.until("echo beside a stalled one", () => client.received === sent);
          await sleep(between(50, 300));
        }
      });
    } catch (error) {
      if (error instanceof Hang) throw error;
      excused.besideStalled = (excused.besideStalled ?? 0) + 1;
    }
  },

  /** Opened and left alone. */
  idle: () => withClient("echo", () => sleep(between(500, 5_000))),

  /**
   * Several requests on one connection. It may end with its pod, between two
   * requests or under one: then the next connection goes on.
   */
  keepAlive: () =>
    withClient("http", async (client) => {
      for (let i = 0; i < 20 && !stopping && !client.ended && !client.closed; i++) {
        try {
          await answer(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        } catch (error) {
          if (i > 0 && (client.closed || client.ended)) return;
          throw error;
        }
        await sleep(between(5, 100));
      }
    }),
};

/** How often each kind comes, in parts. */
const WEIGHTS = {
  request: 12,
  upload: 3,
  download: 3,
  long: 4,
  halfClosed: 2,
  abortedDownload: 3,
  abortedAtOnce: 4,
  refused: 2,
  reset: 2,
  stalledReader: 1,
  stalledPod: 1,
  besideStalled: 3,
  idle: 3,
  keepAlive: 3,
};
const DECK = Object.entries(WEIGHTS).flatMap(([kind, count]) => Array(count).fill(kind));

async function line() {
  while (!stopping) {
    const kind = DECK[Math.floor(Math.random() * DECK.length)];
    const from = performance.now();
    try {
      await KINDS[kind]();
      done[kind] = (done[kind] ?? 0) + 1;
    } catch (error) {
      if (isDisturbed(from) && !(error instanceof Hang)) excused[kind] = (excused[kind] ?? 0) + 1;
      else {
        const at = new Date().toISOString().slice(11, 23);
        failures.push(`${at} ${kind}: ${error.message}`);
        process.stderr.write(`soak: ${failures.at(-1)}\n`);
      }
    }
    await sleep(between(0, 60));
  }
}

const input = createInterface({ input: process.stdin });
input.on("line", (text) => {
  const command = JSON.parse(text);
  if (command.stop) stopping = true;
  if (command.disturbed === false && disturbed) calmSince = performance.now();
  if (command.disturbed !== undefined) disturbed = command.disturbed;
  process.stdout.write("\n");
});
input.on("close", () => stopping = true);

await Promise.all(Array.from({ length: lines }, line));
process.stdout.write(`${JSON.stringify({ done, excused, failures })}\n`, () => process.exit(0));
