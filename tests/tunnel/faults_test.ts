import assert from "node:assert/strict";
import { deployment } from "../cluster/mod.ts";
import { Ground, NS } from "./test_cluster.ts";
import { type Client, until, within } from "./support.ts";

const PROGRAMS = [
  "echo=8081",
  "source=8082",
  "sink=8083",
  "reset=8084",
  "http=8080",
  "source=8085?n=50000000",
];

async function echoes(client: Client, word: string): Promise<void> {
  await client.write(`${word}\n`);
  assert.equal(await client.line(), word);
}

/** Reads and throws away `count` bytes; resolves with the ms it took. */
async function drain(client: Client, count: number, ms = 30_000): Promise<number> {
  const begin = performance.now();
  const buffer = new Uint8Array(256 * 1024);
  for (let got = 0; got < count;) {
    const read = await within(ms, client.conn.read(buffer), `${count} bytes, ${got} came`);
    if (read === null) throw new Error(`ended after ${got} of ${count} bytes`);
    got += read;
  }
  return performance.now() - begin;
}

for (const context of ["token", "admin"]) {
  Deno.test(`TunnelEngine against faults, credentials of "${context}"`, async (t) => {
    const ground = await Ground.start({
      fixtures: [deployment(NS, "one", { programs: PROGRAMS })],
      context,
    });
    try {
      const { control } = ground.cluster;
      const echo = await ground.listen("one", 8081);
      const source = await ground.listen("one", 8082);
      const refused = await ground.listen("one", 9999);
      const resetting = await ground.listen("one", 8084);

      await t.step("one refused, one reset, one aborted: 97 others do not notice", async () => {
        const clients = await Promise.all(Array.from({ length: 97 }, () => ground.connect(echo)));
        await Promise.all(clients.map((client, i) => echoes(client, `a${i}`)));
        let busy = true;
        const talking = clients.map(async (client, i) => {
          for (let turn = 0; busy || turn < 3; turn++) await echoes(client, `b${i}.${turn}`);
        });
        assert.equal(await (await ground.connect(refused)).rest(), "");
        const hit = await ground.connect(resetting);
        await hit.write("x");
        await hit.over();
        const aborted = await ground.connect(source);
        await drain(aborted, 3_000_000);
        aborted.close();
        busy = false;
        await Promise.all(talking);
        for (const client of clients) client.close();
        const { links } = await control.counters();
        assert.ok(links.length <= 2, `${links.length} links`);
      });

      await t.step(
        "what an aborted download still brings is left behind with its link",
        async () => {
          const lines = await control.counters();
          const linksBefore = lines.links.length;
          const beside = await ground.connect(echo);
          await echoes(beside, "before");
          const aborted = await ground.connect(source);
          await drain(aborted, 3_000_000);
          aborted.close();
          // Far less than the second for which the pod's side goes on.
          await until(async () => {
            const next = await ground.connect(echo);
            await echoes(next, "next");
            const { links } = await control.counters();
            next.close();
            return links.length > linksBefore;
          }, "new connections go over another link");
          await echoes(beside, "still there");
          beside.close();
          await until(
            () => ground.engine.stats().links <= 1,
            "the link ends with the last one on it",
          );
        },
      );

      await t.step(
        "nothing of an aborted download is read once nobody else needs its link",
        async () => {
          await until(() => ground.engine.stats().streams === 0, "nothing is open");
          const aborted = await ground.connect(source);
          await drain(aborted, 3_000_000);
          const { links: open } = await control.counters();
          const at = performance.now();
          aborted.close();
          const sum = (links: readonly { bytesDown: number }[]) =>
            links.reduce((bytes, link) => bytes + link.bytesDown, 0);
          await until(async () => {
            const { links } = await control.counters();
            return links.length < open.length || sum(links) < sum(open);
          }, "the link is closed");
          assert.ok(performance.now() - at < 900, "before the pod's side has given up by itself");
          await echoes(await ground.connect(echo), "a new link");
        },
      );

      await t.step("a reset in the pod ends the connection at once", async () => {
        const client = await ground.connect(resetting);
        await client.write("x");
        const begin = performance.now();
        await client.over(3000);
        // The kubelet waits one second itself before it tells.
        assert.ok(performance.now() - begin < 2500);
      });

      await t.step("a program that never reads leaves the others their throughput", async () => {
        const sized = await ground.listen("one", 8085);
        const alone = await drain(await ground.connect(sized), 40_000_000);
        const stuck = await ground.connect(source);
        await drain(stuck, 1_000_000);
        const before = Deno.memoryUsage().rss;
        // Long enough for every buffer on the way to fill up.
        await until(
          () => source.stats.bytesDown > 3_000_000,
          "the stuck one has filled something",
        );
        const beside = await drain(await ground.connect(sized), 40_000_000);
        const again = await drain(await ground.connect(sized), 40_000_000);
        // A wide margin: the machine is shared.
        assert.ok(
          Math.min(beside, again) < alone * 3 + 200,
          `${alone} ms alone, ${beside}, ${again}`,
        );
        assert.ok(Deno.memoryUsage().rss - before < 100e6);
        const other = await ground.connect(echo);
        await echoes(other, "quick");
        stuck.close();
        await until(() => source.stats.connections === 0, "the stuck one is gone");
      });

      await t.step("every link reset: the next connection works", async () => {
        const client = await ground.connect(echo);
        await echoes(client, "before");
        await control.drop({ what: "all", how: "reset" });
        await client.over();
        await echoes(await ground.connect(echo), "after");
      });

      await t.step("the API server restarts on another address", async () => {
        await control.restart({ newPort: true, downMs: 300 });
        await echoes(await ground.connect(echo), "moved");
        assert.equal(ground.engine.reachability?.reachable, true);
      });
    } finally {
      await ground.close();
    }
  });
}

Deno.test("TunnelEngine finds a half-open network within 15 s, and the next connection works", async () => {
  const ground = await Ground.start({ fixtures: [deployment(NS, "one", { programs: PROGRAMS })] });
  try {
    const echo = await ground.listen("one", 8081);
    const client = await ground.connect(echo);
    await echoes(client, "before");
    await ground.cluster.control.freeze({ frozen: true });
    const begin = performance.now();
    await client.over(15_000);
    assert.ok(performance.now() - begin < 15_000);
    await echoes(await ground.connect(echo), "after");
  } finally {
    await ground.close();
  }
});

Deno.test("TunnelEngine renews credentials that were refused", async () => {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "one", { programs: PROGRAMS })],
    context: "exec",
  });
  try {
    const echo = await ground.listen("one", 8081);
    await echoes(await ground.connect(echo), "before");
    await ground.cluster.control.rotateExec({ revoke: true });
    await ground.cluster.control.drop({ what: "all", how: "reset" });
    await echoes(await ground.connect(echo), "after");
  } finally {
    await ground.close();
  }
});

Deno.test("TunnelEngine learns which way works, and relearns it", async () => {
  const ground = await Ground.start({ fixtures: [deployment(NS, "one", { programs: PROGRAMS })] });
  try {
    const { control } = ground.cluster;
    const echo = await ground.listen("one", 8081);
    await control.ways({ spdy: false, websocket: true });
    await echoes(await ground.connect(echo), "websocket");
    assert.equal(ground.engine.stats().transport, "spdy_websocket");
    await control.ways({ spdy: true, websocket: false });
    await control.drop({ what: "all", how: "reset" });
    await echoes(await ground.connect(echo), "spdy");
    assert.equal(ground.engine.stats().transport, "spdy");
  } finally {
    await ground.close();
  }
});

Deno.test("TunnelEngine uses SPDY alone where rights allow no more, and says what is missing", async () => {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "one", { programs: PROGRAMS })],
    context: "least",
  });
  try {
    const echo = await ground.listen("one", 8081);
    await echoes(await ground.connect(echo), "least");
    const none = Ground.engineFor(ground.cluster, "none");
    try {
      const closed = await ground.listen("one", 8081, none);
      assert.equal(await (await ground.connect(closed)).rest(), "");
      assert.equal(none.reachability?.reachable, true);
    } finally {
      await none.close();
    }
  } finally {
    await ground.close();
  }
});

Deno.test("TunnelEngine: a rolling restart under load fails no new connection", async () => {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "web", { programs: ["http=8080"], replicas: 3 })],
  });
  try {
    const web = await ground.listen("web", 8080);
    const request = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
    const pods = new Set<string>();
    const failures: string[] = [];
    let sent = 0;
    const one = async () => {
      sent++;
      try {
        const client = await ground.connect(web);
        await client.write(request);
        const answer = await client.rest(12_000);
        client.close();
        assert.match(answer, /^HTTP\/1\.1 200/);
        pods.add(/x-pod: (.*)/i.exec(answer)?.[1] ?? "");
      } catch (error) {
        failures.push(String(error));
      }
    };
    const running: Promise<void>[] = [];
    const load = async (until: () => boolean) => {
      while (!until()) {
        running.push(one());
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    let over = false;
    const loading = load(() => over);
    const before = new Set<string>();
    try {
      await until(() => pods.size === 3, "all three pods have answered", 10_000);
      for (const pod of pods) before.add(pod);
      await ground.cluster.control.rollout({ namespace: NS, deployment: "web" });
      await until(() => pods.size === 6, "three new pods have answered", 30_000);
      const then = sent;
      await until(() => sent > then + 50, "a second of load after the last change", 10_000);
    } finally {
      over = true;
      await loading;
      await Promise.all(running);
    }
    assert.deepEqual(failures, [], `of ${sent} requests`);
    assert.equal([...pods].filter((pod) => before.has(pod)).length, 3);
  } finally {
    await ground.close();
  }
});

Deno.test("TunnelEngine does not trust a link to a pod that is gone", async () => {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "one", { programs: PROGRAMS })],
  });
  try {
    const echo = await ground.listen("one", 8081);
    await echoes(await ground.connect(echo), "before");
    const [pod] = await ground.cluster.control.pods();
    await ground.cluster.control.remove({
      resource: "pods",
      namespace: NS,
      name: pod!.name,
      graceSeconds: 0,
    });
    await echoes(await ground.connect(echo), "after");
  } finally {
    await ground.close();
  }
});

Deno.test("TunnelEngine survives random churn and leaves nothing open", async () => {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "one", { programs: PROGRAMS, replicas: 2 })],
  });
  try {
    const listeners = await Promise.all(
      [8081, 8082, 8084, 9999, 8080].map((port) => ground.listen("one", port)),
    );
    const end = performance.now() + 6000;
    // Repeatable: a small generator of its own.
    let seed = 7;
    const random = (below: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % below;
    const worker = async () => {
      while (performance.now() < end) {
        const client = await ground.connect(listeners[random(listeners.length)]!);
        try {
          await client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
          const buffer = new Uint8Array(1 + random(200_000));
          if (random(4) > 0) await within(3000, client.conn.read(buffer), "something");
          if (random(3) === 0) await client.end();
        } catch {
          // Refusals and resets are part of it.
        }
        client.close();
      }
    };
    const trouble = async () => {
      while (performance.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 700));
        if (random(2) === 0) await ground.cluster.control.drop({ what: "all", how: "reset" });
        else await ground.cluster.control.rollout({ namespace: NS, deployment: "one" });
      }
    };
    await Promise.all([...Array.from({ length: 12 }, worker), trouble()]);
    await until(
      () => ground.engine.stats().connections === 0 && ground.engine.stats().streams === 0,
      "every connection has ended",
      10_000,
    );
    assert.ok(ground.engine.stats().links <= 8);
    const client = await ground.connect(listeners[0]!);
    await echoes(client, "alive");
  } finally {
    await ground.close();
  }
});

Deno.test("TunnelEngine: with keep-alive a rolling restart fails only what was in flight on a removed pod", async () => {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "web", { programs: ["http=8080"], replicas: 3 })],
  });
  try {
    const web = await ground.listen("web", 8080);
    const old = new Set((await ground.cluster.control.pods()).map((pod) => pod.name));
    const pods = new Set<string>();
    const wrong: string[] = [];
    let over = false;
    let answered = 0;
    const worker = async () => {
      while (!over) {
        const client = await ground.connect(web);
        let pod = "";
        try {
          while (!over) {
            await client.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
            let length = 0;
            for (let line = await client.line(); line !== ""; line = await client.line()) {
              length = Number(/^content-length: (\d+)/i.exec(line)?.[1] ?? length);
              pod = /^x-pod: (.*)/i.exec(line)?.[1] ?? pod;
            }
            await client.bytes(length);
            pods.add(pod);
            answered++;
            await new Promise((resolve) => setTimeout(resolve, 60));
          }
        } catch (error) {
          // A connection's first request must never fail; a later one only with its pod.
          if (!old.has(pod)) wrong.push(`${pod || "first request"}: ${error}`);
        }
        client.close();
      }
    };
    const running = Array.from({ length: 6 }, worker);
    try {
      await until(() => pods.size === 3, "all three pods have answered", 10_000);
      await ground.cluster.control.rollout({ namespace: NS, deployment: "web" });
      // Kept connections stay where they are, so not every new pod need get one.
      const current = async () => (await ground.cluster.control.pods()).map((pod) => pod.name);
      await until(
        async () => !(await current()).some((name) => old.has(name)),
        "old pods are gone",
      );
      await until(() => [...pods].some((name) => !old.has(name)), "new pods have answered", 30_000);
      const then = answered;
      await until(() => answered > then + 50, "it goes on");
    } finally {
      over = true;
      await Promise.all(running);
    }
    assert.deepEqual(wrong, []);
  } finally {
    await ground.close();
  }
});

for (const gone of [false, true]) {
  const whose = gone ? "an upload whose program is gone" : "an upload";
  Deno.test(`TunnelEngine: a pod that takes nothing of ${whose} holds up nobody else for long`, async () => {
    const ground = await Ground.start({
      fixtures: [deployment(NS, "one", { programs: ["echo=8081", "stall=8086"] })],
    });
    try {
      const echo = await ground.listen("one", 8081);
      const stall = await ground.listen("one", 8086);
      const old = await ground.connect(echo);
      await echoes(old, "before");

      const upload = async (client: Client) => {
        try {
          for (const piece = new Uint8Array(64 * 1024);;) await client.write(piece);
        } catch {
          // Ended with its link, or closed below.
        }
      };
      /** Until nothing of the upload has moved for a second. */
      const stuckFor = async (before: number) => {
        let last = before;
        let since = performance.now();
        await until(
          () => {
            const now = ground.engine.stats().bytesUp;
            if (now !== last) since = performance.now();
            last = now;
            return now > before && performance.now() - since > 1_000;
          },
          "nothing moves any more",
          20_000,
        );
      };
      const stuck = await ground.connect(stall);
      const begun = ground.engine.stats().bytesUp;
      const uploading = upload(stuck);
      await stuckFor(begun);
      // New connections go elsewhere.
      await echoes(await ground.connect(echo), "fresh");
      assert.equal(ground.engine.stats().links, 2);
      if (gone) stuck.close();
      // One that waits behind the upload is ended rather than left hanging; a large piece waits in
      // the engine, as the upload's own do, a small one is taken at once.
      await old.write(gone ? `${"x".repeat(20_000)}\n` : "anybody?\n");
      await old.over(15_000);
      await uploading;
      await echoes(await ground.connect(echo), "after");
    } finally {
      await ground.close();
    }
  });
}

Deno.test("TunnelEngine: a link that takes bytes but passes none on is noticed though others bring some", async () => {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "one", { programs: ["echo=8081", "stall=8086", "http=8080"] })],
  });
  try {
    const echo = await ground.listen("one", 8081);
    const stall = await ground.listen("one", 8086);
    const web = await ground.listen("one", 8080);
    const old = await ground.connect(echo);
    await echoes(old, "before");
    // Keeps the link's other direction alive.
    const trickle = await ground.connect(web);
    await trickle.write("GET /chunks?n=3000&ms=10 HTTP/1.1\r\nHost: web\r\n\r\n");
    const trickling = trickle.over(20_000);
    // More than the pod's own socket holds, less than all sockets on the way do.
    const stuck = await ground.connect(stall);
    const begun = ground.engine.stats().bytesUp;
    const piece = new Uint8Array(64 * 1024);
    for (let sent = 0; sent < 4_000_000; sent += piece.length) {
      await within(5000, stuck.write(piece), "the sockets on the way take it");
    }
    await until(
      () => ground.engine.stats().bytesUp - begun >= 4_000_000,
      "the engine has taken it all",
    );
    stuck.close();
    await old.write("anybody?\n");
    await old.over(18_000);
    await echoes(await ground.connect(echo), "after");
    await trickling;
  } finally {
    await ground.close();
  }
});

Deno.test("TunnelEngine: a link with nothing but what a connection given up has left unread is closed, and takes nobody before", async () => {
  const ground = await Ground.start({
    fixtures: [deployment(NS, "one", { programs: ["echo=8081", "stall=8086"] })],
  });
  try {
    const echo = await ground.listen("one", 8081);
    const stall = await ground.listen("one", 8086);
    const stuck = await ground.connect(stall);
    const piece = new Uint8Array(64 * 1024);
    for (let sent = 0; sent < 4_000_000; sent += piece.length) {
      await within(5000, stuck.write(piece), "the sockets on the way take it");
    }
    await until(() => ground.engine.stats().bytesUp >= 4_000_000, "the engine has taken it all");
    // As a reset by the program would, this gives the connection up in both directions.
    await stall.close();
    // Whoever comes within the first moments may be caught behind it, nobody after that.
    await new Promise((resolve) => setTimeout(resolve, 600));
    const begin = performance.now();
    await echoes(await ground.connect(echo), "elsewhere");
    assert.ok(performance.now() - begin < 3_000);
    await until(() => ground.engine.stats().links === 1, "the stuck link is closed", 15_000);
  } finally {
    await ground.close();
  }
});
