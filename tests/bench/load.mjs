/**
 * One load against one address, run by Node: `node load.mjs SPEC` with SPEC as JSON prints one
 * line of JSON. Plain sockets and no parsing beyond counting bytes, so that the generator costs
 * little beside what is measured. CPU time of other processes is read at both ends of the same
 * window as the load.
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";

const spec = JSON.parse(process.argv[2]);
const { host, port } = spec;
/** Not counted, in ms: links are dialled and buffers grow to their size. */
const WARM_MS = spec.warmMs ?? 250;
const windowMs = spec.ms ?? 1000;
/** Ticks of /proc/PID/stat in a second: 100 on every Linux that matters (getconf CLK_TCK). */
const TICKS = 100;

/** CPU seconds of each group of processes so far. */
function cpu() {
  const out = {};
  for (const [name, pids] of Object.entries(spec.pids ?? {})) {
    out[name] = 0;
    for (const pid of pids) {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        out[name] += (Number(fields[11]) + Number(fields[12])) / TICKS;
      } catch {
        // It has ended.
      }
    }
  }
  // All work of the machine, what a hypervisor took from it included; idle and iowait are not.
  const [user, nice, system, , , irq, softirq, steal] = readFileSync("/proc/stat", "utf8")
    .split("\n")[0].trim().split(/\s+/).slice(1).map(Number);
  out.machine = (user + nice + system + irq + softirq + steal) / TICKS;
  const own = process.cpuUsage();
  out.load = (own.user + own.system) / 1e6;
  return out;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function fail(error) {
  process.stderr.write(`load: ${error?.stack ?? error}\n`);
  process.exit(1);
}

/** Runs `count()` from before to after the window; what it returns is the amount of work. */
async function windowOf(count) {
  await sleep(WARM_MS);
  const before = count();
  const cpuBefore = cpu();
  const from = performance.now();
  await sleep(windowMs);
  const seconds = (performance.now() - from) / 1000;
  const amount = count() - before;
  const after = cpu();
  const used = {};
  for (const name of Object.keys(after)) used[name] = after[name] - cpuBefore[name];
  return { amount, seconds, cpu: used };
}

function connect(options = {}) {
  const socket = net.connect({ host, port, noDelay: true, ...options });
  socket.on("error", fail);
  return socket;
}

async function download() {
  let bytes = 0;
  for (let i = 0; i < spec.connections; i++) {
    connect({
      onread: {
        buffer: Buffer.allocUnsafe(256 * 1024),
        callback(count) {
          bytes += count;
          return true;
        },
      },
    });
  }
  return await windowOf(() => bytes);
}

async function upload() {
  let bytes = 0;
  const block = Buffer.alloc(128 * 1024, "upload");
  for (let i = 0; i < spec.connections; i++) {
    const socket = connect();
    const more = () =>
      socket.write(block, () => {
        bytes += block.length;
        more();
      });
    more();
    more();
  }
  return await windowOf(() => bytes);
}

/** Connects, sends `request`, and resolves with the ms until `bytes` have come. */
function exchange(request, bytes) {
  return new Promise((resolve) => {
    const from = performance.now();
    let left = bytes;
    const socket = connect();
    socket.write(request);
    socket.on("data", (chunk) => {
      left -= chunk.length;
      if (left > 0) return;
      resolve(performance.now() - from);
      socket.destroy();
    });
    socket.on("close", () => left > 0 && fail(new Error("Connection closed without an answer")));
  });
}

const GET = (more) => Buffer.from(`GET / HTTP/1.1\r\nHost: bench\r\n${more}\r\n`);

/** Length of a whole answer; it is the same every time. */
function answerLength(request) {
  return new Promise((resolve) => {
    const socket = connect();
    let text = "";
    socket.write(request);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      const head = text.indexOf("\r\n\r\n");
      if (head < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(text)[1]);
      if (text.length < head + 4 + length) return;
      resolve(head + 4 + length);
      socket.destroy();
    });
  });
}

/** Fresh connections one after the other, on `connections` lines at once. */
async function fresh(request, bytes) {
  let done = 0;
  const times = [];
  let counting = false;
  let over = false;
  const line = async () => {
    while (!over) {
      const ms = await exchange(request, bytes);
      done++;
      if (counting) times.push(ms);
    }
  };
  for (let i = 0; i < spec.connections; i++) void line();
  const result = await windowOf(() => {
    counting = true;
    return done;
  });
  over = true;
  return { ...result, times };
}

async function newConnections() {
  return await fresh(Buffer.from("x"), 1);
}

async function perRequest() {
  const request = GET("Connection: close\r\n");
  return await fresh(request, await answerLength(request));
}

async function keepAlive() {
  const request = GET("");
  const length = await answerLength(request);
  let done = 0;
  for (let i = 0; i < spec.connections; i++) {
    const socket = connect();
    let left = length;
    socket.write(request);
    socket.on("data", (chunk) => {
      left -= chunk.length;
      if (left > 0) return;
      if (left < 0) fail(new Error("More bytes than were asked for"));
      done++;
      left = length;
      socket.write(request);
    });
    socket.on("close", () => fail(new Error("A kept connection was closed")));
  }
  return await windowOf(() => done);
}

/** Requests one after the other on one connection, with answers of `size` bytes. */
async function answers() {
  const request = Buffer.from(`GET /bytes?n=${spec.size} HTTP/1.1\r\nHost: bench\r\n\r\n`);
  const length = await answerLength(request);
  const times = [];
  let from = 0;
  let left = 0;
  let done = 0;
  let counting = false;
  const socket = connect({
    onread: {
      buffer: Buffer.allocUnsafe(256 * 1024),
      callback(count) {
        left -= count;
        if (left > 0) return true;
        if (left < 0) fail(new Error("More bytes than were asked for"));
        if (counting) times.push(performance.now() - from);
        done++;
        next();
        return true;
      },
    },
  });
  const next = () => {
    left = length;
    from = performance.now();
    socket.write(request);
  };
  next();
  const result = await windowOf(() => {
    counting = true;
    return done;
  });
  return { ...result, times };
}

async function echo() {
  const socket = connect();
  const times = [];
  let from = performance.now();
  let done = 0;
  let counting = false;
  socket.on("data", () => {
    const now = performance.now();
    if (counting) times.push(now - from);
    done++;
    from = now;
    socket.write("x");
  });
  socket.write("x");
  const result = await windowOf(() => {
    counting = true;
    return done;
  });
  return { ...result, times };
}

/** `count` fresh connections in a row, all times in order. */
async function sequence() {
  const times = [];
  for (let i = 0; i < spec.count; i++) times.push(await exchange(Buffer.from("x"), 1));
  return { amount: times.length, seconds: 0, cpu: {}, times };
}

/** Opens `connections`, each answered once, says so, and keeps them until its input ends. */
async function hold() {
  for (let i = 0; i < spec.connections; i += 50) {
    await Promise.all(Array.from(
      { length: Math.min(50, spec.connections - i) },
      () =>
        new Promise((resolve) => {
          const socket = connect();
          socket.write("x");
          socket.once("data", resolve);
        }),
    ));
  }
  process.stdout.write(`${JSON.stringify({ amount: spec.connections })}\n`);
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.on("end", resolve));
  process.exit(0);
}

/** Reads a megabyte and then nothing any more, until its input ends. */
async function stall() {
  const socket = connect();
  let bytes = 0;
  await new Promise((resolve) =>
    socket.on("data", (chunk) => {
      bytes += chunk.length;
      if (bytes < 1_000_000) return;
      socket.pause();
      resolve();
    })
  );
  process.stdout.write(`${JSON.stringify({ amount: 1 })}\n`);
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.on("end", resolve));
  process.exit(0);
}

const LOADS = {
  download,
  upload,
  newConnections,
  perRequest,
  keepAlive,
  answers,
  echo,
  sequence,
  hold,
  stall,
};

const result = await LOADS[spec.load]().catch(fail);
if (!(result.amount > 0)) fail(new Error(`Nothing came through within ${windowMs} ms`));
if (result.times) {
  const sorted = [...result.times].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  result.p50 = at(0.5);
  result.p99 = at(0.99);
  if (spec.load !== "sequence") delete result.times;
}
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
