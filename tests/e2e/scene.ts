import assert from "node:assert/strict";
import { type Cluster, type ClusterOptions, startCluster } from "../cluster/mod.ts";
import { type Output, Sandbox, until } from "./sandbox.ts";

/** What most of these tests need: a cluster, and a machine of its own to teleport from. */
export interface Scene {
  readonly cluster: Cluster;
  readonly box: Sandbox;
  readonly hostsBefore: Uint8Array;
  /** Runs czctl with this cluster's kubeconfig. */
  czctl(...args: string[]): Promise<Output>;
  /** The same, and it must succeed. */
  done(...args: string[]): Promise<Output>;
}

export interface SceneOptions extends ClusterOptions {
  readonly hosts?: string | Uint8Array;
  readonly mount?: "file" | "bind";
  /** Programs without which the test cannot run and is skipped. */
  readonly programs?: readonly string[];
}

/**
 * A test on the compiled binary from outside. Whatever the test does, at its
 * end nothing of czctl runs and /etc/hosts is as it was: that is asserted here
 * for every test.
 */
export function e2e(
  name: string,
  act: (scene: Scene) => Promise<void>,
  options: SceneOptions = {},
): void {
  Deno.test({
    name,
    // Mount namespaces are root's.
    ignore: Deno.uid() !== 0 || !(options.programs ?? []).every(isInstalled),
    fn: async () => {
      await using cluster = await startCluster(options);
      const box = await Sandbox.create({
        ...(options.hosts === undefined ? {} : { hosts: options.hosts }),
        ...(options.mount === undefined ? {} : { mount: options.mount }),
      });
      let failed = true;
      try {
        const hostsBefore = await box.hosts();
        const env = { KUBECONFIG: cluster.kubeconfig };
        const czctl = (...args: string[]) => box.czctl(args, { env });
        const done = async (...args: string[]) => {
          const output = await czctl(...args);
          assert.equal(output.code, 0, `czctl ${args.join(" ")}: ${output.stdout}${output.stderr}`);
          return output;
        };
        await act({ cluster, box, hostsBefore, czctl, done });
        await until("every czfwd has ended", async () => (await box.pidsOf("czfwd")).length === 0);
        assert.deepEqual(await box.hosts(), hostsBefore, "the hosts file is as before");
        failed = false;
      } finally {
        if (failed) {
          const log = await box.sh("cat ~/.codezero/log/czfwd.log; cat /etc/hosts");
          Deno.stderr.writeSync(new TextEncoder().encode(`--- ${name}\n${log.stdout}`));
        }
        await box.close();
      }
    },
  });
}

function isInstalled(program: string): boolean {
  return new Deno.Command("sh", { args: ["-c", 'command -v "$0"', program], stdout: "null" })
    .outputSync().success;
}
