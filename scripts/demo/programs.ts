export interface DemoProgram {
  /** What it shows, in one sentence. */
  readonly what: string;
  readonly command: readonly string[];
  readonly expect: RegExp;
}

/** A TCP conversation with Node's own client: what is sent, and when enough came back. */
function conversation(host: string, port: number, send: string, until: string): string[] {
  const script = `
    const s = require("net").connect(${port}, "${host}", () => s.write(${JSON.stringify(send)}));
    let t = ""; s.on("data", d => { t += d; if (t.includes(${JSON.stringify(until)})) {
      console.log(t.trim().replace(/\\r?\\n/g, " ")); s.end(); } });`;
  return ["node", "-e", script.replace(/\n\s+/g, " ").trim()];
}

/** A WebSocket handshake and one message there and back, by hand: Node 20 has no client. */
const WEBSOCKET = `
  const q = require("http").request("http://sample-project-sockets.sample-project:3010/", { headers: {
    Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==" } });
  q.on("upgrade", (r, s) => { console.log(r.statusCode, "upgraded to", r.headers.upgrade);
    s.write(Buffer.from([0x81, 0x85, 0, 0, 0, 0, ...Buffer.from("hello")]));
    let t = Buffer.alloc(0); s.on("data", d => { t = Buffer.concat([t, d]);
      if (t.includes("hello")) { console.log("echoed: hello"); s.destroy(); } }); });
  q.end();`;

/** curl where there is one, else Node: a fresh machine may have nothing but Node. */
export function fetchCommand(url: string): string[] {
  if (hasCurl()) return ["curl", "-sS", url];
  return ["node", "-e", `fetch("${url}").then(async (r) => console.log(await r.text()))`];
}

function hasCurl(): boolean {
  try {
    return new Deno.Command("curl", { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch {
    return false;
  }
}

/** One ordinary program for each of the six services. */
export const programs = (): readonly DemoProgram[] => [
  {
    what: "an HTTP site",
    command: fetchCommand("http://sample-project-web.sample-project/"),
    expect: /^Hello from web-/,
  },
  {
    what: "an HTTP API, by its short name",
    command: fetchCommand("http://sample-project-server:3000/"),
    expect: /^Hello from server-/,
  },
  {
    what: "one more HTTP service, by its full name",
    command: fetchCommand("http://sample-project-sails.sample-project.svc.cluster.local:1337/"),
    expect: /^Hello from sails-/,
  },
  {
    what: "a WebSocket server",
    command: ["node", "-e", WEBSOCKET.replace(/\n\s+/g, " ").trim()],
    expect: /echoed: hello/,
  },
  {
    what: "a TCP echo",
    command: conversation(
      "sample-project-echo.sample-project",
      8081,
      "is there anybody",
      "anybody",
    ),
    expect: /is there anybody/,
  },
  {
    what: "a database: the Redis protocol",
    command: conversation(
      "sample-project-database.sample-project",
      6379,
      "SET greeting hello\r\nGET greeting\r\n",
      "hello\r\n",
    ),
    expect: /\+OK .*hello/,
  },
];
