import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type Cluster, cronJob, daemonSet, job, startCluster } from "./mod.ts";
import { eventually, podOf } from "./harness.ts";
import { everyKubectl, type Kubectl } from "./kubectl.ts";

const NS = "sample-project";

interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function kubectl(tool: Kubectl, cluster: Cluster, ...args: string[]): Promise<Output> {
  const { code, stdout, stderr } = await new Deno.Command(tool.path, {
    args: ["--kubeconfig", cluster.kubeconfig, ...args],
    // A cache of its own: discovery is cached per host and port, and ports are used again.
    env: { HOME: cluster.folder },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** A kubectl that goes on until it is told to end; its output so far. */
function background(tool: Kubectl, cluster: Cluster, ...args: string[]) {
  const child = new Deno.Command(tool.path, {
    args: ["--kubeconfig", cluster.kubeconfig, ...args],
    env: { HOME: cluster.folder },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let text = "";
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream.pipeThrough(new TextDecoderStream())) text += chunk;
  };
  const reading = Promise.all([read(child.stdout), read(child.stderr)]);
  return {
    text: () => text,
    status: child.status,
    async end() {
      try {
        child.kill("SIGINT");
      } catch {
        // Ended by itself.
      }
      await reading;
      await child.status;
    },
  };
}

function portForward(tool: Kubectl, cluster: Cluster, target: string, ...ports: string[]) {
  return background(tool, cluster, "-n", NS, "port-forward", target, ...ports);
}

/** The local ports of `kubectl port-forward`, when it listens. */
function forwarded(text: () => string, count: number): Promise<number[]> {
  return eventually("kubectl listens", () => {
    const ports = [...text().matchAll(/from 127\.0\.0\.1:(\d+)/g)].map((one) => Number(one[1]));
    return ports.length === count ? ports : undefined;
  }, 10_000);
}

const tools = await everyKubectl();

for (const tool of tools) {
  const name = `kubectl ${tool.version}`;

  Deno.test(`${name} gets, watches, edits and deletes`, async (t) => {
    await using cluster = await startCluster();
    await cluster.control.apply({
      objects: [
        daemonSet(NS, "agent", { programs: ["http=9100"] }),
        job(NS, "migrate", { programs: ["exit=1?ms=10"] }),
        cronJob(NS, "nightly", { programs: ["exit=1"] }),
      ],
    });

    await t.step("get of every kind prints the columns of a real server", async () => {
      const headings: Record<string, string> = {
        namespaces: "NAME STATUS AGE",
        nodes: "NAME STATUS ROLES AGE VERSION",
        pods: "NAME READY STATUS RESTARTS AGE",
        services: "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE",
        endpointslices: "NAME ADDRESSTYPE PORTS ENDPOINTS AGE",
        configmaps: "NAME DATA AGE",
        secrets: "NAME TYPE DATA AGE",
        deployments: "NAME READY UP-TO-DATE AVAILABLE AGE",
        replicasets: "NAME DESIRED CURRENT READY AGE",
        statefulsets: "NAME READY AGE",
        daemonsets: "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE",
        jobs: "NAME STATUS COMPLETIONS DURATION AGE",
        cronjobs: "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE",
      };
      for (const [kind, heading] of Object.entries(headings)) {
        const { code, stdout, stderr } = await kubectl(tool, cluster, "-n", NS, "get", kind);
        assert.equal(code, 0, `${kind}: ${stderr}`);
        const [first = "", second = ""] = stdout.split("\n");
        assert.equal(first.trim().replace(/\s+/g, " "), heading);
        assert.notEqual(second, "", `${kind}: no rows`);
      }
    });

    await t.step("get by short name, label, field, name and as JSON", async () => {
      const pod = await podOf(cluster, "web");
      const label = await kubectl(
        tool,
        cluster,
        "-n",
        NS,
        "get",
        "po",
        "-l",
        "app=web",
        "-o",
        "name",
      );
      assert.equal(label.stdout.trim(), `pod/${pod}`);
      const field = `--field-selector=metadata.name=${pod}`;
      const one = await kubectl(tool, cluster, "-n", NS, "get", "po", field, "-o", "json");
      assert.equal(JSON.parse(one.stdout).items[0].metadata.name, pod);
      const all = await kubectl(tool, cluster, "get", "deploy", "-A", "-o", "wide");
      assert.match(all.stdout, /sample-project\s+web\s+1\/1\s+1\s+1\s.*registry\.example\/web:1/);
      const missing = await kubectl(tool, cluster, "-n", NS, "get", "deploy", "nope");
      assert.match(
        missing.stderr,
        /Error from server \(NotFound\): deployments.apps "nope" not found/,
      );
    });

    await t.step("get -w follows a rollout, rollout status sees its end", async () => {
      const watch = background(tool, cluster, "-n", NS, "get", "pods", "-w");
      try {
        await eventually("the list", () => watch.text().includes("web-"));
        const before = watch.text().split("\n").length;
        const restart = await kubectl(
          tool,
          cluster,
          "-n",
          NS,
          "rollout",
          "restart",
          "deployment/web",
        );
        assert.equal(restart.code, 0, restart.stderr);
        const status = await kubectl(
          tool,
          cluster,
          "-n",
          NS,
          "rollout",
          "status",
          "deployment/web",
        );
        assert.equal(status.code, 0, status.stderr);
        assert.match(status.stdout, /successfully rolled out/);
        const lines = await eventually("the old pod's end", () => {
          const lines = watch.text().split("\n").slice(before - 1);
          return lines.filter((line) => / Terminating /.test(line)).length > 0 ? lines : undefined;
        });
        const text = lines.join("\n");
        for (const state of ["Pending", "ContainerCreating", "Running", "Terminating"]) {
          assert.match(text, new RegExp(`web-\\S+\\s+[01]/1\\s+${state}`));
        }
      } finally {
        await watch.end();
      }
    });

    await t.step("scale, apply, create, delete", async () => {
      const scale = await kubectl(tool, cluster, "-n", NS, "scale", "deploy/web", "--replicas=3");
      assert.equal(scale.code, 0, scale.stderr);
      await eventually(
        "three pods",
        async () =>
          (await cluster.control.pods()).filter((pod) => pod.name.startsWith("web-") && pod.ready)
            .length === 3,
      );
      const file = `${cluster.folder}/object.json`;
      const object = {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "extra", namespace: NS },
        spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] },
      };
      for (const port of [80, 81]) {
        object.spec.ports[0]!.port = port;
        await Deno.writeTextFile(file, JSON.stringify(object));
        const applied = await kubectl(tool, cluster, "apply", "--validate=false", "-f", file);
        assert.equal(applied.code, 0, applied.stderr);
      }
      const got = await kubectl(tool, cluster, "-n", NS, "get", "svc", "extra", "-o", "json");
      assert.equal(JSON.parse(got.stdout).spec.ports[0].port, 81);
      // Newer kubectls send protobuf here.
      const literal = ["configmap", "made", "--from-literal=a=b"];
      const made = await kubectl(tool, cluster, "-n", NS, "create", ...literal);
      assert.equal(made.code, 0, made.stderr);
      const map = await kubectl(tool, cluster, "-n", NS, "get", "cm", "made", "-o", "json");
      assert.deepEqual(JSON.parse(map.stdout).data, { a: "b" });
      for (
        const victim of ["service/extra", "configmap/made", `pod/${await podOf(cluster, "web")}`]
      ) {
        const gone = await kubectl(tool, cluster, "-n", NS, "delete", victim);
        assert.equal(gone.code, 0, gone.stderr);
      }
    });

    await t.step("users: exec plugin works, no rights are refused in the real words", async () => {
      const exec = await kubectl(tool, cluster, "--context", "exec", "-n", NS, "get", "pods");
      // 1.20 knows only older versions of the exec plugin protocol.
      if (tool.version !== "1.20") assert.equal(exec.code, 0, exec.stderr);
      const may = async (...question: string[]) =>
        (await kubectl(tool, cluster, "--context", "least", "-n", NS, "auth", "can-i", ...question))
          .stdout.trim();
      assert.equal(await may("create", "pods", "--subresource=portforward"), "yes");
      assert.equal(await may("get", "secrets"), "no");
      const none = await kubectl(tool, cluster, "--context", "none", "-n", NS, "get", "svc");
      assert.equal(
        none.stderr.trim(),
        'Error from server (Forbidden): services is forbidden: User "none-user" cannot list ' +
          'resource "services" in API group "" in the namespace "sample-project"',
      );
    });
  });

  Deno.test(`${name} port-forward: download, two ports, refused`, async (t) => {
    await using cluster = await startCluster();

    await t.step("downloads through two ports of one pod", async () => {
      const pod = await podOf(cluster, "web");
      const forward = portForward(tool, cluster, `pod/${pod}`, ":8080", ":8080");
      try {
        const ports = await forwarded(forward.text, 2);
        for (const port of ports) {
          const size = 20_000_000;
          const response = await fetch(`http://127.0.0.1:${port}/bytes?n=${size}`);
          const body = Buffer.from(await response.arrayBuffer());
          assert.ok(body.equals(Buffer.alloc(size, "0123456789abcdef")), "the bytes it sent");
          assert.equal(response.headers.get("x-pod"), pod);
          const upload = await fetch(`http://127.0.0.1:${port}/upload`, {
            method: "POST",
            body: new Uint8Array(5_000_000),
          });
          assert.deepEqual(await upload.json(), { received: 5_000_000 });
        }
      } finally {
        await forward.end();
      }
    });

    await t.step("goes to a deployment, also without the WebSocket way", async () => {
      await cluster.control.ways({ spdy: true, websocket: false });
      const forward = portForward(tool, cluster, "deployment/web", ":8080");
      try {
        const [port] = await forwarded(forward.text, 1);
        assert.match(await (await fetch(`http://127.0.0.1:${port}/`)).text(), /^Hello from web-/);
        const { links } = await cluster.control.counters();
        assert.deepEqual(links.map((link) => link.way), ["spdy"]);
      } finally {
        await forward.end();
        await cluster.control.ways({ spdy: true, websocket: true });
      }
    });

    await t.step("needs no more than the right to get, before 1.35 and from 1.31 on", async () => {
      const rules = [{ verbs: ["get"], resources: ["pods", "pods/portforward"] }];
      const users = [{ context: "reader", user: "reader", via: "token" as const, rules }];
      for (const version of ["1.34", "1.36"]) {
        await using cluster = await startCluster({ users, version });
        const pod = await podOf(cluster, "web");
        const forward = portForward(tool, cluster, `pod/${pod}`, ":8080");
        try {
          if (version === "1.34" && tool.version !== "1.20") {
            const [port] = await forwarded(forward.text, 1);
            assert.match(await (await fetch(`http://127.0.0.1:${port}/`)).text(), /^Hello from /);
          } else {
            assert.notEqual((await forward.status).code, 0);
            await eventually("the refusal", () => forward.text().includes("is forbidden: "));
          }
        } finally {
          await forward.end();
        }
      }
    });

    await t.step("shows the error text of a refused connection", async () => {
      const pod = await podOf(cluster, "echo");
      const forward = portForward(tool, cluster, pod, ":9999");
      try {
        const [port] = await forwarded(forward.text, 1);
        const connection = await Deno.connect({ hostname: "127.0.0.1", port: port! });
        // kubectl closes it, or resets it; both are an end.
        await connection.read(new Uint8Array(1)).catch(() => null);
        connection.close();
        await eventually("the error", () => forward.text().includes("connection refused"));
        assert.match(
          forward.text(),
          /error forwarding port 9999 to pod \w{64}, uid : failed to execute portforward/,
        );
      } finally {
        await forward.end();
      }
    });
  });
}
