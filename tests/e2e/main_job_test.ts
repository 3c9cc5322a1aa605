/** The main job, end to end, on the compiled binary and from outside only. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { deployment, service } from "../cluster/mod.ts";
import { sessions, status } from "./facts.ts";
import { until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

const ns = "sample-project";

e2e("teleport makes every service reachable by name, and --clean leaves nothing", async (scene) => {
  const { box, done } = scene;
  const opened = await done("teleport", "namespace", ns);
  assert.match(
    opened.stdout,
    /6 services of sample-project, 9 ports +127\.1\.\d+\.1 . 127\.1\.\d+\.6/,
  );
  assert.match(opened.stdout, /\/etc\/hosts +24 names \(backup: ~\/hosts\.original\)/);

  const hosts = await box.hostsText();
  assert.ok(
    hosts.startsWith(new TextDecoder().decode(scene.hostsBefore)),
    "the user's lines come first",
  );
  assert.match(
    hosts,
    /^127\.1\.\d+\.6 {7}sample-project-web\.sample-project sample-project-web\.sample-project\.svc sample-project-web\.sample-project\.svc\.cluster\.local sample-project-web$/m,
  );
  for (
    const name of [
      "sample-project-web.sample-project",
      "sample-project-web.sample-project.svc.cluster.local",
      "sample-project-web",
    ]
  ) {
    assert.match((await box.run(["getent", "hosts", name])).stdout, /^127\.1\.\d+\.6 /);
    assert.match((await box.run(["curl", "-sS", `http://${name}/`])).stdout, /^Hello from web-/);
  }
  const redis = await box.run([
    "node",
    "-e",
    `
    const s = require("net").connect(6379, "sample-project-database");
    s.write("SET a 1\\r\\nINCR a\\r\\n"); let t = "";
    s.on("data", d => { t += d; if (t.includes(":2")) { console.log(t); s.end(); } });`,
  ]);
  assert.match(redis.stdout, /\+OK\s+:2/);
  assert.deepEqual(
    await box.run(["cat", "hosts.original"]).then((o) => o.stdout),
    new TextDecoder().decode(scene.hostsBefore),
  );

  const closed = await done("teleport", "--clean");
  assert.match(closed.stdout, /closed namespace\/sample-project/);
  assert.deepEqual(await box.hosts(), scene.hostsBefore);
  assert.equal((await box.run(["getent", "hosts", "sample-project-web"])).code, 2);
  const address = /^(127\.1\.\d+\.6) /m.exec(hosts)![1];
  assert.equal((await box.run(["curl", "-s", "-m", "2", `http://${address}/`])).code, 7);
});

e2e(
  "teleport works in both orders, and --clean in both and without a workload",
  async ({ box, done, hostsBefore }) => {
    const opens = [["teleport", "deployment", "web", "-n", ns], [
      "deployment",
      "web",
      "teleport",
      "-n",
      ns,
    ]];
    const cleans = [
      ["teleport", "deployment", "web", "-n", ns, "--clean"],
      ["deployment", "web", "teleport", "-n", ns, "--clean"],
      ["teleport", "--clean"],
    ];
    for (const [n, clean] of cleans.entries()) {
      await done(...opens[n % 2]!);
      assert.match(await box.hostsText(), /sample-project-web/);
      await done(...clean);
      assert.deepEqual(await box.hosts(), hostsBefore);
    }
  },
);

e2e("a second teleport of the same session says so and succeeds", async ({ done }) => {
  await done("teleport", "deploy/web", "-n", ns);
  const again = await done("deploy", "web", "teleport", "-n", ns);
  assert.match(again.stdout, /deployment\/web is open already/);
  assert.equal((await sessions({ done })).length, 1);
  await done("session", "close");
});

e2e("--clean with no session says so and succeeds", async ({ czctl }) => {
  const output = await czctl("teleport", "--clean");
  assert.equal(output.code, 0);
  assert.match(output.stdout + output.stderr, /no session/i);
});

e2e(
  "several sessions at once: shared services are handed over, close --all ends all",
  async ({ box, done }) => {
    await done("teleport", "deployment", "web", "-n", ns);
    await done("teleport", "deployment", "server", "-n", ns);
    const curl = () =>
      box.run(["curl", "-sS", "-m", "10", "http://sample-project-web.sample-project/"]);
    assert.match((await curl()).stdout, /^Hello/);
    const open = await sessions({ done });
    assert.equal(open.length, 2);
    await done("session", "close", open.find((one) => one.workload.name === "web")!.id);
    await until(
      "the other session has taken over",
      async () => (await curl()).stdout.startsWith("Hello"),
    );
    await done("teleport", "deployment", "web", "-n", ns);
    await done("session", "close", "--all");
  },
);

e2e(
  "killall czfwd cleans up fully, and the next session works",
  async ({ box, done, hostsBefore }) => {
    await done("teleport", "deployment", "web", "-n", ns, "-f", "env.sh");
    assert.match(await box.hostsText(), /czctl begin/);
    await box.run(["killall", "czfwd"]);
    await until("all have ended", async () => (await box.pidsOf("czfwd")).length === 0);
    assert.deepEqual(await box.hosts(), hostsBefore);
    assert.equal((await box.sh("ls env.sh")).code, 2, "the env file is gone");
    await done("teleport", "deployment", "web", "-n", ns);
    await done("session", "close");
  },
);

e2e(
  "svc survives the terminal: SIGHUP and the end of the caller's process group",
  async ({ box, done }) => {
    await done("teleport", "namespace", ns);
    const { pid } = await status({ done });
    await box.kill(pid, "HUP");
    assert.match((await box.run(["curl", "-sS", "http://sample-project-web/"])).stdout, /^Hello/);
    const groups = await box.sh(`for p in /proc/[0-9]*; do
    [ "$(cat $p/comm 2>/dev/null)" = czfwd ] && cut -d' ' -f5,6 $p/stat; done`);
    assert.ok(!groups.stdout.includes(" 1\n"), "a session of its own");
    assert.equal(
      (await box.sh("stat -c %a ~/.codezero ~/.codezero/run/czfwd.sock")).stdout,
      "700\n600\n",
    );
    await done("session", "close");
  },
);

e2e(
  "services, ports and pods that come and go while the session is open are followed",
  async ({ box, cluster, done }) => {
    await done("teleport", "namespace", ns);
    const before = await box.hostsText();
    await cluster.control.apply({
      objects: [
        deployment(ns, "extra", { programs: ["http=8080"], ports: { http: 8080 } }),
        service(ns, "extra", "extra", [{ name: "http", port: 8088, targetPort: "http" }]),
      ],
    });
    const get = (url: string) => box.run(["curl", "-sS", "-m", "5", url]);
    await until(
      "the new service answers",
      async () =>
        (await get("http://extra.sample-project:8088/")).stdout.startsWith("Hello from extra-"),
    );
    assert.ok(
      (await box.hostsText()).match(/^127\.1\.\d+\.7 +extra\.sample-project /m),
      "a new address, the others as before",
    );

    const extra = (await box.run(["getent", "hosts", "extra"])).stdout.split(" ")[0]!;
    // An edit of a port: the new one answers, the old one is closed.
    await cluster.control.apply({
      objects: [service(ns, "extra", "extra", [{ name: "http", port: 8089, targetPort: "http" }])],
    });
    await until(
      "the new port answers",
      async () => (await get("http://extra.sample-project:8089/")).code === 0,
    );
    await until(
      "the old port is closed",
      async () => (await get("http://extra.sample-project:8088/")).code === 7,
    );

    const pod = (await get("http://sample-project-web/")).stdout;
    await cluster.control.rollout({ namespace: ns, deployment: "web" });
    await until("the next connection goes to the new pod", async () => {
      const now = await get("http://sample-project-web/");
      assert.equal(now.code, 0, `no request fails during a rollout: ${now.stderr}`);
      return now.stdout !== pod;
    });

    await cluster.control.remove({ resource: "services", namespace: ns, name: "extra" });
    await until("the names are gone", async () => await box.hostsText() === before);
    await until(
      "the listener is gone",
      async () => (await get(`http://${extra}:8089/`)).code === 7,
    );
    await done("session", "close");
  },
);

e2e(
  "one refused and one reset connection end nothing but themselves",
  async ({ box, cluster, done }) => {
    await cluster.control.apply({
      objects: [service(ns, "nobody", "echo", [{ name: "refused", port: 9999, targetPort: 9999 }])],
    });
    await done("teleport", "namespace", ns);
    const { stdout } = await box.run([
      "node",
      "-e",
      `
    const net = require("net");
    const echo = net.connect(8081, "sample-project-echo");
    let got = ""; echo.on("data", d => got += d);
    echo.on("close", () => { console.log("ECHO CLOSED"); process.exit(1); });
    const ended = (host, port) => new Promise(r => {
      const s = net.connect(port, host); s.on("error", () => {}); s.on("close", r); s.write("x"); s.resume();
    });
    (async () => {
      echo.write("one,");
      await Promise.all([ended("nobody", 9999), ended("sample-project-echo", 8084)]);
      echo.write("two");
      while (!got.includes("two")) await new Promise(r => setTimeout(r, 10));
      console.log(got); process.exit(0);
    })();`,
    ]);
    assert.equal(stdout.trim(), "one,two");
    await done("session", "close");
  },
);

e2e("half-close: a program that ends its side still reads the answer", async ({ box, done }) => {
  await done("teleport", "namespace", ns);
  const { stdout } = await box.run([
    "node",
    "-e",
    `
    const s = require("net").connect({ port: 8081, host: "sample-project-echo", allowHalfOpen: true });
    let t = ""; s.on("data", d => t += d); s.on("end", () => console.log("ended with", t)); s.end("last words");`,
  ]);
  assert.equal(stdout.trim(), "ended with last words");
  await done("session", "close");
});

e2e(
  "many connections over one link, large answers intact, back-pressure holds",
  async ({ box, cluster, done }) => {
    await done("teleport", "namespace", ns);
    const { stdout } = await box.run([
      "node",
      "-e",
      `
    const http = require("http"), crypto = require("crypto");
    const get = n => new Promise((ok, no) => http.get("http://sample-project-web/bytes?n=" + n, r => {
      let size = 0; r.on("data", d => size += d.length); r.on("end", () => ok(size)); }).on("error", no));
    // A reader that never reads.
    const stuck = require("net").connect(8082, "sample-project-echo"); stuck.pause();
    Promise.all(Array.from({ length: 50 }, (_, i) => get(200000 + i))).then(sizes => {
      console.log(sizes.every((size, i) => size === 200000 + i)); process.exit(0); });`,
    ]);
    assert.equal(stdout.trim(), "true");
    const { requests } = await cluster.control.counters();
    const links = Object.entries(requests).filter(([key]) => key.includes("portforward"))
      .reduce((sum, [, n]) => sum + n, 0);
    assert.ok(links <= 6, `links, not connections, go to the API server: ${links}`);
    await done("session", "close");
  },
);

e2e(
  "bind-mounted /etc/hosts as in a container works the same",
  async ({ box, done, hostsBefore }) => {
    await done("teleport", "namespace", ns);
    assert.match((await box.run(["curl", "-sS", "http://sample-project-web/"])).stdout, /^Hello/);
    await done("teleport", "--clean");
    assert.deepEqual(await box.hosts(), hostsBefore);
  },
  { mount: "bind", hosts: "127.0.0.1 localhost\n10.0.0.2 container" },
);

e2e("users of every kind of credential work", async ({ done, box, czctl }) => {
  for (const context of ["admin", "token", "exec", "least"]) {
    await done("teleport", "namespace", ns, "--context", context);
    assert.match(
      (await box.run(["curl", "-sS", "-m", "10", "http://sample-project-web/"])).stdout,
      /^Hello/,
      context,
    );
    await done("session", "close");
  }
  const none = await czctl("teleport", "namespace", ns, "--context", "none");
  assert.equal(none.code, 3);
  assert.match(none.stderr, /list.*services|services.*list/);
});

e2e(
  "the namespace defaults to the context's, and KUBECONFIG may name several files",
  async ({ box, cluster, done }) => {
    const config = parse(await Deno.readTextFile(cluster.kubeconfig));
    const admin = config.contexts.find((entry: { name: string }) => entry.name === "admin");
    const other = JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "second",
      contexts: [{ name: "second", context: { ...admin.context, namespace: ns } }],
    });
    await box.run(["sh", "-c", "cat > second.yaml <<'EOF'\n" + other + "\nEOF"]);
    const env = { KUBECONFIG: `${box.home}/second.yaml:${cluster.kubeconfig}` };
    const opened = await box.czctl(["teleport", "deployment", "web"], { env });
    assert.equal(opened.code, 0, opened.stderr);
    assert.match(opened.stdout, /of sample-project/);
    await done("session", "close");
  },
);
