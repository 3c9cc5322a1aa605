/** Clusters behind what stands in front of them: a gateway with a path of its own, a proxy. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { TestAuthority } from "../cluster_client/certificates.ts";
import { TlsFront } from "../tls_front.ts";
import { e2e } from "./scene.ts";

const ns = "sample-project";
const PREFIX = "/k8s/clusters/c-m-abc";

/** A plain HTTP server on a free local port that is given each connection's first head. */
class HeadServer {
  readonly heads: string[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.Conn>();
  readonly #done: Promise<void>;

  /** `serve` says where the connection goes on, and what is sent there and back first. */
  constructor(
    serve: (head: string) => Promise<{ up: Deno.Conn; first?: string; answer?: string }>,
  ) {
    this.#done = (async () => {
      const running: Promise<void>[] = [];
      for await (const conn of this.#listener) {
        running.push(this.#relay(conn, serve).catch(() => {}));
      }
      await Promise.all(running);
    })();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #relay(conn: Deno.Conn, serve: ConstructorParameters<typeof HeadServer>[0]) {
    this.#open.add(conn);
    const bytes: number[] = [];
    const one = new Uint8Array(1);
    while (!String.fromCharCode(...bytes.slice(-4)).endsWith("\r\n\r\n")) {
      if (await conn.read(one) === null) return conn.close();
      bytes.push(one[0]!);
    }
    const head = String.fromCharCode(...bytes);
    this.heads.push(head);
    const { up, first, answer } = await serve(head);
    this.#open.add(up);
    const encoder = new TextEncoder();
    if (first !== undefined) await up.write(encoder.encode(first));
    if (answer !== undefined) await conn.write(encoder.encode(answer));
    await Promise.allSettled([
      conn.readable.pipeTo(up.writable),
      up.readable.pipeTo(conn.writable),
    ]);
  }

  async close(): Promise<void> {
    this.#listener.close();
    for (const conn of this.#open) {
      try {
        conn.close();
      } catch {
        // Closed by its stream.
      }
    }
    await this.#done;
  }
}

e2e(
  "a gateway with a path of its own, one request a connection, behind an https:// proxy",
  async (scene) => {
    const { box, cluster, done } = scene;
    const config = JSON.parse(await Deno.readTextFile(cluster.kubeconfig));
    const entry = config.clusters[0].cluster;
    const server = new URL(entry.server);
    const ca = atob(entry["certificate-authority-data"]);
    const authority = new TestAuthority();
    const gateway = new HeadServer(async (head) => {
      const [line = "", ...rest] = head.split("\r\n");
      const [method, path = "", version] = line.split(" ");
      assert.ok(path.startsWith(`${PREFIX}/`), path);
      const up = await Deno.connectTls({
        hostname: server.hostname,
        port: Number(server.port),
        caCerts: [ca],
      });
      const fields = /^upgrade:/im.test(head) ? rest : ["Connection: close", ...rest];
      return {
        up,
        first: [`${method} ${path.slice(PREFIX.length)} ${version}`, ...fields].join("\r\n"),
      };
    });
    const pair = authority.server(["gateway.test", "127.0.0.1"]);
    const secureGateway = new TlsFront(pair, gateway.port);
    const proxy = new HeadServer(async () => ({
      up: await Deno.connect({ hostname: "127.0.0.1", port: secureGateway.port }),
      answer: "HTTP/1.1 200 OK\r\n\r\n",
    }));
    const secureProxy = new TlsFront(pair, proxy.port);
    try {
      // Two files: one has the context, the other the rest, its authority in a file of its own.
      const folder = join(cluster.folder, "more");
      await Deno.mkdir(folder);
      await Deno.writeTextFile(join(folder, "ca.pem"), `Our authority:\n${authority.cert}`);
      const { contexts, clusters, users, ...rest } = config;
      clusters[0].cluster = {
        server: `HTTPS://Gateway.test${PREFIX}/`,
        "certificate-authority": "ca.pem",
        "proxy-url": `https://127.0.0.1:${secureProxy.port}`,
      };
      await Deno.writeTextFile(join(folder, "clusters"), JSON.stringify({ clusters, users }));
      await Deno.writeTextFile(cluster.kubeconfig, JSON.stringify({ ...rest, contexts }));
      const env = { KUBECONFIG: `${cluster.kubeconfig}::${join(folder, "clusters")}:/nowhere` };
      const opened = await box.czctl(["teleport", "namespace", ns, "--context", "token"], { env });
      assert.equal(opened.code, 0, opened.stderr);
      const answer = await box.run([
        "curl",
        "-sS",
        "-m",
        "20",
        "http://sample-project-web.sample-project/",
      ]);
      assert.match(answer.stdout, /^Hello/, answer.stderr);
      await done("session", "close");
      assert.ok(proxy.heads.every((head) => head.startsWith("CONNECT gateway.test:443 ")));
      assert.ok(gateway.heads.some((head) => /^POST .*\/portforward /.test(head)));
      assert.ok(gateway.heads.every((head) => /^host: gateway\.test\r$/im.test(head)));
    } finally {
      for (const one of [secureProxy, proxy, secureGateway, gateway]) await one.close();
    }
  },
);
