import assert from "node:assert/strict";
import { credentials, eventually } from "./harness.ts";
import { startCluster } from "./mod.ts";

/** A request over HTTP/2 through the h2 client of Node, run by Node (Deno's has no `ca`). */
const PROBE = `
  const [url, ca, token, path] = process.argv.slice(1);
  const session = require("http2").connect(url, { ca });
  const stream = session.request({ ":path": path, authorization: "Bearer " + token });
  let text = "";
  stream.on("response", (headers) => process.stdout.write(headers[":status"] + "\\n"));
  stream.on("data", (chunk) => text += chunk);
  stream.on("error", () => {});
  stream.on("close", () => {
    process.stdout.write(stream.rstCode + "\\n" + session.socket.alpnProtocol + "\\n" + text);
    session.close();
  });
`;

Deno.test("HTTP/2 is spoken with clients that offer it", async (t) => {
  await using cluster = await startCluster();
  const { url, headers, ca } = await credentials(cluster, "token");
  const token = headers!.Authorization!.replace("Bearer ", "");
  const probe = (path: string) =>
    new Deno.Command("node", { args: ["-e", PROBE, url, ca, token, path], stdout: "piped" })
      .spawn();
  const output = async (child: Deno.ChildProcess) =>
    new TextDecoder().decode((await child.output()).stdout).split("\n");

  await t.step("lists", async () => {
    const [status, code, protocol, body] = await output(
      probe("/api/v1/namespaces/sample-project/pods"),
    );
    assert.deepEqual([status, code, protocol], ["200", "0", "h2"]);
    assert.equal(JSON.parse(body!).items.length, 7);
  });

  await t.step("watches, also cut ones", async () => {
    const whole = await output(
      probe("/api/v1/namespaces/sample-project/configmaps?watch=1&timeoutSeconds=1"),
    );
    assert.deepEqual(whole.slice(0, 3), ["200", "0", "h2"]);
    assert.equal(whole.slice(3).filter((line) => line.includes("ADDED")).length, 2);
    const child = probe("/api/v1/namespaces/sample-project/configmaps?watch=1");
    await eventually(
      "the watch runs",
      async () => (await cluster.control.counters()).watches.length === 1,
    );
    await cluster.control.cutWatches({});
    // INTERNAL_ERROR, as Go's clients see it when a server dies under them.
    assert.equal((await output(child))[1], "2");
  });
});
