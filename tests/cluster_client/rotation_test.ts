import assert from "node:assert/strict";
import { join } from "node:path";
import { openCluster } from "../../src/cluster/cluster.ts";
import { silentLogger } from "../../src/model/log.ts";
import { TestApi } from "./api_server.ts";
import { TestAuthority } from "./certificates.ts";
import { FakeClock } from "./fake_clock.ts";

Deno.test("a client certificate rotated on disk is read again once it is refused, and never in halves", async () => {
  const api = await TestApi.start();
  try {
    const authority = TestApi.authority();
    const [old, next] = [authority.client("alice"), authority.client("alice")];
    const [certFile, keyFile] = ["cert.pem", "key.pem"].map((name) => join(api.folder, name));
    await Deno.writeTextFile(certFile!, old.cert);
    await Deno.writeTextFile(keyFile!, old.key);
    // Its time stands still: nothing is read again because a minute is over.
    const cluster = await api.open({
      user: { "client-certificate": certFile, "client-key": keyFile },
      clock: new FakeClock(),
    });
    const sent = async (refresh: boolean) => {
      const { tls } = await cluster.targets({ refresh });
      return { cert: tls?.cert, key: tls?.key };
    };
    assert.deepEqual(await sent(false), old);
    await Deno.writeTextFile(certFile!, next.cert);
    assert.deepEqual(await sent(true), old, "the key is still the old one's");
    await Deno.remove(keyFile!);
    assert.deepEqual(await sent(true), old, "the key is not there");
    await Deno.writeTextFile(keyFile!, next.key);
    assert.deepEqual(await sent(false), old, "not refused, not looked at");
    assert.deepEqual(await sent(true), next);
    await cluster.close();
  } finally {
    await api.close();
  }
});

Deno.test("a kubeconfig written anew is read at once when credentials were refused", async () => {
  const api = await TestApi.start();
  try {
    const path = await api.kubeconfig({ token: "first" });
    const cluster = await openCluster({
      kubeconfig: path,
      env: {},
      cwd: api.folder,
      home: api.folder,
      log: silentLogger,
      clock: new FakeClock(),
    });
    const bearer = async (refresh: boolean) =>
      (await cluster.targets({ refresh })).headers.authorization;
    assert.equal(await bearer(false), "Bearer first");
    await Deno.writeTextFile(
      path,
      (await Deno.readTextFile(path)).replace('"first"', '"second"'),
    );
    assert.equal(await bearer(false), "Bearer first");
    assert.equal(await bearer(true), "Bearer second");
    await cluster.close();
  } finally {
    await api.close();
  }
});

Deno.test("a certificate authority renewed in its file is read again", async () => {
  const api = await TestApi.start();
  try {
    const ca = join(api.folder, "ca.pem");
    await Deno.writeTextFile(ca, api.ca);
    const clock = new FakeClock();
    const cluster = await api.open({
      cluster: { "certificate-authority-data": undefined, "certificate-authority": ca },
      clock,
    });
    assert.equal((await cluster.targets()).tls?.ca, api.ca);
    const { cert } = new TestAuthority("renewed");
    for (const text of ["", cert]) {
      await Deno.writeTextFile(ca, text);
      clock.advance(1_000);
      const { tls } = await cluster.targets();
      assert.equal(tls?.ca, text === "" ? api.ca : cert);
    }
    await cluster.close();
  } finally {
    await api.close();
  }
});
