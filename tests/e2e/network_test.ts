/** The network and the machine as they really are: servers move, laptops sleep, packets vanish. */
import assert from "node:assert/strict";
import { deployment, service } from "../cluster/mod.ts";
import { sessions, status } from "./facts.ts";
import { until } from "./sandbox.ts";
import { e2e, type Scene } from "./scene.ts";

const ns = "sample-project";
const web = "http://sample-project-web.sample-project/";

const get = ({ box }: Scene, url = web) => box.run(["curl", "-sS", "-m", "20", url]);

/** Connections to the Service work, from some attempt within `ms` on. */
async function works(scene: Scene, ms: number, url = web, hello = "Hello"): Promise<void> {
  await until(
    `${url} answers`,
    async () => (await get(scene, url)).stdout.startsWith(hello),
    ms,
  );
}

/** A service made now is seen by the session: its watches live. */
async function watchesLive(scene: Scene, name: string): Promise<void> {
  await scene.cluster.control.apply({
    objects: [
      deployment(ns, name, { programs: ["http=8080"], ports: { http: 8080 } }),
      service(ns, name, name, [{ name: "http", port: 80, targetPort: "http" }]),
    ],
  });
  await works(scene, 40_000, `http://${name}/`, `Hello from ${name}-`);
}

e2e("the API server restarts at another address: the kubeconfig is followed", async (scene) => {
  const { cluster, done } = scene;
  await done("teleport", "namespace", ns);
  assert.match((await get(scene)).stdout, /^Hello/);
  await cluster.control.restart({ newPort: true, downMs: 500 });
  await works(scene, 40_000);
  await watchesLive(scene, "moved");
  await until("the session says that its cluster is reachable", async () => {
    return (await sessions(scene))[0]!.cluster.reachable;
  }, 30_000);
  await done("session", "close");
});

e2e("a kubeconfig that is broken for a while changes nothing", async (scene) => {
  const { cluster, done } = scene;
  await done("teleport", "namespace", ns);
  const good = await Deno.readTextFile(cluster.kubeconfig);
  await Deno.writeTextFile(cluster.kubeconfig, "clusters: [");
  await cluster.control.drop({ what: "all" });
  await works(scene, 40_000);
  await Deno.writeTextFile(cluster.kubeconfig, good);
  await done("session", "close");
});

e2e(
  "the machine sleeps and every connection dies meanwhile: awake, all works without help",
  async (scene) => {
    const { box, cluster, done } = scene;
    await done("teleport", "namespace", ns);
    assert.match((await get(scene)).stdout, /^Hello/);
    const { pid } = await status(scene);
    await box.kill(pid, "STOP");
    await cluster.control.drop({ what: "all" });
    await cluster.control.rollout({ namespace: ns, deployment: "web" });
    await new Promise((resolve) => setTimeout(resolve, 6_000)); // the sleep itself
    await box.kill(pid, "CONT");
    const first = await get(scene);
    assert.match(first.stdout, /^Hello/, `the first request after waking: ${first.stderr}`);
    await watchesLive(scene, "awake");
    await done("session", "close");
  },
);

e2e(
  "a link that is half open is noticed, and the next connection works without help",
  async (scene) => {
    const { cluster, done } = scene;
    await done("teleport", "namespace", ns);
    assert.match((await get(scene)).stdout, /^Hello/);
    await cluster.control.freeze({ frozen: true });
    const started = performance.now();
    // The frozen link answers nothing and closes nothing; new ones are frozen, too, until it thaws.
    const held = scene.box.run(["curl", "-sS", "-m", "40", web]);
    await new Promise((resolve) => setTimeout(resolve, 5_000)); // the outage itself
    await cluster.control.freeze({ frozen: false });
    await works(scene, 20_000);
    assert.ok(performance.now() - started < 25_000);
    await held;
    await done("session", "close");
  },
);
