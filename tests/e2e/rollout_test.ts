/** A rolling restart of a Deployment of three pods, under steady load, through the compiled binary. */
import assert from "node:assert/strict";
import { deployment, GRACEFUL, service } from "../cluster/mod.ts";
import { until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

const ns = "sample-project";
const objects = [
  deployment(ns, "steady", {
    replicas: 3,
    programs: ["http=8080"],
    ports: { http: 8080 },
    graceSeconds: GRACEFUL.maxGraceMs / 1000,
  }),
  service(ns, "steady", "steady", [{ name: "http", port: 80, targetPort: "http" }]),
];

/** 50 requests a second until stdin ends; prints what came of them. */
const LOAD = `
  const http = require("http");
  const agent = process.argv[1] === "keep-alive" ? new http.Agent({ keepAlive: true, maxSockets: 8 }) : false;
  const result = { asked: 0, answered: 0, failed: [], pods: {} };
  const ask = () => { result.asked++;
    const q = http.get({ host: "steady.sample-project", path: "/", agent, timeout: 20000 }, r => {
      if (result.answered === 20) process.stdout.write("going\\n");
      r.resume(); r.on("end", () => { result.answered++; result.pods[r.headers["x-pod"]] = 1; finish(); });
      r.on("error", e => { result.failed.push("answer: " + e.code); finish(); }); });
    q.on("error", e => { result.failed.push((q.reusedSocket ? "reused: " : "fresh: ") + e.code); finish(); });
    q.on("timeout", () => q.destroy(new Error("timeout"))); };
  let going = true, open = 0;
  const timer = setInterval(() => { open++; ask(); }, 20);
  const finish = () => { open--; if (!going && open === 0) {
    console.log(JSON.stringify({ ...result, pods: Object.keys(result.pods) })); process.exit(0); } };
  setTimeout(() => { going = false; clearInterval(timer); if (open === 0) finish(open++); }, Number(process.argv[2]));`;

/** In ms. Longer than the rollout, in which a pod serves kept connections for GRACEFUL.maxGraceMs. */
const LOAD_MS = "10000";

for (const mode of ["one connection per request", "keep-alive"]) {
  e2e(
    `a rolling restart under 50 requests a second fails none: ${mode}`,
    async ({ box, cluster, done }) => {
      await cluster.control.apply({ objects });
      await done("teleport", "namespace", ns);
      const load = box.start(["node", "-e", LOAD, mode, LOAD_MS]);
      const lines = load.stdout.pipeThrough(new TextDecoderStream()).getReader();
      assert.equal(
        (await lines.read()).value,
        "going\n",
        "requests are answered before the restart",
      );
      const pods = async () =>
        (await cluster.control.pods()).filter((pod) =>
          pod.name.startsWith("steady-") && !pod.terminating
        )
          .map((pod) => pod.name);
      const before = await pods();
      await cluster.control.rollout({ namespace: ns, deployment: "steady" });
      const result = JSON.parse((await lines.read()).value!);
      await lines.cancel();
      await load.stderr.cancel();
      await load.status;
      const after = await pods();
      assert.equal(
        after.filter((name) => before.includes(name)).length,
        0,
        "every pod was replaced",
      );
      for (const names of [before, after]) {
        assert.ok(names.some((name) => result.pods.includes(name)), `answered: ${result.pods}`);
      }
      assert.ok(result.asked >= 200, `${result.asked} requests`);
      // With keep-alive, what is already in flight on a removed pod may fail, no more.
      const most = mode === "keep-alive" ? 3 : 0;
      assert.ok(result.failed.length <= most, JSON.stringify(result));
      assert.equal(result.answered + result.failed.length, result.asked);
      await done("session", "close");
    },
    { timings: GRACEFUL },
  );
}

e2e(
  "no pod is ready: connections are held until one is, and then answered",
  async ({ box, cluster, done }) => {
    await cluster.control.apply({ objects });
    await done("teleport", "namespace", ns);
    await cluster.control.scale({ namespace: ns, name: "steady", replicas: 0 });
    await until(
      "no pod is left",
      async () => !(await cluster.control.pods()).some((pod) => pod.name.startsWith("steady-")),
      10_000,
    );
    const held = box.run(["curl", "-sS", "-m", "20", "-w", " %{time_total}", "http://steady/"]);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await cluster.control.scale({ namespace: ns, name: "steady", replicas: 1 });
    const answer = await held;
    assert.match(answer.stdout, /^Hello from steady-/, answer.stderr);
    assert.ok(Number(answer.stdout.split(" ").pop()) >= 0.9, `it was held: ${answer.stdout}`);
    await done("session", "close");
  },
);
