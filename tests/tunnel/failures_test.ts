/** What a listener tells of connections that came to nothing. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/platform/clock.ts";
import { TunnelError } from "../../src/tunnel/errors.ts";
import { Failures } from "../../src/tunnel/failures.ts";
import type { ListenerEdit } from "../../src/tunnel/listener.ts";
import { ManualClock } from "./manual_clock.ts";
import { echo, failing, named, REFUSED, RESET } from "./peer.ts";
import type { Pod } from "./peer_link.ts";
import { echoes, endpoint, until, withBed } from "./support.ts";

Deno.test("A refused connection is counted and told, until one is answered", async () => {
  let pod: Pod = failing(REFUSED);
  await withBed({ pods: { a: (stream) => pod(stream) } }, async ({ connect, listener }) => {
    assert.deepEqual([listener.stats.failed, listener.stats.lastFailure], [0, undefined]);
    assert.equal(await (await connect()).rest(), "");
    assert.equal(await (await connect()).rest(), "");
    const { failed, lastFailure } = listener.stats;
    assert.equal(failed, 2);
    assert.equal(lastFailure!.reason, 'Pod "default/a" refuses connections to its port 8081');
    assert.match(lastFailure!.hint!, /targetPort\? kubectl -n default logs a$/);
    assert.ok(Math.abs(Date.parse(lastFailure!.at) - Date.now()) < 10_000);
    pod = named("a");
    assert.equal(await (await connect()).line(), "a");
    assert.deepEqual([listener.stats.failed, listener.stats.lastFailure], [2, undefined]);
  });
});

Deno.test("Resets, lost links, missing rights and missing pods are told apart", async () => {
  const clock = new ManualClock();
  let denied = false;
  await withBed({
    pods: { a: failing(RESET), b: echo },
    endpoints: [endpoint("a")],
    engine: { clock, holdMs: 1000, kubectl: "kubectl --context far" },
    answer: () => {
      const body = JSON.stringify({ kind: "Status", message: "pods is forbidden", code: 403 });
      if (denied) return `HTTP/1.1 403 X\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      return undefined;
    },
  }, async ({ connect, listener, peer }) => {
    const told = async (count: number, reason: RegExp, hint?: RegExp) => {
      await until(() => listener.stats.failed === count, `${count} failures`);
      assert.match(listener.stats.lastFailure!.reason, reason);
      if (hint !== undefined) assert.match(listener.stats.lastFailure!.hint!, hint);
    };
    const reset = await connect();
    await reset.write("x");
    await reset.over();
    await told(1, /^Pod "default\/a": Connection reset by the pod: error forwarding port 80/);

    listener.update([endpoint("b")]);
    const client = await connect();
    await echoes(client, "answered");
    assert.equal(listener.stats.lastFailure, undefined);
    for (const link of [...peer.links]) link.close();
    await client.over();
    await told(2, /^Pod "default\/b": Connection to the pod lost: /);

    listener.update([]);
    const waits = await connect();
    await clock.advance(1100, 100);
    await waits.over();
    await told(3, /^No pod was ready in time$/, /^kubectl --context far -n default get pods$/);

    denied = true;
    listener.update([endpoint("b")]);
    const refused = await connect();
    await until(() => peer.requests.length > 2, "the API server was asked");
    await clock.advance(1600, 100);
    await refused.over();
    await told(
      4,
      /^Cannot forward to pod "default\/b": not allowed to create/,
      /check with: kubectl --context far auth can-i create pods\/b --subresource=portforward -n default$/,
    );
  });
});

Deno.test("A port that no pod has is told by what it leads to", async () => {
  const clock = new ManualClock();
  await withBed({
    pods: { a: echo },
    engine: { clock, holdMs: 1000 },
  }, async ({ connect, listener }) => {
    const told = async (edit: ListenerEdit, reason: string, hint: RegExp) => {
      listener.update([{ ...endpoint("a"), ports: {} }], edit);
      const failed = listener.stats.failed;
      const client = await connect();
      await clock.advance(1100, 100);
      await client.over();
      await until(() => listener.stats.failed > failed, "it is told");
      assert.equal(listener.stats.lastFailure!.reason, reason);
      assert.match(listener.stats.lastFailure!.hint!, hint);
    };
    await told(
      { portName: "", targetName: "nope" },
      'No pod has the port "nope" it leads to',
      /targetPort with the ports of its pods: kubectl -n default describe pods$/,
    );
    await told(
      { portName: "http" },
      'None of its EndpointSlices has a port named "http", as the Service has',
      /names of the ports: kubectl -n default get endpointslices -o yaml$/,
    );
    await told(
      { portName: "" },
      "None of its EndpointSlices has a port without a name, as the Service has",
      /get endpointslices/,
    );
  });
});

Deno.test("What a program breaks off, and an end without an answer, is no failure", async () => {
  const sink: Pod = async (stream) => {
    while (await stream.read() !== null);
    await stream.end();
  };
  await withBed({ pods: { a: failing(REFUSED), b: echo, c: sink } }, async (bed) => {
    const { connect, listener } = bed;
    listener.update([endpoint("b")]);
    const gone = await connect();
    await echoes(gone, "hello");
    gone.close();
    await until(() => listener.stats.connections === 0, "it is gone", 8000);
    assert.equal(listener.stats.failed, 0);
    // A second pod took it.
    listener.update([endpoint("a"), endpoint("b")]);
    for (let n = 0; n < 4; n++) await echoes(await connect(), "hello");
    assert.equal(listener.stats.failed, 0);
    listener.update([endpoint("a")]);
    await (await connect()).over();
    assert.equal(listener.stats.failed, 1);
    listener.update([endpoint("c")]);
    const silent = await connect();
    await silent.write("into the sink");
    await silent.end();
    assert.equal(await silent.rest(), "");
    await until(() => listener.stats.lastFailure === undefined, "it went well");
    assert.equal(listener.stats.failed, 1);
  });
});

Deno.test("A pod's name is a word of the command, whatever the cluster calls it", () => {
  const failures = new Failures(systemClock, "a b", "kubectl");
  const odd = endpoint("x; y", { podNamespace: "a b" });
  failures.add(new TunnelError("refused", "refused"), { endpoint: odd, port: 80 });
  assert.match(failures.last!.hint!, /kubectl -n 'a b' logs 'x; y'$/);
});
