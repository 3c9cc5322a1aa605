/** The workload a session is for: every kind, kubectl's short names, typos, completion. */
import assert from "node:assert/strict";
import { cronJob, daemonSet, deployment, job, service, statefulSet } from "../cluster/mod.ts";
import { sessions } from "./facts.ts";
import { e2e } from "./scene.ts";

const ns = "shop";
const options = { programs: ["http=8080"], ports: { http: 8080 } };
const objects = [
  deployment(ns, "frontend", options),
  statefulSet(ns, "database", "database", options),
  daemonSet(ns, "collector", options),
  job(ns, "migration", options),
  cronJob(ns, "nightly", options),
  service(ns, "frontend", "frontend", [{ port: 80, targetPort: 8080 }]),
];

e2e("workloads of every kind are found, a typo gets the nearest name", async (scene) => {
  const { cluster, czctl, done } = scene;
  for (
    const [kinds, title, name, typo] of [
      [["deploy", "deployments.apps"], "Deployment", "frontend", "fronted"],
      [["sts", "StatefulSet"], "StatefulSet", "database", "databse"],
      [["ds"], "DaemonSet", "collector", "colector"],
      [["job"], "Job", "migration", "migratoin"],
      [["cj"], "CronJob", "nightly", "nigthly"],
      [["svc"], "Service", "frontend", "frontent"],
    ] as const
  ) {
    for (const kind of kinds) {
      const wrong = await czctl("teleport", kind, typo, "-n", ns);
      assert.equal(wrong.code, 1);
      assert.ok(
        wrong.stderr.includes(
          `${title} "${typo}" not found in namespace "${ns}"; did you mean "${name}"?`,
        ) ||
          new RegExp(`${title} "${typo}" not found in namespace "${ns}".*"${name}"`).test(
            wrong.stderr,
          ),
        wrong.stderr,
      );
    }
  }
  const ordinal = (await cluster.control.pods()).find((pod) => pod.name.startsWith("frontend-"))!;
  const replicaSet = ordinal.name.replace(/-[^-]+$/, "");
  for (
    const workload of [
      "deploy/frontend",
      "sts/database",
      "ds/collector",
      "job/migration",
      "cj/nightly",
      "svc/frontend",
      `rs/${replicaSet}`,
      `po/${ordinal.name}`,
      `ns/${ns}`,
    ]
  ) await done("teleport", workload, "-n", ns);
  assert.equal((await sessions({ done })).length, 9);
  await done("session", "close", "--all");

  const where = await czctl("teleport", "deploy", "frontend", "-n", "shopp");
  assert.match(where.stderr, /Namespace "shopp" not found.*"shop"/);
}, { fixtures: objects });
