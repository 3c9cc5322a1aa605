import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { SessionInfo } from "../../src/model/control.ts";
import { bodyJson } from "../../src/inspector/body_text.ts";
import { emptyBody } from "../../src/inspector/exchange.ts";
import { escapeLabel, metricsText } from "../../src/inspector/metrics.ts";
import { isSecretHeader, MASK, maskTarget } from "../../src/inspector/secrets.ts";
import { letIn, port, service, session, withInspector } from "./fixtures.ts";
import { exchangeBytes, startRelay } from "./relay.ts";
import type { Inspector } from "../../src/inspector/inspector.ts";
import { until } from "../until.ts";

const INFO = { namespace: "sample-project", service: "web", port: 80, pod: "web-1" };

/** Lets a request and its answer pass through the tap. */
function passThrough(inspector: Inspector, request: string, response: string, info = INFO) {
  const tap = inspector.tap.open(info)!;
  tap.up(Buffer.from(request, "latin1"));
  tap.down(Buffer.from(response, "latin1"));
  tap.close();
}

/** An inspector with somebody looking; `ask` holds the token. */
async function watched(
  sessions: () => readonly SessionInfo[],
  body: (
    inspector: Inspector,
    // deno-lint-ignore no-explicit-any -- JSON of many shapes
    ask: (path: string, init?: RequestInit) => Promise<any>,
    url: string,
    cookie: string,
  ) => Promise<void>,
) {
  await withInspector(sessions, async (inspector, url) => {
    const { cookie } = await letIn(inspector);
    const ask = async (path: string, init: RequestInit = {}) => {
      const headers = { "content-type": "application/json", ...init.headers, cookie };
      const answer = await fetch(url + path, { ...init, headers });
      const text = await answer.text();
      const value = text === "" ? {} : JSON.parse(text);
      return answer.ok ? value : { ...value, status: answer.status };
    };
    await ask("/api/requests/http");
    await body(inspector, ask, url, cookie);
  });
}

Deno.test("/api/tunnels tells each port in the words of the ngrok agent", async () => {
  const sessions = () => [
    session([
      service("web", { ports: [port(80, { connections: 2, bytesDown: 30, bytesUp: 4 })] }),
      service("db", { pod: "db-0", address: "127.1.31.2", names: ["db-0.db.sample-project"] }),
    ]),
  ];
  await withInspector(sessions, async (_, url) => {
    const { tunnels } = await (await fetch(`${url}/api/tunnels`)).json();
    assert.deepEqual(tunnels.map((tunnel: { name: string }) => tunnel.name), [
      "web.sample-project:80",
      "db-0.db.sample-project:80",
    ]);
    assert.deepEqual(tunnels[0].config, { addr: "127.1.31.1:80", inspect: false });
    assert.equal(tunnels[0].public_url, "tcp://web.sample-project:80");
    assert.equal(tunnels[0].metrics.conns.gauge, 2);
    const one = await (await fetch(url + tunnels[1].uri)).json();
    assert.deepEqual(one, tunnels[1]);
    for (const path of ["/api/tunnels/none", "/api/tunnels/%ff", "/api/none", "/api/tunnels/a/b"]) {
      const answer = await fetch(url + path);
      await answer.body?.cancel();
      assert.equal(answer.status, 404, path);
    }
    const wrong = await fetch(`${url}/api/tunnels`, { method: "PUT" });
    await wrong.body?.cancel();
    assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "GET"]);
  });
});

Deno.test("HEAD is answered as GET without a body, and uses no code up", async () => {
  await withInspector(() => [], async (inspector, url) => {
    const head = async (path: string) => {
      const answer = await fetch(path, { method: "HEAD", redirect: "manual" });
      assert.equal(await answer.text(), "");
      return answer.status;
    };
    for (const path of ["/", "/style.css", "/metrics", "/api/status"]) {
      assert.equal(await head(url + path), 200, path);
    }
    assert.equal(await head(`${url}/api/events`), 405);
    assert.equal(await head(`${url}/api/requests/http`), 401);
    const entry = inspector.inspectUrl();
    assert.equal(await head(entry), 200);
    const answer = await fetch(entry, { redirect: "manual" });
    await answer.body?.cancel();
    assert.match(answer.headers.get("location")!, /^\/t\//);
  });
});

Deno.test("requests are listed newest first, filtered, masked, revealed and cleared", async () => {
  await watched(() => [], async (inspector, ask) => {
    passThrough(
      inspector,
      "GET /a?access_token=query-secret&x=1 HTTP/1.1\r\nCookie: sid=1\r\nX-Api-Key: k\r\n\r\n",
      "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nContent-Length: 2\r\n\r\nok",
    );
    passThrough(
      inspector,
      "POST /b HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
      { ...INFO, service: "leaf", port: 3010 },
    );
    const paths = async (query: string) =>
      (await ask(`/api/requests/http${query}`)).requests.map(({ path }: { path: string }) => path);
    assert.deepEqual(await paths(""), ["/b", "/a"]);
    assert.deepEqual(await paths("?limit=1"), ["/b"]);
    assert.deepEqual(await paths("?method=get"), ["/a"]);
    assert.deepEqual(await paths("?status=5xx"), ["/b"]);
    assert.deepEqual(await paths("?status=200"), ["/a"]);
    assert.deepEqual(await paths("?path=b"), ["/b"]);
    assert.deepEqual(await paths("?service=web.sample-project"), ["/a"]);
    assert.deepEqual(await paths("?tunnel_name=leaf.sample-project:3010"), ["/b"]);
    assert.equal((await ask("/api/requests/http?limit=x")).status, 400);

    const { id } = (await ask("/api/requests/http?path=a")).requests[0];
    const detail = await ask(`/api/requests/http/${id}`);
    assert.equal(detail.request.uri, `/a?access_token=${MASK}&x=1`);
    assert.deepEqual(detail.request.headers, { Cookie: [MASK], "X-Api-Key": [MASK] });
    assert.deepEqual(detail.response.headers["Set-Cookie"], [MASK]);
    assert.doesNotMatch(Buffer.from(detail.request.raw, "base64").toString(), /query-secret|sid=1/);
    assert.match(
      Buffer.from(detail.response.raw, "base64").toString(),
      /^HTTP\/1.1 200 OK\r\n.*\r\n\r\nok$/s,
    );
    assert.equal(detail.response.body.text, "ok");
    const secret = async (field: string) =>
      (await ask(`/api/requests/http/${id}/secret?field=${field}`)).value;
    assert.equal(await secret("uri"), "/a?access_token=query-secret&x=1");
    assert.equal(await secret("request.0"), "sid=1");
    assert.equal(await secret("response.0"), "a");
    for (const field of ["request.9", "request.length", "__proto__", ""]) {
      assert.equal(await secret(field), undefined);
    }
    assert.deepEqual(await ask("/api/requests/http", { method: "DELETE" }), {});
    assert.deepEqual(await paths(""), []);
    assert.equal((await ask(`/api/requests/http/${id}`)).status, 404);
  });
});

Deno.test("UTF-8 in paths and headers is shown as such, other bytes as Latin-1", async () => {
  await watched(() => [], async (inspector, ask) => {
    const utf8 = (text: string) => Buffer.from(text).toString("latin1");
    passThrough(
      inspector,
      `${utf8("GET /größe?name=Jürgen HTTP/1.1\r\nX-Name: Müller")}\r\nX-Old: M\xfcller\r\n\r\n`,
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    const { requests } = await ask(`/api/requests/http?path=${encodeURIComponent("größe")}`);
    assert.deepEqual(
      requests.map(({ path, query }: { path: string; query: string }) => path + query),
      ["/größe?name=Jürgen"],
    );
    const { request } = await ask(requests[0].uri);
    assert.equal(request.uri, "/größe?name=Jürgen");
    assert.deepEqual(request.headers, { "X-Name": ["Müller"], "X-Old": ["Müller"] });
    assert.equal((await ask(`${requests[0].uri}/secret?field=request.0`)).value, "Müller");
  });
});

Deno.test("replay sends the same bytes again and the new request knows what it repeats", async () => {
  const received: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    received.push(
      `${request.method} ${new URL(request.url).pathname} ` +
        `${request.headers.get("authorization")} ${await request.text()}`,
    );
    return new Response("done", { status: 201 });
  });
  let sessions: SessionInfo[] = [];
  await watched(() => sessions, async (inspector, ask) => {
    const relay = startRelay(inspector.tap, INFO, server.addr.port);
    try {
      sessions = [session([service("web", { address: "127.0.0.1", ports: [port(relay.port)] })])];
      await exchangeBytes(
        relay,
        "PUT /a HTTP/1.1\r\nHost: web\r\nAuthorization: Basic eA==\r\nConnection: close\r\n" +
          "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
      );
      const list = async () => (await ask("/api/requests/http")).requests;
      const [first] = await until("the request", async () => {
        const found = await list();
        return found[0]?.state === "done" && found;
      });
      const result = await ask("/api/requests/http", {
        method: "POST",
        body: JSON.stringify({ id: first.id }),
      });
      assert.equal(result.status, 201);
      assert.deepEqual(received, ["PUT /a Basic eA== abcde", "PUT /a Basic eA== abcde"]);
      const [again] = await list();
      assert.deepEqual([again.id, again.replay_of], [result.id, first.id]);
      assert.deepEqual((await list()).length, 2);

      // The same service in two clusters: it is not known which one was meant.
      sessions = [...sessions, session(sessions[0]!.services, { id: "other" })];
      const which = await ask("/api/requests/http", {
        method: "POST",
        body: JSON.stringify({ id: first.id }),
      });
      assert.match(which.error.message, /^Cannot replay: several sessions have port \d+ of/);
      assert.equal(received.length, 2);

      sessions = [];
      const gone = await ask("/api/requests/http", {
        method: "POST",
        body: JSON.stringify({ id: first.id }),
      });
      assert.equal(gone.status, 409);
      assert.match(gone.error.message, /^Cannot replay: no open session has port \d+ of/);
    } finally {
      await relay.close();
      await server.shutdown();
    }
  });
});

Deno.test("what cannot be repeated faithfully is refused with the reason", async () => {
  const sessions = () => [session([service("web", { address: "127.0.0.1" })])];
  await watched(sessions, async (inspector, ask) => {
    const cases: [string, string, RegExp][] = [
      [
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Up\r\n\r\n",
        /changes the protocol/,
      ],
      ["POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", "", /not seen to its end/],
      [
        `POST / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n${"x".repeat(70_000)}`,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        /only 65536 of the body's 70000 bytes were kept/,
      ],
    ];
    for (const [request, response, expected] of cases) {
      passThrough(inspector, request, response);
      const [{ id }] = (await ask("/api/requests/http?limit=1")).requests;
      const answer = await ask("/api/requests/http", {
        method: "POST",
        body: JSON.stringify({ id }),
      });
      assert.equal(answer.status, 409);
      assert.match(answer.error.message, expected);
    }
    const post = (body: string, headers: Record<string, string> = {}) =>
      ask("/api/requests/http", { method: "POST", body, headers });
    assert.equal((await post('{"id":"999"}')).status, 404);
    assert.equal((await post("[")).status, 400);
    assert.equal((await post("1")).status, 400);
    assert.equal((await post('{"id":"1"}', { "content-type": "text/plain" })).status, 415);
    assert.equal((await post(JSON.stringify({ id: "x".repeat(5000) }))).status, 413);
  });
});

Deno.test("capture can be turned on for good, and off", async () => {
  await watched(() => [], async (inspector, ask) => {
    const set = (mode: unknown) =>
      ask("/api/capture", { method: "POST", body: JSON.stringify({ mode }) });
    assert.deepEqual(await set("off"), { mode: "off", watching: false });
    assert.equal(inspector.tap.open(INFO), undefined);
    assert.deepEqual(await set("on"), { mode: "on", watching: true });
    assert.equal(inspector.tap.watching, true);
    assert.equal((await set("maybe")).status, 400);
  });
});

Deno.test("the live stream tells sessions, figures, and requests to holders of the token only", async () => {
  let connections = 0;
  const sessions = () => [
    session([service("web", { ports: [port(80, { connections: ++connections })] })]),
  ];
  await watched(sessions, async (inspector, _, url, cookie) => {
    const follow = async (headers: Record<string, string>) => {
      const abort = new AbortController();
      const answer = await fetch(`${url}/api/events`, { headers, signal: abort.signal });
      let text = "";
      const reading = (async () => {
        for await (const chunk of answer.body!) text += new TextDecoder().decode(chunk);
      })().catch(() => {});
      return {
        text: () => text,
        end: async () => {
          abort.abort();
          await reading;
        },
      };
    };
    const holder = await follow({ cookie });
    const anybody = await follow({});
    await until("figures", () => /event: traffic\ndata: .*\[\d+,0,0\]/.test(holder.text()));
    passThrough(
      inspector,
      "GET /secret-path HTTP/1.1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    await until("the request", () => holder.text().includes("/secret-path"));
    await until("figures for anybody", () => anybody.text().includes("event: traffic"));
    assert.match(anybody.text(), /"authorized":false/);
    assert.match(anybody.text(), /sample-project/);
    assert.doesNotMatch(anybody.text(), /secret-path|env\.sh|10\.1\.2\.3/);
    // Figures alone are no reason to send all sessions again.
    assert.equal(holder.text().split("event: sessions").length, 2);
    await holder.end();
    await anybody.end();
  });
});

Deno.test("listeners without the token cannot crowd out the others, nor go on after the end", async () => {
  await watched(() => [], async (inspector, _, url, cookie) => {
    const open: Response[] = [];
    for (let n = 0; n < 17; n++) open.push(await fetch(`${url}/api/events`));
    assert.deepEqual(open.map(({ status }) => status), [...Array(16).fill(200), 503]);
    const holder = await fetch(`${url}/api/events`, { headers: { cookie } });
    assert.equal(holder.status, 200);
    // One that goes makes room, without waiting for anything to be said.
    await open.shift()!.body!.cancel();
    open.push(
      await until("room", async () => {
        const answer = await fetch(`${url}/api/events`);
        if (answer.status === 200) return answer;
        await answer.body?.cancel();
        return undefined;
      }),
    );
    await inspector.close();
    for (const answer of [...open, holder]) await answer.body?.cancel().catch(() => {});
  });
});

Deno.test("metricsText() is what Prometheus reads, with labels escaped", () => {
  const text = metricsText([
    session([
      service('a"b\\c\nd', { ports: [port(80, { bytesDown: 7, failed: 2, state: "blocked" })] }),
    ]),
  ], 3);
  assert.match(text, /^czctl_sessions 1$/m);
  assert.match(text, /^czctl_inspector_requests_total 3$/m);
  const labels = `session="a1b2c3",namespace="sample-project",service="a\\"b\\\\c\\nd",port="80"`;
  assert.ok(text.includes(`czctl_bytes_total{${labels},direction="down"} 7\n`), text);
  assert.ok(text.includes(`czctl_port_up{${labels}} 0\n`));
  assert.ok(text.includes(`czctl_connection_failures_total{${labels}} 2\n`));
  const sample =
    /^[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z]+="(?:[^"\\\n]|\\["\\n])*")*\})? \d+$/;
  for (const line of text.trimEnd().split("\n")) {
    assert.ok(line.startsWith("# ") || sample.test(line), line);
  }
  assert.equal(escapeLabel('\\"\n'), '\\\\\\"\\n');
});

Deno.test("secrets are known by the names people give them", () => {
  const secret = [
    "Authorization",
    "COOKIE",
    "set-cookie",
    "Proxy-Authorization",
    "X-Api-Key",
    "apikey",
    "X-Auth-Token",
    "x-amz-security-token",
    "X-Vault-Token",
    "Private-Token",
    "x-csrf-token",
    "X-Client-Secret",
    "x-hub-signature",
    "X-Password",
  ];
  const open = [
    "Host",
    "Accept",
    "Content-Type",
    "X-Request-Id",
    "Sec-WebSocket-Key",
    "Idempotency-Key",
    "X-Author",
    "Keep-Alive",
    "X-Monkey",
    "ETag",
    "Traceparent",
  ];
  assert.deepEqual(secret.filter((name) => !isSecretHeader(name)), []);
  assert.deepEqual(open.filter(isSecretHeader), []);
  assert.deepEqual(maskTarget("http://user:pass@host/a?api_key=1&page=2&%74oken=3&token="), {
    target: `http://${MASK}@host/a?api_key=${MASK}&page=2&%74oken=${MASK}&token=`,
    masked: true,
  });
  assert.deepEqual(maskTarget("/a?keyboard=1&b"), { target: "/a?keyboard=1&b", masked: false });
});

Deno.test("bodyJson() undoes codings up to a bound, and gives bytes where there is no text", () => {
  const told = (bytes: Uint8Array, headers: [string, string][], size = bytes.length) =>
    bodyJson(
      { ...emptyBody(), size, kept: [bytes], keptSize: bytes.length, complete: true },
      headers,
    );
  const hello = Buffer.from("héllo ".repeat(50));
  assert.equal(told(hello, []).text, hello.toString());
  const gzip: [string, string][] = [["Content-Encoding", "gzip"]];
  assert.equal(told(gzipSync(hello), gzip).text, hello.toString());
  assert.equal(told(gzipSync(hello), gzip).decoded, "gzip");
  assert.equal(
    told(brotliCompressSync(hello), [["content-encoding", "br"]]).text,
    hello.toString(),
  );
  // What browsers ask for as well, and Envoy and Caddy send.
  const zstd: [string, string][] = [["content-encoding", "zstd"]];
  const packed = zstdCompressSync(hello);
  assert.equal(told(packed, zstd).text, hello.toString());
  assert.equal(told(packed.subarray(0, 10), zstd, 99).text, undefined);
  assert.equal(told(zstdCompressSync(Buffer.alloc(50_000_000, 32)), zstd).text, undefined);
  const noise = Buffer.from(Array.from({ length: 3000 }, (_, n) => 32 + (n * n * 31) % 90));
  const cut = gzipSync(noise).subarray(0, 800);
  assert.ok(noise.toString().startsWith(told(cut, gzip, 9999).text!.slice(0, 50)));
  const bomb = gzipSync(Buffer.alloc(50_000_000, 32));
  assert.equal(told(bomb, gzip).text, undefined);
  assert.equal(
    told(Buffer.from("not gzip"), gzip).base64,
    Buffer.from("not gzip").toString("base64"),
  );
  assert.equal(told(new Uint8Array([0, 1]), []).base64, "AAE=");
  assert.equal(told(new Uint8Array([0xff, 0xfe]), []).text, undefined);
  // Cut in the middle of a character.
  assert.equal(told(Buffer.from("é").subarray(0, 1), [], 2).text, "");
});
