import assert from "node:assert/strict";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { CzctlError } from "../../src/model/errors.ts";
import { SERVICES, TestApi } from "./api_server.ts";
import { TestAuthority } from "./certificates.ts";

interface Case {
  cluster?: object;
  user?: object;
  namespace?: string;
  env?: Record<string, string>;
}

async function failure(api: TestApi, given: Case): Promise<CzctlError> {
  const cluster = await api.open(given);
  try {
    await cluster.probe(given.namespace === undefined ? {} : { namespace: given.namespace });
  } catch (error) {
    if (error instanceof CzctlError) return error;
    throw error;
  } finally {
    await cluster.close();
  }
  throw new Error("it worked");
}

async function withApi(
  work: (api: TestApi) => Promise<void>,
  pair?: { cert: string; key: string },
): Promise<void> {
  const api = await TestApi.start(pair);
  try {
    await work(api);
  } finally {
    await api.close();
  }
}

Deno.test("probe() passes where all is well, over one connection", async () => {
  await withApi(async (api) => {
    api.collections.set(SERVICES, new Map());
    const cluster = await api.open();
    await cluster.probe();
    await cluster.probe({ namespace: "sample-project" });
    await cluster.close();
    assert.equal(new Set(api.requests.map((request) => request.port)).size, 1);
    assert.equal(api.requests[0]?.headers.authorization, "Bearer secret");
  });
});

Deno.test("answers are asked for zipped, unless the kubeconfig says disable-compression", async () => {
  await withApi(async (api) => {
    for (
      const [cluster, expected] of [[{}, "gzip"], [
        { "disable-compression": true },
        "identity",
      ]] as const
    ) {
      const opened = await api.open({ cluster });
      await opened.probe();
      await opened.close();
      assert.equal(api.requests.at(-1)!.headers["accept-encoding"], expected);
    }
  });
});

Deno.test("probe() names a refused connection", async () => {
  await withApi(async (api) => {
    await api.stop();
    const error = await failure(api, {});
    assert.equal(
      error.message,
      `Cannot reach the cluster ${api.url}: connection to 127.0.0.1:${api.port} refused`,
    );
    assert.equal(error.exitCode, 3);
    assert.match(error.hint ?? "", /running/);
  });
});

Deno.test("probe() names an unknown name", async () => {
  await withApi(async (api) => {
    const error = await failure(api, { cluster: { server: "https://nowhere.invalid:6443" } });
    assert.match(error.message, /: the name "nowhere.invalid" cannot be resolved$/);
    assert.equal(error.exitCode, 3);
  });
});

Deno.test("probe() names a server that accepts and says nothing", async () => {
  const server = net.createServer(() => {});
  const sockets: net.Socket[] = [];
  server.on("connection", (socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await withApi(async (api) => {
      const started = performance.now();
      const error = await failure(api, { cluster: { server: `https://127.0.0.1:${port}` } });
      assert.match(error.message, /: no answer from 127.0.0.1:\d+ within 10 s$/);
      assert.equal(error.exitCode, 3);
      assert.ok(performance.now() - started < 15_000);
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});

Deno.test("probe() names a certificate that is not trusted, expired or for another name", async () => {
  await withApi(async (api) => {
    const other = new TestAuthority().cert;
    const untrusted = await failure(api, {
      cluster: { "certificate-authority-data": btoa(other) },
    });
    assert.match(
      untrusted.message,
      /: the server's certificate is not signed by a trusted authority$/,
    );
    assert.match(untrusted.hint ?? "", /certificate-authority/);
    const named = await failure(api, { cluster: { "tls-server-name": "other.example" } });
    assert.match(named.message, /: the server's certificate is not for the name "other.example"$/);
    assert.match(named.hint ?? "", /tls-server-name/);
    // The system's authorities do not know it either.
    const system = await failure(api, { cluster: { "certificate-authority-data": "" } });
    assert.match(system.message, /not signed by a trusted authority$/);
  });
  const expired = TestApi.authority().server(["127.0.0.1"], { expired: true });
  await withApi(async (api) => {
    const error = await failure(api, {});
    assert.match(error.message, /: the server's certificate has expired$/);
    assert.match(error.hint ?? "", /clock/);
  }, expired);
});

Deno.test("probe() names a certificate that is an authority's own, with and without a client certificate", async () => {
  const pair = TestAuthority.selfSigned("127.0.0.1");
  await withApi(async (api) => {
    const own = { "certificate-authority-data": btoa(pair.cert) };
    const ours = TestApi.authority().client("alice");
    const users = [
      { token: "t" },
      { "client-certificate-data": btoa(ours.cert), "client-key-data": btoa(ours.key) },
    ];
    for (const user of users) {
      const error = await failure(api, { cluster: own, user });
      assert.match(
        error.message,
        /: the server's certificate is a certificate authority's own, which is not taken for a server's$/,
      );
      assert.equal(error.exitCode, 3);
      assert.match(
        error.hint ?? "",
        /issued by that authority; the last resort is insecure-skip-tls-verify/,
      );
      const unchecked = { "insecure-skip-tls-verify": true, "certificate-authority-data": "" };
      const opened = await api.open({ cluster: unchecked, user });
      await opened.probe();
      await opened.close();
    }
  }, pair);
});

Deno.test("tls-server-name and insecure-skip-tls-verify get past a certificate for another name", async () => {
  const pair = TestApi.authority().server(["real.example"]);
  await withApi(async (api) => {
    assert.match((await failure(api, {})).message, /not for the name "127.0.0.1"$/);
    for (
      const cluster of [
        { "tls-server-name": "real.example" },
        { "insecure-skip-tls-verify": true, "certificate-authority-data": "" },
      ]
    ) {
      const opened = await api.open({ cluster });
      await opened.probe();
      await opened.close();
    }
  }, pair);
});

Deno.test("probe() names refused credentials, after asking for fresh ones once", async () => {
  await withApi(async (api) => {
    api.intercept = (_request, response) =>
      api.refuse(response, 401, "Unauthorized", "Unauthorized");
    const error = await failure(api, {});
    assert.equal(
      error.message,
      `Cannot log in to the cluster ${api.url}: the credentials of user "alice" are refused (401 Unauthorized)`,
    );
    assert.equal(error.code, "denied");
    assert.equal(error.exitCode, 3);
    assert.match(error.hint ?? "", /check with: kubectl --kubeconfig \S+ version$/);
    assert.equal(api.requests.length, 2);
  });
});

Deno.test("probe() names the verb and resource that are forbidden", async () => {
  await withApi(async (api) => {
    api.intercept = (_request, response) =>
      api.refuse(
        response,
        403,
        'services is forbidden: User "alice" cannot list resource "services" in API group "" in the namespace "team"',
        "Forbidden",
      );
    const error = await failure(api, { namespace: "team" });
    assert.match(
      error.message,
      /^Cannot list services in namespace "team": forbidden \(services is forbidden/,
    );
    assert.equal(
      error.hint,
      [
        `To be run by an administrator of ${api.url}:`,
        "kubectl -n team create role czctl-services --verb=list,watch --resource=services",
        "kubectl -n team create rolebinding czctl-services --role=czctl-services --user=alice",
      ].join("\n"),
    );
    assert.equal(error.exitCode, 3);
  });
});

Deno.test("probe() takes it for an answer that nobody may read the version", async () => {
  await withApi(async (api) => {
    api.intercept = (request, response) =>
      request.path === "/version" &&
      api.refuse(response, 403, 'User "alice" cannot get path "/version"', "Forbidden");
    const cluster = await api.open();
    await cluster.probe();
    await cluster.close();
    assert.equal(api.requests.length, 1);
  });
});

Deno.test("probe() is not fooled by a web page or a redirect", async () => {
  await withApi(async (api) => {
    api.intercept = (_request, response) => {
      response.end("<html>Log in to the proxy</html>");
      return true;
    };
    assert.match((await failure(api, {})).message, /not from an API server$/);
    api.intercept = (_request, response) => {
      response.status = 302;
      response.headers.set("location", "https://login.example/");
      response.end();
      return true;
    };
    assert.match((await failure(api, {})).message, /it redirects to "https:\/\/login.example\/"$/);
  });
});

Deno.test("what a proxy answers in JSON is no empty list and no object", async () => {
  await withApi(async (api) => {
    for (const body of ['{"message":"Log in first"}', "null", '{"kind":"Status","code":200}']) {
      api.intercept = (_request, response) => {
        response.end(body);
        return true;
      };
      const error = await failure(api, { namespace: "sample-project" });
      assert.match(error.message, /the answer is not a list, so it is not from an API server$/);
      assert.equal(error.exitCode, 3);
      const cluster = await api.open();
      await assert.rejects(
        cluster.objects.get("services", "sample-project", "a"),
        /the answer is not an object, so it is not from an API server$/,
      );
      await cluster.close();
    }
  });
});

Deno.test("a busy server is asked again after its Retry-After", async () => {
  for (const status of [429, 500, 503]) {
    await withApi(async (api) => {
      let refusals = 1;
      api.intercept = (_request, response) => {
        if (refusals-- <= 0) return false;
        response.headers.set("retry-after", "0");
        return api.refuse(response, status, "try again");
      };
      const cluster = await api.open();
      await cluster.probe();
      await cluster.close();
      assert.equal(api.requests.length, 2);
    });
  }
});

Deno.test("a connection broken off without an answer is made anew, a few times", async () => {
  await withApi(async (api) => {
    let breaks = 2;
    let accepted = 0;
    // Like a load balancer whose server has just gone: it accepts, and hangs up.
    const sockets = new Set<net.Socket>();
    const front = net.createServer((socket) => {
      accepted++;
      sockets.add(socket);
      socket.on("error", () => {});
      if (breaks-- > 0) {
        socket.destroy();
        return;
      }
      const up = net.connect(api.port, "127.0.0.1");
      sockets.add(up);
      up.on("error", () => {});
      socket.pipe(up).pipe(socket);
    });
    await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
    const { port } = front.address() as AddressInfo;
    const server = { server: `https://127.0.0.1:${port}` };
    try {
      const cluster = await api.open({ cluster: server });
      await cluster.probe();
      await cluster.close();
      assert.equal(accepted, 3);
      breaks = Infinity;
      assert.match((await failure(api, { cluster: server })).message, /ended in the TLS handshake/);
      assert.equal(accepted, 6);
    } finally {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => front.close(() => resolve()));
    }
  });
});

Deno.test("one that is out of order is not waited for unless it says that it is not for long", async () => {
  for (const retryAfter of [undefined, "120", "tomorrow"]) {
    await withApi(async (api) => {
      api.intercept = (_request, response) => {
        if (retryAfter !== undefined) response.headers.set("retry-after", retryAfter);
        return api.refuse(response, 503, "etcd is away");
      };
      assert.match((await failure(api, {})).message, /answered 503 \(etcd is away\)$/);
      assert.equal(api.requests.length, 1);
    });
  }
});

Deno.test("an aborted probe ends at once with the signal's reason", async () => {
  await withApi(async (api) => {
    api.intercept = () => true;
    const cluster = await api.open();
    const stop = new AbortController();
    const reason = new Error("stopped");
    const probing = cluster.probe({ signal: stop.signal });
    setTimeout(() => stop.abort(reason), 50);
    assert.equal(await probing.catch((error) => error), reason);
    await cluster.close();
  });
});

Deno.test("a namespace is there, being deleted or gone; nobody can tell without the right", async () => {
  await withApi(async (api) => {
    const path = "/api/v1/namespaces/shop";
    let metadata: object | undefined = { name: "shop" };
    let status = 404;
    api.intercept = (request, response) => {
      if (request.path !== path) return false;
      if (metadata === undefined) return api.refuse(response, status, "no");
      response.end(JSON.stringify({ kind: "Namespace", metadata }));
      return true;
    };
    const cluster = await api.open();
    assert.equal(await cluster.namespaceState("shop"), "there");
    metadata = { name: "shop", deletionTimestamp: "2026-11-22T22:30:14Z" };
    assert.equal(await cluster.namespaceState("shop"), "ending");
    metadata = undefined;
    assert.equal(await cluster.namespaceState("shop"), "gone");
    for (status of [403, 401, 500]) {
      assert.equal(await cluster.namespaceState("shop"), undefined);
    }
    await cluster.close();
    assert.equal(await cluster.namespaceState("shop"), undefined);
  });
});
