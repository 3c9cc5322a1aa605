import assert from "node:assert/strict";
import { openCluster } from "../../src/cluster/cluster.ts";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { SERVICES, SLICES, TestApi } from "./api_server.ts";
import { until } from "../until.ts";

/** A server with one Service. */
async function server(name: string): Promise<TestApi> {
  const api = await TestApi.start();
  api.seed(SERVICES, {
    metadata: { namespace: "sample-project", name, uid: name, resourceVersion: "1" },
    spec: { clusterIP: "10.0.0.1", selector: { app: name }, ports: [{ port: 80 }] },
  });
  api.collections.set(SLICES, new Map());
  return api;
}

Deno.test("a cluster made anew under the same kubeconfig is listed, not watched from the old one's version", async () => {
  const old = await server("old");
  const anew = await server("anew");
  // Versions begin anew, too: a watch from the old one's would say nothing for hours.
  anew.resourceVersion = 10;
  const kubeconfig = await old.kubeconfig();
  const cluster = await openCluster({
    kubeconfig,
    env: {},
    cwd: old.folder,
    home: old.folder,
    log: silentLogger,
    clock: systemClock,
  });
  try {
    const discovery = cluster.discover({ namespaces: ["sample-project"] }, { onChange() {} });
    await discovery.ready;
    assert.deepEqual([...discovery.services.keys()], ["sample-project/old"]);
    await Deno.copyFile(await anew.kubeconfig(), kubeconfig);
    await old.stop();
    await until(
      "the new cluster's Services",
      () => [...discovery.services.keys()].join() === "sample-project/anew",
      20_000,
    );
    for (const { query } of anew.requests) {
      assert.notEqual(query.get("resourceVersion"), "1000");
    }
  } finally {
    await cluster.close();
    await old.close();
    await anew.close();
  }
});
