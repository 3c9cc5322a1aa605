import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { openCluster } from "../../src/cluster/cluster.ts";
import { proxyFromEnv } from "../../src/cluster/proxy_env.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { silentLogger } from "../../src/model/log.ts";
import { Answer, type RecordedRequest, TestApi } from "./api_server.ts";
import { TestAuthority } from "./certificates.ts";
import { FakeClock } from "./fake_clock.ts";
import { TlsFront } from "../tls_front.ts";
import { until } from "../until.ts";

async function withApi(work: (api: TestApi) => Promise<void>): Promise<void> {
  const api = await TestApi.start();
  try {
    await work(api);
  } finally {
    await api.close();
  }
}

/** A plugin that notes how it was called and prints what `answer` says. */
async function plugin(api: TestApi, name: string, script: string): Promise<string> {
  const path = join(api.folder, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

function exec(more: object) {
  return {
    exec: {
      apiVersion: "client.authentication.k8s.io/v1",
      interactiveMode: "IfAvailable",
      ...more,
    },
  };
}

function credential(token: string, expires?: number): string {
  const status = {
    token,
    ...(expires ? { expirationTimestamp: new Date(expires).toISOString() } : {}),
  };
  return JSON.stringify({
    apiVersion: "client.authentication.k8s.io/v1",
    kind: "ExecCredential",
    status,
  });
}

const PATH = Deno.env.get("PATH") ?? "";

/** For a plugin's script: a line that counts its runs, and how many there were. */
function counter(api: TestApi) {
  const file = join(api.folder, "runs");
  return {
    line: `echo x >> ${file}`,
    count: async () => (await Deno.readTextFile(file).catch(() => "")).length / 2,
  };
}

Deno.test("an exec plugin runs with the session's environment, folder and cluster, found on its PATH", async () => {
  await withApi(async (api) => {
    await plugin(
      api,
      "my-login",
      `{ pwd; echo "$FROM_SESSION"; echo "$FROM_CONFIG"; echo "$HOME_OF_TEST"; echo "$@"; echo "$KUBERNETES_EXEC_INFO"; } > "$OUT"; echo '${
        credential("from-plugin")
      }'`,
    );
    const out = join(api.folder, "out");
    const cluster = await api.open({
      user: exec({
        command: "my-login",
        args: ["--region", "a b"],
        env: [{ name: "FROM_CONFIG", value: "c" }, { name: "OUT", value: out }],
        provideClusterInfo: true,
      }),
      cluster: {
        "disable-compression": true,
        extensions: [{ name: "client.authentication.k8s.io/exec", extension: { audience: "x" } }],
      },
      env: { PATH: `${api.folder}:${PATH}`, FROM_SESSION: "s" },
    });
    await cluster.probe();
    assert.equal(api.requests[0]?.headers.authorization, "Bearer from-plugin");
    const lines = (await Deno.readTextFile(out)).split("\n");
    assert.deepEqual(lines.slice(0, 5), [api.folder, "s", "c", "", "--region a b"]);
    assert.deepEqual(JSON.parse(lines[5]!), {
      kind: "ExecCredential",
      apiVersion: "client.authentication.k8s.io/v1",
      spec: {
        interactive: false,
        cluster: {
          server: api.url,
          "certificate-authority-data": btoa(api.ca),
          "disable-compression": true,
          config: { audience: "x" },
        },
      },
    });
    await cluster.close();
  });
});

Deno.test("a plugin's answer is kept until shortly before it expires, or is refused", async () => {
  await withApi(async (api) => {
    const clock = new FakeClock();
    const runs = join(api.folder, "runs");
    const command = await plugin(
      api,
      "login",
      `echo x >> ${runs}; n=$(wc -l < ${runs}); echo '${
        credential("token-N", clock.now() + 600_000)
      }' | sed "s/token-N/token-$n/"`,
    );
    const cluster = await api.open({ user: exec({ command }), clock, env: { PATH } });
    const token = async (refresh = false) =>
      (await cluster.targets({ refresh })).headers.authorization;
    assert.equal(await token(), "Bearer token-1");
    clock.advance(539_000);
    assert.equal(await token(), "Bearer token-1");
    clock.advance(2_000);
    // Several at once share one run.
    assert.deepEqual(
      await Promise.all([token(), token(), token()]),
      Array(3).fill("Bearer token-2"),
    );
    clock.advance(1_000);
    assert.equal(await token(true), "Bearer token-3");
    // Refused right after it was made: one refusal of many connections.
    assert.equal(await token(true), "Bearer token-3");
    await cluster.close();
  });
});

Deno.test("what can go wrong with a plugin is told", async () => {
  await withApi(async (api) => {
    const failure = async (user: object, env: Record<string, string> = { PATH }) => {
      const cluster = await api.open({ user, env });
      try {
        await cluster.targets();
      } catch (error) {
        assert.ok(error instanceof CzctlError);
        assert.equal(error.exitCode, 3);
        return `${error.message} | ${error.hint ?? ""}`;
      } finally {
        await cluster.close();
      }
      throw new Error("it worked");
    };
    const start = 'Cannot get credentials from the plugin "';
    assert.equal(
      await failure(exec({ command: "no-such-plugin", installHint: "Get it at example.com" })),
      `${start}no-such-plugin": no such program | Get it at example.com`,
    );
    const failing = await plugin(
      api,
      "failing",
      "echo first >&2; echo 'please log in' >&2; exit 4",
    );
    const ended = await failure(exec({ command: failing }));
    assert.equal(
      ended.replace(/--kubeconfig \S+\/config-\S+/, "--kubeconfig FILE"),
      `${start}${failing}": it ended with code 4 ("please log in") | Log in again, then check with: kubectl --kubeconfig FILE get services; for an open session: czctl teleport again`,
    );
    const garbage = await plugin(api, "garbage", "echo hello");
    assert.match(
      await failure(exec({ command: garbage })),
      /": its answer is neither a JSON object nor a YAML mapping/,
    );
    const empty = await plugin(api, "empty", `echo '${credential("")}'`);
    assert.match(await failure(exec({ command: empty })), /": its answer holds no credential/);
    const old = await plugin(
      api,
      "old",
      `echo '${credential("x").replace("k8s.io/v1", "k8s.io/v1beta1")}'`,
    );
    assert.match(
      await failure(exec({ command: old })),
      /": it answered with ".*v1beta1 ExecCredential" instead/,
    );
    assert.match(
      await failure(exec({ command: old, apiVersion: "client.authentication.k8s.io/v1alpha1" })),
      /v1alpha1" is not known/,
    );
    assert.match(
      await failure(exec({ command: old, interactiveMode: "Always" })),
      /it must be able to ask you/,
    );
  });
});

Deno.test("a plugin's answer may be YAML and leave out its kind, but not its version", async () => {
  await withApi(async (api) => {
    const answer = async (text: string) => {
      await writeFile(join(api.folder, "answer"), text);
      const command = await plugin(api, "login", `cat ${join(api.folder, "answer")}`);
      const cluster = await api.open({ user: exec({ command }), env: { PATH } });
      try {
        return (await cluster.targets()).headers.authorization;
      } catch (error) {
        return (error as CzctlError).message.replace(/.*": /, "");
      } finally {
        await cluster.close();
      }
    };
    const version = "client.authentication.k8s.io/v1";
    const wrong = `instead of "${version} ExecCredential"`;
    const status = "status: {token: t}\n";
    const neither = "its answer is neither a JSON object nor a YAML mapping";
    const cases: [string, string][] = [
      [`apiVersion: ${version}\nkind: ExecCredential\n${status}`, "Bearer t"],
      [`# hello\n---\napiVersion: ${version}\n${status}---\nkind: Pod\n`, "Bearer t"],
      [`\n {"apiVersion": "${version}", "kind": "", "status": {"token": "t"}}`, "Bearer t"],
      [`kind: ExecCredential\n${status}`, `it answered with "ExecCredential" ${wrong}`],
      [status, `it answered with "" ${wrong}`],
      [
        `apiVersion: ${version}\nkind: Pod\n${status}`,
        `it answered with "${version} Pod" ${wrong}`,
      ],
      [`apiVersion: ${version}\nstatus: {token: 12}\n`, "its answer holds no credential"],
      [`apiVersion: ${version}\nstatus: t\n`, "its answer holds no credential"],
      [`{apiVersion: ${version}, status: {token: t}}`, neither],
      [`{"apiVersion": "${version}", "status": {"token": "t"}} and more`, neither],
      ["", neither],
      ["- a\n", neither],
      ["a: [\n", neither],
    ];
    for (const [text, wanted] of cases) assert.equal(await answer(text), wanted, text);
  });
});

Deno.test("a plugin that asks the user runs where there is a terminal, and its answer is handed on", async () => {
  await withApi(async (api) => {
    const clock = new FakeClock();
    const command = await plugin(
      api,
      "asking",
      `echo '${credential("asked", clock.now() + 600_000)}'`,
    );
    const kubeconfig = await api.kubeconfig(exec({ command, interactiveMode: "Always" }));
    const common = {
      kubeconfig,
      env: { PATH },
      cwd: api.folder,
      home: api.folder,
      log: silentLogger,
      clock,
    };
    const front = await openCluster({ ...common, interactive: true });
    const handed = await front.logIn();
    await front.close();
    assert.deepEqual(handed, { token: "asked", expiresAt: clock.now() + 600_000 });
    const back = await openCluster({ ...common, credential: handed! });
    assert.equal((await back.targets()).headers.authorization, "Bearer asked");
    // Expired or refused, it can only be told: svc has nobody to ask.
    clock.advance(560_000);
    await assert.rejects(back.targets(), /it must be able to ask you/);
    await back.close();
    const never = await api.open({
      user: exec({ command, interactiveMode: "Never" }),
      env: { PATH },
    });
    assert.equal(await never.logIn(), undefined);
    await never.close();
  });
});

Deno.test("a plugin that fails is left alone for a while, longer each time, until it is asked anew", async () => {
  await withApi(async (api) => {
    const clock = new FakeClock();
    const { line, count } = counter(api);
    const command = await plugin(
      api,
      "login",
      `${line}; [ "$GOOD" ] || exit 1; echo '${credential("good")}'`,
    );
    const user = exec({ command });
    const cluster = await api.open({ user, clock, env: { PATH } });
    let expected = 0;
    for (const seconds of [2, 4, 8, 15, 15]) {
      await assert.rejects(cluster.targets(), /it ended with code 1/);
      assert.equal(await count(), ++expected);
      clock.advance(seconds * 1000 - 1);
      await assert.rejects(cluster.targets({ refresh: true }), /it ended with code 1/);
      assert.equal(await count(), expected);
      clock.advance(1);
    }
    // The same command, typed anew elsewhere.
    const anew = await api.open({ user, clock, env: { PATH, GOOD: "1" } });
    await anew.targets();
    cluster.logInAs(anew);
    await anew.close();
    assert.equal((await cluster.targets()).headers.authorization, "Bearer good");
    assert.equal((await cluster.targets({ refresh: true })).headers.authorization, "Bearer good");
    assert.equal(await count(), expected + 2);
    await cluster.close();
  });
});

Deno.test("a plugin that nobody answers does not open one window after the other", async () => {
  await withApi(async (api) => {
    const clock = new FakeClock();
    const { line, count } = counter(api);
    const go = join(api.folder, "go");
    const script = `${line}; until [ -e ${go} ]; do sleep 0.02; done; rm ${go}; exit 1`;
    const command = await plugin(api, "login", script);
    const cluster = await api.open({ user: exec({ command }), clock, env: { PATH } });
    let runs = 0;
    const started = () => until("it runs", async () => await count() === runs + 1);
    // Doubled from 2 s each time, up to half an hour.
    for (const seconds of [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800]) {
      const asked = cluster.targets();
      await started();
      runs++;
      clock.advance(30_000);
      await Deno.writeTextFile(go, "");
      await assert.rejects(asked, /it ended with code 1/);
      clock.advance(seconds * 1000 - 1);
      await assert.rejects(cluster.targets(), /it ended with code 1/);
      assert.equal(await count(), runs);
      clock.advance(1);
    }
    // With its session a plugin ends that still waits.
    const asked = cluster.targets();
    await started();
    await cluster.close();
    await assert.rejects(asked, /The session was closed/);
  });
});

Deno.test("a plugin's own client certificate is used", async () => {
  await withApi(async (api) => {
    const pair = TestApi.authority().client("alice");
    await writeFile(
      join(api.folder, "answer"),
      JSON.stringify({
        apiVersion: "client.authentication.k8s.io/v1beta1",
        kind: "ExecCredential",
        status: { clientCertificateData: pair.cert, clientKeyData: pair.key },
      }),
    );
    const command = await plugin(api, "login", `cat ${join(api.folder, "answer")}`);
    const cluster = await api.open({
      user: exec({ command, apiVersion: "client.authentication.k8s.io/v1beta1" }),
      env: { PATH },
    });
    const target = await cluster.targets();
    assert.equal(target.tls?.cert, pair.cert);
    await cluster.probe();
    await cluster.close();
  });
});

function jwt(expires: number): string {
  const part = (value: object) => btoa(JSON.stringify(value)).replace(/=+$/, "");
  return `${part({ alg: "none" })}.${part({ exp: expires / 1000 })}.x`;
}

Deno.test("an OIDC login is renewed with its refresh token before it expires", async () => {
  await withApi(async (api) => {
    const clock = new FakeClock();
    const issued: string[] = [];
    api.intercept = (request: RecordedRequest, response: Answer) => {
      if (request.path === "/.well-known/openid-configuration") {
        response.end(JSON.stringify({ token_endpoint: `${api.url}/token` }));
        return true;
      }
      if (request.path !== "/token") return false;
      issued.push(request.headers.authorization ?? "");
      response.end(JSON.stringify({ id_token: jwt(clock.now() + 600_000), refresh_token: "r2" }));
      return true;
    };
    const first = jwt(clock.now() + 60_000);
    const cluster = await api.open({
      clock,
      user: {
        "auth-provider": {
          name: "oidc",
          config: {
            "idp-issuer-url": api.url,
            "idp-certificate-authority-data": btoa(api.ca),
            "client-id": "czctl",
            "client-secret": "s",
            "id-token": first,
            "refresh-token": "r1",
          },
        },
      },
    });
    assert.equal((await cluster.targets()).headers.authorization, `Bearer ${first}`);
    clock.advance(31_000);
    const renewed = (await cluster.targets()).headers.authorization;
    assert.notEqual(renewed, `Bearer ${first}`);
    assert.deepEqual(issued, [`Basic ${btoa("czctl:s")}`]);
    assert.equal((await cluster.targets()).headers.authorization, renewed);
    await cluster.close();
  });
});

/** An OIDC issuer that notes how a client proves itself, and takes only what `takes` says. */
async function issuer(
  takes: (header: string | null, form: URLSearchParams) => boolean,
  work: (url: string, asked: [string | null, string][]) => Promise<void>,
): Promise<void> {
  const asked: [string | null, string][] = [];
  let url = "";
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    if (request.method === "GET") return Response.json({ token_endpoint: `${url}/token` });
    const header = request.headers.get("authorization");
    const form = new URLSearchParams(await request.text());
    asked.push([header, form.toString()]);
    return takes(header, form)
      ? Response.json({ id_token: jwt(0), access_token: "a" })
      : Response.json({ error: "invalid_client" }, { status: asked.length % 2 ? 401 : 200 });
  });
  url = `http://127.0.0.1:${server.addr.port}`;
  try {
    await work(url, asked);
  } finally {
    await server.shutdown();
  }
}

Deno.test("an OIDC client proves itself in the header, else in the form, and goes on with what worked", async () => {
  const header = `Basic ${btoa("my%20client:s")}`;
  const refresh = "grant_type=refresh_token&refresh_token=r1";
  const form = `${refresh}&client_id=my+client`;
  const cases: [string, Parameters<typeof issuer>[0], [string | null, string][]][] = [
    ["s", (given, fields) => given !== null && !fields.has("client_id"), [
      [header, refresh],
      [header, refresh],
    ]],
    ["s", (given) => given === null, [
      [header, refresh],
      [null, `${form}&client_secret=s`],
      [null, `${form}&client_secret=s`],
    ]],
    ["", (given, fields) => given === null && !fields.has("client_secret"), [
      [`Basic ${btoa("my%20client:")}`, refresh],
      [null, form],
      [null, form],
    ]],
  ];
  for (const [secret, takes, wanted] of cases) {
    await issuer(takes, async (url, asked) => {
      await withApi(async (api) => {
        const config = {
          "idp-issuer-url": url,
          "client-id": "my client",
          "client-secret": secret,
          "refresh-token": "r1",
        };
        const cluster = await api.open({ user: { "auth-provider": { name: "oidc", config } } });
        for (let n = 0; n < 2; n++) {
          assert.equal((await cluster.targets()).headers.authorization, `Bearer ${jwt(0)}`);
        }
        assert.deepEqual(asked, wanted);
        await cluster.close();
      });
    });
  }
  await issuer(() => false, async (url, asked) => {
    await withApi(async (api) => {
      const config = { "idp-issuer-url": url, "client-id": "c", "refresh-token": "r1" };
      const cluster = await api.open({ user: { "auth-provider": { name: "oidc", config } } });
      await assert.rejects(cluster.targets(), /: 127\.0\.0\.1:\d+ answered "invalid_client"$/);
      assert.equal(asked.length, 2);
      await cluster.close();
    });
  });
});

Deno.test("an OIDC login that cannot be renewed says so", async () => {
  await withApi(async (api) => {
    const cluster = await api.open({
      user: { "auth-provider": { name: "oidc", config: { "id-token": jwt(0) } } },
    });
    await assert.rejects(
      cluster.targets(),
      (error: CzctlError) =>
        error.message ===
          "Cannot renew the OIDC login: the ID token has expired and there is no refresh token",
    );
    await cluster.close();
  });
});

/** A proxy that notes where it was asked to go and goes there. */
async function proxy(
  kind: "http" | "https" | "socks5",
  work: (url: string, asked: string[]) => Promise<void>,
): Promise<void> {
  if (kind === "https") {
    return await proxy("http", async (url, asked) => {
      const plain = new URL(url);
      const pair = TestApi.authority().server(["127.0.0.1"]);
      const front = new TlsFront(pair, Number(plain.port));
      try {
        await work(`https://u%40x:p@127.0.0.1:${front.port}`, asked);
      } finally {
        await front.close();
      }
    });
  }
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    const go = (host: string, port: number, answer: Uint8Array | string, rest?: Uint8Array) => {
      const up = connect(port, host, () => {
        socket.write(answer);
        if (rest?.length) up.write(rest);
        socket.pipe(up);
        up.pipe(socket);
      });
      sockets.add(up);
      up.on("error", () => socket.destroy());
    };
    if (kind === "http") {
      socket.once("data", (data: Uint8Array) => {
        const head = new TextDecoder().decode(data);
        asked.push(head.split("\r\n").filter((line) => /^CONNECT|^Proxy-/.test(line)).join(" "));
        const [, host, port] = /^CONNECT ([^:]+):(\d+)/.exec(head)!;
        if (host === "refused") socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
        else go(host!, Number(port), "HTTP/1.1 200 OK\r\n\r\n");
      });
      return;
    }
    socket.once("data", () => {
      socket.write(Uint8Array.of(5, 0));
      socket.once("data", (data: Uint8Array) => {
        const port = data.at(-2)! * 256 + data.at(-1)!;
        const host = data[3] === 1
          ? data.subarray(4, 8).join(".")
          : new TextDecoder().decode(data.subarray(5, -2));
        asked.push(`${host}:${port}`);
        go(host, port, Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await work(`${kind}://u%40x:p@127.0.0.1:${port}`, asked);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

for (const kind of ["http", "https", "socks5"] as const) {
  Deno.test(`requests go through a ${kind} proxy, with every way to log in and to verify`, async () => {
    await withApi(async (api) => {
      await proxy(kind, async (url, asked) => {
        const proxyUrl = kind === "socks5" ? url.replace("u%40x:p@", "") : url;
        const pair = TestApi.authority().client("alice");
        const certificate = {
          "client-certificate-data": btoa(pair.cert),
          "client-key-data": btoa(pair.key),
        };
        const cases: [object, object][] = [
          [{ token: "t" }, {}],
          [certificate, {}],
          [{ token: "t" }, { "insecure-skip-tls-verify": true, "certificate-authority-data": "" }],
          [{ token: "t" }, { "tls-server-name": "localhost" }],
        ];
        for (const [user, cluster] of cases) {
          const opened = await api.open({ user, cluster: { "proxy-url": proxyUrl, ...cluster } });
          await opened.probe();
          await opened.close();
        }
        const line = kind === "socks5"
          ? `127.0.0.1:${api.port}`
          : `CONNECT 127.0.0.1:${api.port} HTTP/1.1 Proxy-Authorization: Basic ${btoa("u@x:p")}`;
        assert.deepEqual(asked, Array(4).fill(line));
      });
    });
  });
}

Deno.test("a proxy that refuses, is not there or is of an unknown kind is named", async () => {
  await withApi(async (api) => {
    const failure = async (proxyUrl: string, server?: string) => {
      const cluster = await api.open({
        cluster: { "proxy-url": proxyUrl, ...(server ? { server } : {}) },
      });
      try {
        await cluster.probe();
      } catch (error) {
        assert.equal((error as CzctlError).exitCode, 3);
        return (error as CzctlError).message;
      } finally {
        await cluster.close();
      }
      throw new Error("it worked");
    };
    await proxy("http", async (url) => {
      assert.match(
        await failure(url, "https://refused:443"),
        /refused with "HTTP\/1.1 403 Forbidden"$/,
      );
    });
    await proxy("https", async (url) => {
      assert.match(
        await failure(url.replace("127.0.0.1", "localhost")),
        /the proxy cannot be reached: the server's certificate is not for the name "localhost"$/,
      );
    });
    assert.match(
      await failure("http://127.0.0.1:1"),
      /the proxy cannot be reached: connection to 127.0.0.1:1 refused$/,
    );
    assert.match(await failure("quic://127.0.0.1:1"), /proxies of kind "quic" are not supported$/);
  });
});

Deno.test("client certificates are sent, with and without another server name", async () => {
  await withApi(async (api) => {
    const pair = TestApi.authority().client("alice");
    for (const cluster of [{}, { "tls-server-name": "localhost" }]) {
      const opened = await api.open({
        user: { "client-certificate-data": btoa(pair.cert), "client-key-data": btoa(pair.key) },
        cluster,
      });
      await opened.probe();
      await opened.close();
    }
    // Judged before ours is sent, and named, whichever API made the connection.
    for (const name of ["other.example", "127.0.0.9"]) {
      const opened = await api.open({
        user: { "client-certificate-data": btoa(pair.cert), "client-key-data": btoa(pair.key) },
        cluster: { "tls-server-name": name },
      });
      await assert.rejects(
        opened.probe(),
        (error: CzctlError) =>
          error.message.endsWith(`the server's certificate is not for the name "${name}"`),
      );
      await opened.close();
    }
    const strange = await api.open({
      user: { "client-certificate-data": btoa(pair.cert), "client-key-data": btoa(pair.key) },
      cluster: { "certificate-authority-data": btoa(new TestAuthority().cert) },
    });
    await assert.rejects(strange.probe(), /certificate is not signed by a trusted authority$/);
    await strange.close();
  });
});

Deno.test("a certificate and its key are found among whatever else their PEM files hold", async () => {
  await withApi(async (api) => {
    const { cert, key } = TestApi.authority().client("alice");
    // `openssl ecparam -genkey`; kubelet-client-current.pem; text as `openssl x509 -text` writes it.
    const parameters =
      "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    const both = join(api.folder, "both.pem");
    await Deno.writeTextFile(both, cert + key);
    const data = (cert: string, key: string) => ({
      "client-certificate-data": btoa(cert),
      "client-key-data": btoa(key),
    });
    for (
      const user of [
        data(cert, parameters + key),
        data(cert + key, cert + key),
        data(key + cert, key + cert),
        data(`Certificate:\n    Data:\n${cert}`, key),
        data(cert.replaceAll("\n", "\r\n"), key.replaceAll("\n", "\r\n")),
        { "client-certificate": both, "client-key": both },
      ]
    ) {
      const opened = await api.open({ user });
      await opened.probe();
      await opened.close();
    }
  });
});

Deno.test("authorities are found among what else their PEM file holds, as Go finds them", async () => {
  await withApi(async (api) => {
    const client = TestApi.authority().client("alice");
    const other = new TestAuthority("another").cert;
    const block = (text: string) =>
      `-----BEGIN CERTIFICATE-----\n${text}-----END CERTIFICATE-----\n`;
    const bundles = [
      `Subject: CN = test\n${api.ca}`,
      other + api.ca.replaceAll("\n", "\r\n"),
      client.key + api.ca,
      // Each of these alone is refused; beside a good one they do not matter.
      block("AAAA\n") + api.ca,
      api.ca + block("not base64!\n"),
      block("") + api.ca,
    ];
    for (const bundle of bundles) {
      for (
        const user of [{ token: "secret" }, {
          "client-certificate-data": btoa(client.cert),
          "client-key-data": btoa(client.key),
        }]
      ) {
        const cluster = { "certificate-authority-data": btoa(bundle) };
        const opened = await api.open({ user, cluster });
        await opened.probe();
        await opened.close();
      }
    }
    const cluster = { "certificate-authority-data": btoa(block("AAAA\n")) };
    await assert.rejects(api.open({ cluster }), /holds no certificate that can be read$/);
  });
});

Deno.test("no plugin is run for a user with a client certificate and its key", async () => {
  await withApi(async (api) => {
    const ran = join(api.folder, "ran");
    const command = await plugin(api, "login", `touch ${ran}; echo '${credential("x")}'`);
    const pair = TestApi.authority().client("alice");
    await writeFile(join(api.folder, "key"), pair.key);
    const user = {
      "client-certificate-data": btoa(pair.cert),
      "client-key": join(api.folder, "key"),
      ...exec({ command }),
    };
    const cluster = await api.open({ user, env: { PATH } });
    assert.equal(await cluster.logIn(), undefined);
    const target = await cluster.targets();
    assert.equal(target.tls?.cert, pair.cert);
    assert.equal(target.headers.authorization, undefined);
    await cluster.probe();
    await cluster.close();
    await assert.rejects(Deno.stat(ran), Deno.errors.NotFound);
  });
});

Deno.test("a server without TLS is sent no credential, and none is looked for", async () => {
  const seen: Record<string, string>[] = [];
  let status = 200;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    seen.push(Object.fromEntries(request.headers));
    return Response.json({ major: "1" }, { status });
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  await withApi(async (api) => {
    const ran = join(api.folder, "ran");
    const command = await plugin(api, "login", `touch ${ran}; echo '${credential("x")}'`);
    const pair = TestApi.authority().client("alice");
    const users = [
      { token: "t" },
      { tokenFile: "/nowhere" },
      { username: "u", password: "p" },
      { "client-certificate-data": btoa(pair.cert), "client-key": "/nowhere" },
      exec({ command }),
      exec({ command, interactiveMode: "Always" }),
      { "auth-provider": { name: "oidc", config: { "id-token": jwt(0) } } },
      { "auth-provider": { name: "gcp" } },
    ];
    for (const [at, user] of users.entries()) {
      for (const named of at === 0 ? [url, url.slice("http://".length)] : [url]) {
        const cluster = await openCluster({
          kubeconfig: await api.kubeconfig({ ...user, as: "bob", "as-groups": ["dev"] }, {
            server: named,
            "certificate-authority-data": "",
          }),
          env: { PATH },
          cwd: api.folder,
          home: api.folder,
          log: silentLogger,
          clock: new FakeClock(),
          interactive: true,
        });
        assert.equal(await cluster.logIn(), undefined);
        await cluster.probe();
        await cluster.close();
        const sent = seen.pop();
        assert.equal(sent?.authorization, undefined);
        assert.equal(sent?.["impersonate-user"], "bob");
        assert.equal(sent?.["impersonate-group"], "dev");
      }
    }
    await assert.rejects(Deno.stat(ran), Deno.errors.NotFound);
    status = 401;
    const refused = await api.open({ user: { token: "t" }, cluster: { server: url } });
    await assert.rejects(refused.probe(), /it wants credentials, which are not sent without TLS/);
    await refused.close();
    assert.equal(seen.some((headers) => headers.authorization !== undefined), false);
  });
  await server.shutdown();
});

Deno.test("impersonation sends one header line for each group", async () => {
  await withApi(async (api) => {
    const cluster = await api.open({
      user: { token: "t", as: "bob", "as-groups": ["dev", "ops"] },
    });
    await cluster.probe();
    await cluster.close();
    const { headers } = api.requests[0]!;
    assert.equal(headers["impersonate-user"], "bob");
    // The server joins repeated lines with a comma and a blank.
    assert.equal(headers["impersonate-group"], "dev, ops");
  });
});

Deno.test("impersonation escapes each byte of an extra's key that no header's name may hold", async () => {
  await withApi(async (api) => {
    const cluster = await api.open({
      user: {
        token: "t",
        as: "bob",
        "as-user-extra": { "Example.com/(a%b) É|~#": ["x"], plain: ["y"] },
      },
    });
    await cluster.probe();
    assert.deepEqual((await cluster.targets()).repeatedHeaders, [
      ["impersonate-extra-example.com%2f%28a%25b%29%20%c3%89|~#", "x"],
      ["impersonate-extra-plain", "y"],
    ]);
    await cluster.close();
    const name = "impersonate-extra-example.com%2f%28a%25b%29%20%c3%89|~#";
    assert.equal(api.requests[0]?.headers[name], "x");
  });
});

Deno.test("proxyFromEnv() reads the variables as Go does", () => {
  const env = { HTTPS_PROXY: "p:3128", http_proxy: "http://plain:80" };
  const cases: [string, Record<string, string>, string | undefined][] = [
    ["https://a.example", env, "http://p:3128"],
    ["http://a.example", env, "http://plain:80"],
    ["https://localhost:6443", env, undefined],
    ["https://127.0.0.9", env, undefined],
    ["https://[::1]", env, undefined],
    ["https://a.example", { ...env, NO_PROXY: "example" }, undefined],
    ["https://a.example", { ...env, NO_PROXY: ".example" }, undefined],
    ["https://example", { ...env, NO_PROXY: ".example" }, "http://p:3128"],
    ["https://badexample", { ...env, NO_PROXY: "example" }, "http://p:3128"],
    ["https://a.example", { ...env, no_proxy: "x, A.example:443" }, undefined],
    ["https://a.example:8443", { ...env, NO_PROXY: "a.example:443" }, "http://p:3128"],
    ["https://10.1.2.3", { ...env, NO_PROXY: "10.0.0.0/8" }, undefined],
    ["https://11.1.2.3", { ...env, NO_PROXY: "10.0.0.0/8" }, "http://p:3128"],
    ["https://[fd00::5]", { ...env, NO_PROXY: "fd00::/16" }, undefined],
    ["https://a.example", { ...env, NO_PROXY: "*" }, undefined],
    ["https://a.example", {}, undefined],
  ];
  for (const [server, given, wanted] of cases) {
    assert.equal(
      proxyFromEnv(new URL(server), given as Record<string, string>),
      wanted,
      JSON.stringify([server, given]),
    );
  }
});

Deno.test("a kubeconfig named in one folder is read from there, whatever this process' own is", async () => {
  await withApi(async (api) => {
    const path = await api.kubeconfig();
    const cluster = await openCluster({
      kubeconfig: path.slice(api.folder.length + 1),
      env: {},
      cwd: api.folder,
      home: "/nowhere",
      log: silentLogger,
      clock: new FakeClock(),
    });
    assert.equal(cluster.context, "test");
    await cluster.close();
  });
});
