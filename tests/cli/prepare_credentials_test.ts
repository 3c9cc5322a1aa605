import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { prepareCredentials } from "../../src/cli/teleport/credentials.ts";
import { withFolder } from "../temp_folder.ts";
import { fakeContext } from "./fakes.ts";

Deno.test("teleport runs a plugin that may ask the user only where it is what logs in", async () => {
  await withFolder(async (folder) => {
    const command = join(folder, "login");
    const answer = JSON.stringify({
      apiVersion: "client.authentication.k8s.io/v1",
      kind: "ExecCredential",
      status: { token: "asked" },
    });
    await writeFile(command, `#!/bin/sh\necho x >> ${folder}/runs; echo '${answer}'\n`);
    await chmod(command, 0o755);
    const exec = { apiVersion: "client.authentication.k8s.io/v1", command };
    const prepare = async (server: string, user: object) => {
      const config = {
        "current-context": "a",
        contexts: [{ name: "a", context: { cluster: "a", user: "a" } }],
        clusters: [{ name: "a", cluster: { server } }],
        users: [{ name: "a", user: { exec, ...user } }],
      };
      await writeFile(join(folder, "config"), JSON.stringify(config));
      const context = { ...fakeContext(folder).context, hasTerminal: true };
      return await prepareCredentials({ kubeconfig: "config" }, context);
    };
    const https = "https://127.0.0.1:1";
    assert.deepEqual(await prepare(https, {}), { token: "asked" });
    const certificate = { "client-certificate": "a.crt", "client-key-data": "YQ==" };
    assert.deepEqual(await prepare(https, { "client-certificate": "a.crt" }), { token: "asked" });
    for (const user of [{ token: "t" }, { tokenFile: "t" }, { username: "u" }, certificate]) {
      assert.equal(await prepare(https, user), undefined);
    }
    assert.equal(await prepare("http://127.0.0.1:1", {}), undefined);
    assert.equal((await Deno.readTextFile(join(folder, "runs"))).length, 4);
  });
});
