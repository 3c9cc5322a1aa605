import assert from "node:assert/strict";
import { join } from "node:path";
import { openCluster } from "../../src/cluster/cluster.ts";
import { computeEnvironment } from "../../src/envfile/compute.ts";
import { EnvFile } from "../../src/envfile/file.ts";
import { EnvMonitor } from "../../src/envfile/monitor.ts";
import type { WorkloadRef } from "../../src/model/control.ts";
import { silentLogger } from "../../src/model/log.ts";
import type { ObjectSource } from "../../src/model/objects.ts";
import { systemClock } from "../../src/platform/clock.ts";
import {
  type Cluster,
  configMap,
  deployment,
  LEAST_RIGHTS,
  secret,
  startCluster,
} from "../cluster/mod.ts";
import { withFolder } from "../temp_folder.ts";
import { until } from "../until.ts";

/** The env file room with the cluster room's objects, over HTTPS. */

const NAMESPACE = "sample-project";
const workload = { kind: "deployment", name: "web", namespace: NAMESPACE } as const;

async function withObjects(
  cluster: Cluster,
  context: string,
  use: (objects: ObjectSource) => Promise<void>,
): Promise<void> {
  const opened = await openCluster({
    kubeconfig: cluster.kubeconfig,
    context,
    env: { PATH: Deno.env.get("PATH")! },
    cwd: "/",
    home: "/",
    log: silentLogger,
    clock: systemClock,
  });
  try {
    await use(opened.objects);
  } finally {
    await opened.close();
  }
}

/** Runs `act` while the env file of the workload is kept, in a folder of its own. */
function monitored(
  objects: ObjectSource,
  of: WorkloadRef,
  act: (path: string, monitor: EnvMonitor) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    const path = join(folder, "env.sh");
    const file = await EnvFile.claim(path, { cwd: folder });
    const monitor = new EnvMonitor({ objects, workload: of, file, format: "sh" });
    try {
      await monitor.start();
      await act(path, monitor);
    } finally {
      assert.deepEqual(await monitor.close(), { removed: true });
    }
  });
}

/** Waits until the file holds a line; fails after `ms`. */
async function line(path: string, wanted: string, ms = 1000): Promise<void> {
  const end = performance.now() + ms;
  while (true) {
    const text = await Deno.readTextFile(path);
    if (text.split("\n").includes(wanted)) return;
    assert.ok(performance.now() < end, `not within ${ms} ms: ${wanted}\n${text}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("computeEnvironment over the API: the guide's workload, as its pod has it", async () => {
  await using cluster = await startCluster();
  await withObjects(cluster, "admin", async (objects) => {
    const { variables, podName } = await computeEnvironment({
      objects,
      workload,
      serviceAddress: (service) => service === "sample-project-server" ? "127.1.31.4" : undefined,
    });
    const pod = await objects.get("pods", NAMESPACE, podName!) as unknown as {
      status: { podIP: string };
    };
    const own = Object.fromEntries(
      [...variables].filter(([name]) => !/_(SERVICE|PORT)_?/.test(name)),
    );
    assert.deepEqual(own, {
      LOG_LEVEL: "info",
      MULTI: "line1\nline2",
      SAMPLE1_KEY: "VALUE1",
      TRICKY: 'it\'s "quoted" $HOME `id`',
      SECRET_DB_PASSWORD: "p@ss'word",
      SECRET_DB_USER: "sample",
      SERVER_URL: "http://sample-project-server:3000",
      SOCKETS_URL: "ws://sample-project-sockets:3010",
      // Declared before what it refers to: Kubernetes leaves it.
      DATABASE_URL: "redis://$(DB_USER):$(DB_PASSWORD)@sample-project-database:6379",
      GREETING: "hi VALUE1 $(NOT_EXPANDED) $(UNKNOWN)",
      DB_USER: "sample",
      DB_PASSWORD: "p@ss'word",
      FLAGS: '{"beta":true}',
      POD_NAME: podName,
      POD_NAMESPACE: NAMESPACE,
      POD_IP: pod.status.podIP,
      MEMORY_LIMIT: "134217728",
      CPU_LIMIT: "500",
    });
    assert.equal(variables.get("SAMPLE_PROJECT_SERVER_SERVICE_HOST"), "127.1.31.4");
    assert.equal(variables.get("SAMPLE_PROJECT_SERVER_PORT"), "tcp://127.1.31.4:3000");
    assert.match(variables.get("SAMPLE_PROJECT_WEB_SERVICE_HOST")!, /^\d+\.\d+\.\d+\.\d+$/);
    assert.equal(variables.get("KUBERNETES_SERVICE_PORT_HTTPS"), "443");
  });
});

Deno.test("EnvMonitor over the API: live edits, a rollout, deletion and return, each within a second", async () => {
  await using cluster = await startCluster();
  const web = (level: string) =>
    deployment(NAMESPACE, "live", {
      programs: ["http=8080"],
      envFrom: [{ secretRef: { name: "live-secret" } }],
      env: [
        { name: "LEVEL", value: level },
        { name: "COLOUR", valueFrom: { configMapKeyRef: { name: "live", key: "colour" } } },
      ],
    });
  await cluster.control.apply({
    objects: [
      configMap(NAMESPACE, "live", { colour: "blue" }),
      secret(NAMESPACE, "live-secret", { TOKEN: "one" }),
      web("1"),
    ],
  });
  await withObjects(cluster, "admin", async (objects) => {
    await monitored(objects, { ...workload, name: "live" }, async (path, monitor) => {
      await line(path, "export COLOUR='blue'");
      await cluster.control.apply({ objects: [configMap(NAMESPACE, "live", { colour: "red" })] });
      await line(path, "export COLOUR='red'");
      await cluster.control.apply({
        objects: [{ ...secret(NAMESPACE, "live-secret", {}), data: { TOKEN: btoa("two") } }],
      });
      await line(path, "export TOKEN='two'");
      await cluster.control.apply({ objects: [web("2")] });
      await line(path, "export LEVEL='2'");
      await cluster.control.cutWatches({});
      await cluster.control.apply({ objects: [configMap(NAMESPACE, "live", { colour: "green" })] });
      await line(path, "export COLOUR='green'", 5000);
      await cluster.control.remove({ resource: "deployments", namespace: NAMESPACE, name: "live" });
      await until(
        "the missing deployment is named",
        () => monitor.info.reason?.includes("Cannot find deployment"),
        5000,
      );
      await line(path, "export LEVEL='2'");
      await cluster.control.apply({ objects: [web("3")] });
      await line(path, "export LEVEL='3'");
    });
  });
});

Deno.test("computeEnvironment over the API: rights that are missing are named", async () => {
  await using cluster = await startCluster();
  await withObjects(cluster, "least", async (objects) => {
    await assert.rejects(computeEnvironment({ objects, workload }), /deployments/);
    // With the rights docs/environment.md names, and no others, it works.
    await cluster.control.setRules({
      user: "least-user",
      rules: [
        ...LEAST_RIGHTS,
        { verbs: ["get"], resources: ["configmaps", "secrets"] },
        { verbs: ["get"], resources: ["deployments"], apiGroups: ["apps"] },
      ],
    });
    const { variables } = await computeEnvironment({ objects, workload });
    assert.equal(variables.get("DB_PASSWORD"), "p@ss'word");
    // They do not include watching: a change is seen by reading again.
    await monitored(objects, workload, async (path) => {
      const edit = configMap(NAMESPACE, "core-config", { LOG_LEVEL: "debug" });
      await cluster.control.apply({ objects: [edit] });
      await line(path, "export LOG_LEVEL='debug'", 10_000);
    });
  });
});
