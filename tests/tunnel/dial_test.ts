import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { clientCertificateProblem } from "../../src/platform/client_certificate.ts";
import { dial } from "../../src/tunnel/dial.ts";
import { TunnelEngine } from "../../src/tunnel/engine.ts";
import { TunnelError } from "../../src/tunnel/errors.ts";
import { deployment, startCluster } from "../cluster/mod.ts";
import { TestAuthority } from "../cluster_client/certificates.ts";
import { TlsFront } from "../tls_front.ts";
import { echo, Peer } from "./peer.ts";
import { closeQuietly, join, text, writeAll } from "./wire.ts";
import { ManualClock } from "./manual_clock.ts";
import { Client, echoes, endpoint, reasonsLogged, until, withBed, within } from "./support.ts";
import { NS, targetsOf } from "./test_cluster.ts";

// Made by openssl: an X.509 version 1 certificate and its key, of no other use.
const V1_CERT = `-----BEGIN CERTIFICATE-----
MIIBFTCBvQIUUNXnxvNwtFYEG83rZwlTLYXn67IwCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCY2EwHhcNMjYxMTIzMDEzMTIyWhcNMjYxMjIzMDEzMTIyWjAPMQ0wCwYD
VQQDDAR1c2VyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESDU0LUw+UEZMqUSD
4InXaCHFVsSEqBI5FlbDLW/eah6f/MaI5ADP6kw8i28YUy56nWV4PD97aIq9YWEE
akbw2jAKBggqhkjOPQQDAgNHADBEAiByfMqy7ryuBRnMYZXZakGmz22ozBjCmgqc
h0ajN1X1aAIgGXx7MOBNDeGiDOQoRu368qvZlahVGCUO64eG+s51RwE=
-----END CERTIFICATE-----`;
const V1_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1S/KJxWd6NrRASD3
PtQmxZkYM71Uxgw3ufDJdZymFCahRANCAARINTQtTD5QRkypRIPgiddoIcVWxISo
EjkWVsMtb95qHp/8xojkAM/qTDyLbxhTLnqdZXg8P3toir1hYQRqRvDa
-----END PRIVATE KEY-----`;
const OTHER_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGQEbUZRPpsdqb0Rc
YjqX2Xrjwc8b1F8oJgJr0GIkek+hRANCAAQJJj3NxKc4FjqbG1tdx9eH3tKwjhD1
flmTmOTIwH+WKdPDaTTCePJ56P6ENR+53gRPRmOnnnmsjtr5qWspZjYR
-----END PRIVATE KEY-----`;
const V3_CERT = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUUNXnxvNwtFYEG83rZwlTLYXn67MwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwHhcNMjYxMTIzMDEzMjIxWhcNMjYxMjIzMDEzMjIxWjAP
MQ0wCwYDVQQDDAR1c2VyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESDU0LUw+
UEZMqUSD4InXaCHFVsSEqBI5FlbDLW/eah6f/MaI5ADP6kw8i28YUy56nWV4PD97
aIq9YWEEakbw2qNXMFUwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0OBBYEFLAs
cKCA92YVQCjTqBToMQU05pinMB8GA1UdIwQYMBaAFC/UKqvn9l4a1gYrNfllm5Ew
n3VDMAoGCCqGSM49BAMCA0gAMEUCIQC0u9vuQ1Cz8d+R0Yub5s9moq2odzXdacP/
A0hhamg1qwIgH3sevNUhnjDEKPOsRzHj6Lr0b/DAm1Ok/FJYDLgY6IE=
-----END CERTIFICATE-----`;

Deno.test("clientCertificateProblem finds what the runtime would panic on", () => {
  assert.equal(clientCertificateProblem(V3_CERT, V1_KEY), undefined);
  assert.match(clientCertificateProblem(V1_CERT, V1_KEY) ?? "", /version 1/);
  assert.match(clientCertificateProblem(V3_CERT, OTHER_KEY) ?? "", /does not fit/);
  assert.ok(clientCertificateProblem("junk", V1_KEY) !== undefined);
  assert.ok(clientCertificateProblem(V3_CERT, "junk") !== undefined);
});

Deno.test("dial reaches a cluster with each kind of TLS, without Node's streams", async () => {
  await using cluster = await startCluster({
    fixtures: [deployment(NS, "one", { programs: ["echo=8081"] })],
  });
  const signal = AbortSignal.timeout(20_000);
  for (const context of ["token", "admin"]) {
    const target = await targetsOf(cluster, context)();
    const variants = [
      target,
      { ...target, tls: { ...target.tls!, serverName: "localhost" } },
      { ...target, tls: { ...target.tls!, serverName: "wrong.example", insecureSkipVerify: true } },
    ];
    for (const one of variants) {
      const conn = await dial(one, signal);
      assert.equal(conn.direct, true, "the fast way is lost: see docs/decisions/0020, 0146");
      await send(conn, "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      const buffer = new Uint8Array(4096);
      const count = await within(5000, conn.read(buffer), "an answer");
      assert.match(new TextDecoder().decode(buffer.subarray(0, count)), /^HTTP\/1\.1 /);
      conn.close();
    }
    for (
      const [bad, reason] of [
        [{ serverName: "wrong.example" }, /certificate is not for the name "wrong.example"$/],
        [{ ca: V3_CERT }, /certificate is not signed by a trusted authority$/],
      ] as const
    ) {
      await assert.rejects(
        dial({ ...target, tls: { ...target.tls!, ...bad } }, signal),
        (error) =>
          error instanceof TunnelError && error.fault === "unreachable" &&
          error.nothingDelivered && reason.test(error.message),
      );
    }
  }
});

Deno.test("dial gives up at its deadline when nothing answers", async () => {
  // Accepts, and says nothing: the TLS handshake hangs.
  const mute = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const held: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const conn of mute) held.push(conn);
  })().catch(() => {});
  try {
    for (const insecureSkipVerify of [false, true]) {
      await assert.rejects(
        within(
          4000,
          dial({
            host: "127.0.0.1",
            port: (mute.addr as Deno.NetAddr).port,
            basePath: "",
            headers: {},
            tls: { insecureSkipVerify },
          }, AbortSignal.timeout(300)),
          "the dial to give up",
        ),
        (error) => error instanceof TunnelError && error.fault === "timeout",
      );
    }
  } finally {
    mute.close();
    for (const conn of held) closeQuietly(conn);
    await accepting;
  }
});

Deno.test("dial names what is wrong with an address", async () => {
  const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = closed.addr as Deno.NetAddr;
  closed.close();
  await assert.rejects(
    dial(
      { host: "127.0.0.1", port, basePath: "", headers: {} },
      AbortSignal.timeout(3000),
    ),
    (error) =>
      error instanceof TunnelError && error.fault === "unreachable" &&
      /connection to 127\.0\.0\.1:\d+ refused$/.test(error.message) && error.hint !== undefined,
  );
  await assert.rejects(
    dial({ host: "nowhere.invalid", port, basePath: "", headers: {} }, AbortSignal.timeout(9000)),
    (error) =>
      error instanceof TunnelError && error.fault === "unreachable" &&
      /the name "nowhere.invalid" cannot be resolved$/.test(error.message),
  );
});

/** A proxy that counts what goes through; `user:secret` when `named`. `leadsTo`: a local port, whatever was asked for. */
class Proxy {
  readonly listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  passed: string[] = [];
  readonly done: Promise<void>;

  constructor(
    readonly kind: "http" | "socks5",
    readonly named: boolean,
    readonly leadsTo?: number,
  ) {
    this.done = (async () => {
      const running: Promise<unknown>[] = [];
      for await (const conn of this.listener) running.push(this.#serve(conn).catch(() => {}));
      await Promise.all(running);
    })();
  }

  get url(): string {
    const { port } = this.listener.addr as Deno.NetAddr;
    return `${this.kind}://${this.named ? "user:secret@" : ""}127.0.0.1:${port}`;
  }

  async #serve(conn: Deno.TcpConn): Promise<void> {
    try {
      const target = this.kind === "http" ? await this.#http(conn) : await this.#socks(conn);
      if (target === undefined) return;
      this.passed.push(target);
      const [host, port] = target.split(":");
      const up = await Deno.connect(
        this.leadsTo === undefined
          ? { hostname: host!, port: Number(port) }
          : { hostname: "127.0.0.1", port: this.leadsTo },
      );
      try {
        await Promise.race([pump(conn, up), pump(up, conn)]);
      } finally {
        closeQuietly(up);
      }
    } finally {
      closeQuietly(conn);
    }
  }

  async #http(conn: Deno.TcpConn): Promise<string | undefined> {
    const buffer = new Uint8Array(4096);
    const head = new TextDecoder().decode(buffer.subarray(0, await conn.read(buffer) ?? 0));
    if (this.named && !head.includes(`Proxy-Authorization: Basic ${btoa("user:secret")}`)) {
      await writeAll(conn, text("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"));
      return undefined;
    }
    await writeAll(conn, text("HTTP/1.1 200 Connection established\r\n\r\n"));
    return /^CONNECT (\S+)/.exec(head)?.[1];
  }

  async #socks(conn: Deno.TcpConn): Promise<string | undefined> {
    const take = async (count: number) => {
      const bytes = new Uint8Array(count);
      for (let have = 0; have < count;) {
        const read = await conn.read(bytes.subarray(have));
        if (read === null) throw new Error("ended");
        have += read;
      }
      return bytes;
    };
    const methods = await take((await take(2))[1]!);
    if (this.named) {
      assert.ok(methods.includes(2));
      await writeAll(conn, Uint8Array.of(5, 2));
      const user = await take((await take(2))[1]!);
      const password = await take((await take(1))[0]!);
      assert.equal(new TextDecoder().decode(join([user, password])), "usersecret");
      await writeAll(conn, Uint8Array.of(1, 0));
    } else await writeAll(conn, Uint8Array.of(5, 0));
    const kind = (await take(4))[3]!;
    const host = kind === 1
      ? (await take(4)).join(".")
      : new TextDecoder().decode(await take((await take(1))[0]!));
    const port = await take(2);
    await writeAll(conn, Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    return `${host}:${(port[0]! << 8) | port[1]!}`;
  }

  async close(): Promise<void> {
    this.listener.close();
    await this.done;
  }
}

async function pump(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(65536);
  for (;;) {
    const count = await from.read(buffer).catch(() => null);
    if (count === null) return;
    await writeAll(to, buffer.subarray(0, count));
  }
}

Deno.test("Tunnels go through HTTP and SOCKS5 proxies, with every kind of credentials", async () => {
  await using cluster = await startCluster({
    fixtures: [deployment(NS, "one", { programs: ["echo=8081"] })],
  });
  const [pod] = await cluster.control.pods();
  for (
    const [kind, named] of [["http", false], ["http", true], ["socks5", false], [
      "socks5",
      true,
    ]] as const
  ) {
    const proxy = new Proxy(kind, named);
    for (const context of ["token", "admin"]) {
      const engine = new TunnelEngine({
        targets: async () => ({ ...await targetsOf(cluster, context)(), proxyUrl: proxy.url }),
        log: silentLogger,
        clock: systemClock,
      });
      try {
        const listener = await engine.listen({
          address: "127.0.0.1",
          port: 0,
          service: { namespace: NS, name: "one" },
          portName: "",
        });
        listener.update([
          endpoint(pod!.name, { podNamespace: NS, podUid: pod!.uid }),
        ]);
        const client = await Client.connect(listener.boundPort);
        await client.write("through\n");
        assert.equal(await client.line(), "through");
        client.close();
      } finally {
        await engine.close();
      }
    }
    await proxy.close();
    assert.equal(proxy.passed.length, 2);
  }
});

Deno.test("Tunnels go through an HTTPS proxy, TLS inside TLS", async () => {
  await using cluster = await startCluster({
    fixtures: [deployment(NS, "one", { programs: ["echo=8081"] })],
  });
  const [pod] = await cluster.control.pods();
  const authority = new TestAuthority();
  const proxy = new Proxy("http", true);
  const { port } = proxy.listener.addr as Deno.NetAddr;
  const front = new TlsFront(authority.server(["127.0.0.1"]), port);
  try {
    for (const context of ["token", "admin"]) {
      const engine = new TunnelEngine({
        targets: async () => {
          const target = await targetsOf(cluster, context)();
          return {
            ...target,
            tls: { ...target.tls!, ca: target.tls!.ca + authority.cert },
            proxyUrl: `https://user:secret@127.0.0.1:${front.port}`,
          };
        },
        log: silentLogger,
        clock: systemClock,
      });
      const listener = await engine.listen({
        address: "127.0.0.1",
        port: 0,
        service: { namespace: NS, name: "one" },
        portName: "",
      });
      listener.update([endpoint(pod!.name, { podNamespace: NS, podUid: pod!.uid })]);
      const clients = await Promise.all([0, 1, 2].map(() => Client.connect(listener.boundPort)));
      const line = "0123456789abcdef".repeat(4096);
      for (const client of clients) await echoes(client, "small");
      await Promise.all(clients.map(async (client) => {
        for (let i = 0; i < 20; i++) await echoes(client, line);
      }));
      assert.equal(engine.stats().links, 1);
      for (const client of clients) client.close();
      await engine.close();
    }
    assert.equal(proxy.passed.length, 2);
  } finally {
    await front.close();
    await proxy.close();
  }
});

Deno.test("The Host header leaves the scheme's own port out, as kubectl's does", async () => {
  const peer = new Peer({ pods: { a: echo } });
  const proxy = new Proxy("http", false, peer.port);
  try {
    for (const [port, host] of [[80, "api.example"], [8080, "api.example:8080"]] as const) {
      const engine = new TunnelEngine({
        targets: () =>
          Promise.resolve({
            host: "api.example",
            port,
            basePath: "",
            headers: {},
            proxyUrl: proxy.url,
          }),
        log: silentLogger,
        clock: systemClock,
      });
      const listener = await engine.listen({
        address: "127.0.0.1",
        port: 0,
        service: { namespace: NS, name: "one" },
        portName: "",
      });
      listener.update([endpoint("a")]);
      const client = await Client.connect(listener.boundPort);
      await echoes(client, "through");
      client.close();
      await engine.close();
      assert.equal(/^host: (.*?)\r?$/im.exec(peer.requests.at(-1)!)?.[1], host);
      // The proxy is asked for the port in any case.
      assert.equal(proxy.passed.at(-1), `api.example:${port}`);
    }
  } finally {
    await proxy.close();
    peer.close();
    await peer.done;
  }
});

Deno.test("A proxy that refuses is named", async () => {
  const proxy = new Proxy("http", true);
  const { port } = proxy.listener.addr as Deno.NetAddr;
  try {
    await assert.rejects(
      dial(
        { host: "x", port: 1, basePath: "", headers: {}, proxyUrl: `http://127.0.0.1:${port}` },
        AbortSignal.timeout(3000),
      ),
      (error) =>
        error instanceof TunnelError && /refused with "HTTP\/1\.1 407 /.test(error.message),
    );
  } finally {
    await proxy.close();
  }
});

Deno.test("Refusals of the API server are told apart", async () => {
  const status = (code: number, message: string) => {
    const body = JSON.stringify({ kind: "Status", message, code });
    return `HTTP/1.1 ${code} X\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  };
  const cases: [answer: string, fault: RegExp][] = [
    [status(403, "pods is forbidden"), /not allowed to create pods\/portforward/],
    [
      status(
        403,
        'pods "a" is forbidden: User "u" cannot get resource "pods/portforward" in API group ""',
      ),
      /not allowed to get pods\/portforward/,
    ],
    [
      status(403, 'admission webhook "no.example" denied the request: not on Fridays'),
      /not on Fridays/,
    ],
    [status(404, "pods not found"), /does not exist/],
    [
      status(500, "error dialing backend: dial tcp 10.0.0.1:10250: i/o timeout"),
      /error dialing backend/,
    ],
    ["HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", /403 no/],
    ["HTTP/1.1 404 Not Found\r\n\r\n404 page not found\n", /404 page not found/],
    ["HTTP/1.1 404 Not Found\r\n\r\n404 request not found", /404 request not found/],
    // A proxy that repeats the path, in which a pod's name may say "pod".
    [
      "HTTP/1.1 404 Not Found\r\n\r\nThe requested URL /api/v1/namespaces/x/pods/pod-0 was not found",
      /the answer was 404 The requested URL/,
    ],
    ["garbage\r\n\r\n", /not HTTP/],
    ["", /ended before an answer/],
  ];
  for (const [answer, expected] of cases) {
    const { log, reasons } = reasonsLogged();
    await withBed(
      { pods: { a: echo }, answer: () => answer, engine: { log, holdMs: 100 } },
      async ({ connect }) => {
        assert.equal(await (await connect()).over(), 0);
        assert.match(reasons.join("\n"), expected);
      },
    );
  }
});

Deno.test("A pod that its kubelet does not know, or that has no node, is tried again", async () => {
  const plain = (code: number, body: string) =>
    `HTTP/1.1 ${code} X\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const answers = [
    // pkg/kubelet/server/server.go, getPortForward; and what its container runtime told it.
    plain(404, "pod does not exist"),
    plain(404, "pod not found"),
    plain(404, 'rpc error: code = NotFound desc = failed to find sandbox "5c6e": not found'),
    plain(500, 'pod not found ("a_default")'),
    // pkg/registry/core/pod/strategy.go: a StatefulSet's pod, made anew under the same name.
    (() => {
      const message = "pod a does not have a host assigned";
      const body = JSON.stringify({ kind: "Status", message, reason: "BadRequest", code: 400 });
      return `HTTP/1.1 400 X\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    })(),
  ];
  for (const answer of answers) {
    let asked = 0;
    await withBed(
      { pods: { a: echo }, answer: () => asked++ === 0 ? answer : undefined },
      async ({ connect, engine }) => {
        await echoes(await connect(), "hello");
        assert.equal(asked, 2, answer);
        assert.equal(engine.stats().transport, "spdy");
      },
    );
    // Where there is another pod it is not even held.
    await withBed({
      pods: { a: echo, b: echo },
      answer: (request) => request.includes("/pods/a/") ? answer : undefined,
      engine: { holdMs: 0 },
    }, async ({ connect }) => {
      for (let i = 0; i < 2; i++) await echoes(await connect(), "hello");
    });
  }
});

const BAD_GATEWAY = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nnone";

Deno.test("An API server away for a moment behind a proxy is waited for, however the proxy says so", async () => {
  for (const answer of [BAD_GATEWAY, ""]) {
    let asked = 0;
    await withBed(
      { pods: { a: echo }, answer: () => asked++ < 4 ? answer : undefined },
      async ({ connect }) => {
        await echoes(await connect(), "hello");
      },
    );
  }
});

const SPDY_ACCEPTED =
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";

function websocketAccepted(request: string): string {
  const field = (name: string) => new RegExp(`^${name}: (.*?)\\r?$`, "im").exec(request)?.[1];
  const accept = createHash("sha1")
    .update(`${field("sec-websocket-key")}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
    `Sec-WebSocket-Accept: ${accept}\r\n` +
    `Sec-WebSocket-Protocol: ${field("sec-websocket-protocol")}\r\n\r\n`;
}

Deno.test("A way that is accepted and then broken off is the last choice for ten minutes", async () => {
  const clock = new ManualClock();
  let broken = true;
  await withBed({
    pods: { a: echo },
    answer: (request) => broken && request.startsWith("POST") ? SPDY_ACCEPTED : undefined,
    engine: { clock },
  }, async ({ connect, engine, peer }) => {
    /** Ways asked for, for one new link. */
    const next = async (word: string) => {
      for (const link of [...peer.links]) link.close();
      await until(() => engine.stats().links === 0, "there is no link");
      const before = peer.requests.length;
      // The program says nothing before the link is up: what it has sent could not be sent again.
      const client = await connect();
      const greeted = echoes(client, word);
      await Promise.all([clock.advance(3000, 100), greeted]);
      return peer.requests.slice(before).map((one) => one.slice(0, 4).trim());
    };
    assert.deepEqual(await next("first"), ["POST", "GET"]);
    assert.equal(engine.stats().transport, "spdy_websocket");
    await clock.advance(120_000, 5000);
    assert.deepEqual(await next("later"), ["GET"]);
    broken = false;
    await clock.advance(600_000, 5000);
    assert.deepEqual(await next("at last"), ["POST"]);
    assert.equal(engine.stats().transport, "spdy");
  });
});

Deno.test("A way that has worked keeps its rank when a link is broken off at once", async () => {
  let broken = 0;
  await withBed({
    pods: { a: echo },
    answer: (request) => broken-- > 0 && request.startsWith("POST") ? SPDY_ACCEPTED : undefined,
  }, async ({ connect, engine, peer }) => {
    await echoes(await connect(), "first");
    for (const link of [...peer.links]) link.close();
    await until(() => engine.stats().links === 0, "there is no link");
    broken = 3;
    await echoes(await connect(), "later");
    assert.deepEqual(peer.requests.map((one) => one.slice(0, 4)), Array(5).fill("POST"));
    assert.equal(engine.stats().transport, "spdy");
  });
});

Deno.test("Where every way is accepted and broken off, none is tried without end", async () => {
  const { log, reasons } = reasonsLogged();
  await withBed({
    pods: { a: echo },
    answer: (request) => request.startsWith("POST") ? SPDY_ACCEPTED : websocketAccepted(request),
    engine: { log, holdMs: 1000, transports: ["spdy", "spdy_websocket"] },
  }, async ({ connect, peer }) => {
    const client = await connect();
    assert.equal(await client.over(), 0);
    assert.ok(peer.requests.length < 30, `${peer.requests.length} requests`);
    assert.match(reasons.join("\n"), /broken off as soon as it is open/);
  });
});

Deno.test("A proxy that answers 500, 503 or 504 to one way may pass on another", async () => {
  for (const status of [500, 503, 504]) {
    await withBed({
      pods: { a: echo },
      answer: (request) =>
        request.startsWith("POST")
          ? `HTTP/1.1 ${status} X\r\nContent-Length: 13\r\n\r\n<html></html>`
          : undefined,
    }, async ({ connect, engine }) => {
      await echoes(await connect(), "hello");
      assert.equal(engine.stats().transport, "spdy_websocket");
    });
  }
});

Deno.test("A way that was out of order for a moment is the first choice again after a minute", async () => {
  const clock = new ManualClock();
  let broken = true;
  await withBed({
    pods: { a: echo },
    answer: (request) => broken && request.startsWith("POST") ? BAD_GATEWAY : undefined,
    engine: { clock },
  }, async ({ connect, engine, peer }) => {
    const next = async (word: string) => {
      for (const link of [...peer.links]) link.close();
      await until(() => engine.stats().links === 0, "there is no link");
      await echoes(await connect(), word);
      return engine.stats().transport;
    };
    assert.equal(await next("first"), "spdy_websocket");
    broken = false;
    assert.equal(await next("again"), "spdy_websocket");
    await clock.advance(61_000, 5000);
    assert.equal(await next("later"), "spdy");
  });
});

Deno.test("Where the way that worked is out of order, the rights for another one do not matter", async () => {
  let broken = false;
  const forbidden = JSON.stringify({
    kind: "Status",
    message: 'pods "a" is forbidden: User "u" cannot get resource "pods/portforward"',
    code: 403,
  });
  await withBed({
    pods: { a: echo },
    answer: (request) => {
      if (request.startsWith("POST")) return broken ? BAD_GATEWAY : undefined;
      broken = false;
      return `HTTP/1.1 403 X\r\nContent-Length: ${forbidden.length}\r\n\r\n${forbidden}`;
    },
  }, async ({ connect, engine, peer }) => {
    await echoes(await connect(), "before");
    for (const link of [...peer.links]) link.close();
    await until(() => engine.stats().links === 0, "there is no link");
    broken = true;
    await echoes(await connect(), "after");
    assert.equal(engine.stats().transport, "spdy");
  });
});

Deno.test("A way that a namespace's rights do not allow is asked for there once a minute, elsewhere always", async () => {
  const clock = new ManualClock();
  let closed = ["/namespaces/default/"];
  await withBed({
    pods: { a: echo },
    answer: (request) => {
      if (!request.startsWith("POST") || !closed.some((one) => request.includes(one))) return;
      const message = 'pods "a" is forbidden: User "u" cannot create resource "pods/portforward"';
      const body = JSON.stringify({ kind: "Status", message, code: 403 });
      return `HTTP/1.1 403 X\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    },
    engine: { clock },
  }, async ({ connect, engine, listener, peer }) => {
    /** What was asked for, each with a new link. */
    const next = async (podNamespace: string) => {
      for (const link of [...peer.links]) link.close();
      await until(() => engine.stats().links === 0, "there is no link");
      listener.update([endpoint("a", { podNamespace, podUid: podNamespace })]);
      const before = peer.requests.length;
      await echoes(await connect(), "hello");
      return peer.requests.slice(before).map((one) =>
        /^sec-websocket-protocol: (.*)$/im.exec(one)?.[1] ?? one.slice(0, 4)
      );
    };
    const WEBSOCKET = "SPDY/3.1+portforward.k8s.io";
    assert.deepEqual(await next("other"), ["POST"]);
    assert.deepEqual(await next("default"), ["POST", WEBSOCKET]);
    assert.deepEqual(await next("default"), [WEBSOCKET]);
    assert.deepEqual(await next("other"), ["POST"]);
    await clock.advance(61_000, 5000);
    assert.deepEqual(await next("default"), ["POST", WEBSOCKET]);
    closed = [];
    await clock.advance(61_000, 5000);
    assert.deepEqual(await next("default"), ["POST"]);
  });
});

async function send(conn: { write(b: Uint8Array): Promise<number> }, value: string) {
  const bytes = text(value);
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

Deno.test("A server that upgrades and says something else at once is not asked again and again", async () => {
  await withBed({
    pods: { a: echo },
    answer: () => `${SPDY_ACCEPTED}HTTP/1.1 400 Bad Request\r\n\r\n`,
    engine: { holdMs: 1000 },
  }, async ({ connect, listener, peer }) => {
    // After 0, 100, 300, 700 and 1,000 ms, in each of the three ways; once more where its end comes a moment later.
    await (await connect()).over(5000);
    assert.ok(peer.accepted <= 18, `${peer.accepted} times`);
    assert.match(listener.stats.lastFailure!.reason, /as soon as it is open|pod lost/);
  });
});
