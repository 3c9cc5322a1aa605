import assert from "node:assert/strict";
import type { Cluster } from "../../src/cluster/cluster.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { type Raw, SERVICES, SLICES, TestApi } from "./api_server.ts";
import { FakeClock } from "./fake_clock.ts";
import { until } from "../until.ts";

function service(name: string, port = 80): Raw {
  return {
    metadata: { namespace: "sample-project", name, uid: `uid-${name}`, resourceVersion: "1" },
    spec: { clusterIP: "10.0.0.1", selector: { app: name }, ports: [{ port }] },
  };
}

interface Watched {
  api: TestApi;
  cluster: Cluster;
  /** `name:port`, sorted. */
  picture: () => string;
  health: { reachable: boolean; reason?: string }[];
  clock: FakeClock;
}

/** A discovery over a server with the Services `a` and `b`, its watches open. */
async function watching(work: (watched: Watched) => Promise<void>, fake = false): Promise<void> {
  const api = await TestApi.start();
  api.seed(SERVICES, service("a"));
  api.seed(SERVICES, service("b"));
  api.collections.set(SLICES, new Map());
  const clock = new FakeClock();
  const cluster = await api.open({ clock: fake ? clock : systemClock });
  const health: Watched["health"] = [];
  try {
    const discovery = cluster.discover({ namespaces: ["sample-project"] }, {
      onChange() {},
      onHealth: (now) => health.push(now),
    });
    await discovery.ready;
    await open(api);
    const picture = () =>
      [...discovery.services.values()].map((one) => `${one.name}:${one.ports[0]?.port}`).sort()
        .join(" ");
    assert.equal(picture(), "a:80 b:80");
    await work({ api, cluster, picture, health, clock });
  } finally {
    await cluster.close();
    await api.close();
  }
}

async function open(api: TestApi): Promise<void> {
  await until(
    "both watches",
    () => api.watches.get(SERVICES)?.size === 1 && api.watches.get(SLICES)?.size === 1,
  );
}

function count(api: TestApi, path: string, watch: boolean): number {
  return api.requests.filter((request) =>
    request.path === path && (request.query.get("watch") === "true") === watch
  ).length;
}

function lastWatch(api: TestApi): URLSearchParams {
  return api.requests.findLast((request) =>
    request.path === SERVICES && request.query.get("watch") === "true"
  )!.query;
}

Deno.test("a watch asks for bookmarks, a time limit, and events from the list on", async () => {
  await watching(({ api }) => {
    const query = lastWatch(api);
    assert.equal(query.get("allowWatchBookmarks"), "true");
    assert.equal(query.get("resourceVersion"), "1000");
    const seconds = Number(query.get("timeoutSeconds"));
    assert.ok(seconds >= 300 && seconds <= 600, `timeoutSeconds ${seconds}`);
    return Promise.resolve();
  });
});

Deno.test("a watch that is cut resumes from its last event or bookmark, without a list", async () => {
  await watching(async ({ api, picture }) => {
    api.change(SERVICES, "MODIFIED", service("a", 81));
    await until("the change", () => picture() === "a:81 b:80");
    api.push(SERVICES, "BOOKMARK", { metadata: { resourceVersion: "1500" } });
    for (const watch of api.watches.get(SERVICES)!) watch.end();
    await until("a second watch", () => count(api, SERVICES, true) === 2);
    await open(api);
    assert.equal(lastWatch(api).get("resourceVersion"), "1500");
    api.change(SERVICES, "DELETED", service("b"));
    await until("the deletion", () => picture() === "a:81");
    assert.equal(count(api, SERVICES, false), 1);
  });
});

for (const form of ["inside the stream", "as HTTP 410"]) {
  Deno.test(`an expired watch (${form}) lists anew and works out what was deleted`, async () => {
    await watching(async ({ api, picture, health }) => {
      api.collections.get(SERVICES)!.delete("b");
      api.seed(SERVICES, { ...service("c", 82) });
      api.seed(SERVICES, {
        ...service("a", 81),
        metadata: { ...service("a").metadata, resourceVersion: "1400" },
      });
      if (form === "inside the stream") {
        api.push(SERVICES, "ERROR", {
          kind: "Status",
          code: 410,
          reason: "Expired",
          message: "too old resource version: 1 (2)",
        });
      } else {
        let once = true;
        api.intercept = (request, response) => {
          if (!once || request.path !== SERVICES || !request.query.get("watch")) return false;
          once = false;
          return api.refuse(response, 410, "too old resource version", "Expired");
        };
        for (const watch of api.watches.get(SERVICES)!) watch.end();
      }
      await until("the new picture", () => picture() === "a:81 c:82");
      assert.equal(count(api, SERVICES, false), 2);
      assert.deepEqual(health, [{ reachable: true }]);
    });
  });
}

Deno.test("an API server that restarts is followed, and said to be unreachable meanwhile", async () => {
  await watching(async ({ api, picture, health }) => {
    await api.stop();
    await until("the outage", () => health.at(-1)?.reachable === false);
    assert.match(health.at(-1)?.reason ?? "", /^Cannot reach the cluster .* refused$/);
    api.collections.get(SERVICES)!.delete("a");
    api.seed(SERVICES, service("d"));
    // What happened meanwhile is not in any watch: the server has forgotten.
    api.intercept = (request, response) =>
      request.query.get("resourceVersion") === "1000" &&
      api.refuse(response, 410, "too old resource version", "Expired");
    api.resourceVersion = 2000;
    await api.restart();
    await until("the new picture", () => picture() === "b:80 d:80");
    await until("reachable again", () => health.at(-1)?.reachable === true);
  });
});

Deno.test("a watch that says nothing is opened anew after 75 s, from where it stood", async () => {
  await watching(async ({ api, clock, picture, health }) => {
    api.push(SERVICES, "BOOKMARK", { metadata: { resourceVersion: "1700" } });
    api.change(SERVICES, "MODIFIED", service("a", 81));
    await until("the change", () => {
      clock.advance(50);
      return picture() === "a:81 b:80";
    });
    const before = count(api, SERVICES, true);
    // Its connection is dead, all others work: heartbeats go on being answered.
    api.watches.get(SERVICES)!.clear();
    for (let second = 0; second < 74; second++) {
      clock.advance(1_000);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    clock.advance(900);
    assert.equal(count(api, SERVICES, true), before);
    clock.advance(200);
    await until("a second watch", () => count(api, SERVICES, true) === before + 1);
    await open(api);
    assert.equal(lastWatch(api).get("resourceVersion"), String(api.resourceVersion));
    api.change(SERVICES, "DELETED", service("b"));
    await until("news", () => {
      clock.advance(50);
      return picture() === "a:81";
    });
    assert.equal(count(api, SERVICES, false), 1);
    assert.deepEqual(health.filter((one) => !one.reachable), []);
  }, true);
});

Deno.test("a network that goes silent is noticed by the heartbeat within 20 s and heals by itself", async () => {
  await watching(async ({ api, clock, picture, health }) => {
    let dead = true;
    // Everything is swallowed: what is open stays open and says nothing.
    api.intercept = () => dead;
    const before = clock.monotonic();
    const real = performance.now();
    // The heartbeat's deadline is the socket's own, in real time; only the
    // pauses between beats are advanced here.
    clock.advance(7_000);
    await until("the outage", () => health.at(-1)?.reachable === false, 20_000);
    const took = clock.monotonic() - before + (performance.now() - real);
    assert.ok(took < 20_000, `${took} ms`);
    assert.match(health.at(-1)?.reason ?? "", /no answer/);
    api.collections.get(SERVICES)!.delete("b");
    api.intercept = (request, response) =>
      dead || (request.query.get("resourceVersion") === "1000" &&
        api.refuse(response, 410, "too old", "Expired"));
    dead = false;
    await until("the new picture", () => {
      clock.advance(100);
      return picture() === "a:80";
    });
    await until("reachable again", () => {
      clock.advance(100);
      return health.at(-1)?.reachable === true;
    });
  }, true);
});

Deno.test("after sleep every watch is opened anew at once", async () => {
  await watching(async ({ api, clock }) => {
    const watches = count(api, SERVICES, true);
    clock.jump(3_600_000);
    clock.advance(7_000);
    await until("new watches", () => count(api, SERVICES, true) > watches);
    await open(api);
  }, true);
});

Deno.test("that a pod is no longer ready is told at once, not with the gathered changes", async () => {
  const namespace = "sample-project";
  const slice = (ready: Record<string, boolean>): Raw => ({
    metadata: {
      namespace,
      name: "a-x",
      resourceVersion: "1",
      labels: { "kubernetes.io/service-name": "a" },
    },
    ports: [{ name: "", port: 8080 }],
    endpoints: Object.entries(ready).map(([uid, ready]) => ({
      addresses: ["10.1.0.1"],
      conditions: { ready, serving: true, terminating: !ready },
      targetRef: { kind: "Pod", namespace, name: uid, uid },
    })),
  });
  const api = await TestApi.start();
  api.seed(SERVICES, service("a"));
  api.seed(SLICES, slice({ one: true, two: true }));
  // Its time stands still: nothing that is gathered ever comes.
  const cluster = await api.open({ clock: new FakeClock() });
  const told: string[] = [];
  let pictures = 0;
  try {
    const discovery = cluster.discover({ namespaces: [namespace] }, {
      onChange: () => void pictures++,
      onPodLeaving: (service, uid, leaving) => told.push(`${service} ${uid} ${leaving}`),
    });
    await discovery.ready;
    await open(api);
    api.change(SLICES, "MODIFIED", slice({ one: false, two: true, three: false }));
    api.change(SLICES, "MODIFIED", slice({ one: true, two: true, three: true }));
    await until("both told", () => told.length >= 3);
    assert.deepEqual(told, [
      "sample-project/a one true",
      "sample-project/a one false",
      "sample-project/a three false",
    ]);
    // The first, and one cut short for whoever takes over from the pod that leaves.
    assert.equal(pictures, 2);
  } finally {
    await cluster.close();
    await api.close();
  }
});

Deno.test("an expired token is read again while watching, and nothing is reported", async () => {
  const api = await TestApi.start();
  api.seed(SERVICES, service("a"));
  api.collections.set(SLICES, new Map());
  const tokenFile = `${api.folder}/token`;
  await Deno.writeTextFile(tokenFile, "first");
  let valid = "first";
  api.intercept = (request, response) =>
    request.headers.authorization !== `Bearer ${valid}` &&
    api.refuse(response, 401, "Unauthorized", "Unauthorized");
  const cluster = await api.open({ user: { tokenFile } });
  const health: boolean[] = [];
  try {
    const discovery = cluster.discover({ namespaces: ["sample-project"] }, {
      onChange() {},
      onHealth: ({ reachable }) => health.push(reachable),
    });
    await discovery.ready;
    await open(api);
    valid = "second";
    await Deno.writeTextFile(tokenFile, "second");
    for (const watch of api.watches.get(SERVICES)!) watch.end();
    await until("the watch with the new token", () => api.watches.get(SERVICES)?.size === 1);
    api.change(SERVICES, "ADDED", service("b"));
    await until("news", () => discovery.services.size === 2);
    assert.deepEqual(health, [true]);
  } finally {
    await cluster.close();
    await api.close();
  }
});

Deno.test("a server that hangs up on every watch is not asked in a busy loop", async () => {
  await watching(async ({ api }) => {
    api.intercept = (request, response) => {
      if (request.query.get("watch") !== "true") return false;
      response.end();
      return true;
    };
    for (const watch of api.watches.get(SERVICES)!) watch.end();
    await until("some tries", () => count(api, SERVICES, true) >= 4);
    const before = count(api, SERVICES, true);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.ok(count(api, SERVICES, true) - before <= 3);
  });
});

Deno.test("garbage in a watch is survived", async () => {
  await watching(async ({ api, picture }) => {
    for (const watch of api.watches.get(SERVICES)!) {
      watch.write('{"type":"ADDED","object":{"meta\n');
    }
    await until("a second list", () => count(api, SERVICES, false) === 2);
    await open(api);
    for (const watch of api.watches.get(SERVICES)!) watch.write('{"type":"ADDED","object":null}\n');
    await until("a third list", () => count(api, SERVICES, false) === 3);
    await open(api);
    api.change(SERVICES, "DELETED", service("b"));
    await until("news", () => picture() === "a:80");
  });
});

Deno.test("a proxy that asks to log in, in JSON, ends nothing", async () => {
  await watching(async ({ api, picture, health }) => {
    api.intercept = (_request, response) => {
      response.end('{"message":"Log in first"}');
      return true;
    };
    for (const watch of api.watches.get(SERVICES)!) watch.write('{"type":"ADDED","object":null}\n');
    await until(
      "it to be told",
      () => health.some(({ reason }) => reason?.includes("not a list")),
    );
    assert.equal(picture(), "a:80 b:80");
    api.intercept = () => false;
    api.change(SERVICES, "DELETED", service("b"));
    await until("news", () => picture() === "a:80");
  });
});

Deno.test("an event cut in the middle of a character arrives whole", async () => {
  await watching(async ({ api, picture }) => {
    const object = service("c", 90);
    object.metadata.resourceVersion = "1002";
    object.metadata.annotations = { note: "größer – 世界" };
    const bytes = new TextEncoder().encode(JSON.stringify({ type: "ADDED", object }) + "\n");
    for (const watch of api.watches.get(SERVICES)!) {
      for (let at = 0; at < bytes.length; at += 7) {
        watch.write(bytes.subarray(at, at + 7));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    await until("the Service", () => picture() === "a:80 b:80 c:90");
  });
});

Deno.test("long lists are read in pages", async () => {
  const api = await TestApi.start();
  for (let index = 0; index < 25; index++) api.seed(SERVICES, service(`s${index}`));
  api.collections.set(SLICES, new Map());
  api.pageSize = 10;
  let expired = false;
  api.intercept = (request, response) => {
    if (request.query.get("continue") !== "10" || expired) return false;
    expired = true;
    return api.refuse(response, 410, "The provided continue parameter is too old", "Expired");
  };
  const cluster = await api.open();
  try {
    const discovery = cluster.discover({ namespaces: ["sample-project"] }, { onChange() {} });
    await discovery.ready;
    assert.equal(discovery.services.size, 25);
    const pages = api.requests.filter((request) =>
      request.path === SERVICES && request.query.get("watch") !== "true"
    );
    assert.deepEqual(pages.map((page) => page.query.get("continue")), [
      null,
      "10",
      null,
      "10",
      "20",
    ]);
    assert.equal(pages[0]?.query.get("limit"), "500");
  } finally {
    await cluster.close();
    await api.close();
  }
});

Deno.test("a burst of changes is told a few times, not once each", async () => {
  const api = await TestApi.start();
  api.collections.set(SERVICES, new Map());
  api.collections.set(SLICES, new Map());
  const cluster = await api.open();
  try {
    let calls = 0;
    const discovery = cluster.discover({ namespaces: ["sample-project"] }, {
      onChange: () => void calls++,
    });
    await discovery.ready;
    await open(api);
    for (let index = 0; index < 300; index++) api.change(SERVICES, "ADDED", service(`s${index}`));
    await until("all of them", () => discovery.services.size === 300);
    assert.ok(calls <= 6, `${calls} calls`);
    // The same object again is no news.
    const before = calls;
    api.change(SERVICES, "MODIFIED", service("s1"));
    api.change(SERVICES, "ADDED", service("last"));
    await until("the last", () => discovery.services.size === 301);
    assert.equal(calls, before + 1);
  } finally {
    await cluster.close();
    await api.close();
  }
});

/** As an API server does that starts, until it has read its roles: about a second, seen on 1.36.2. */
Deno.test("rights that are missing for a moment cost seconds, however long the server was away", async () => {
  await watching(async ({ api, health, clock }) => {
    let granted = false;
    api.intercept = ({ path }, response) =>
      path === SERVICES && !granted && api.refuse(response, 403, "cannot list", "Forbidden");
    await api.stop();
    // Long enough for the longest wait between two tries.
    for (let second = 0; second < 120; second++) {
      clock.advance(1_000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await api.restart();
    await until("the refusal", () => {
      clock.advance(50);
      return /forbidden/.test(health.at(-1)?.reason ?? "");
    });
    granted = true;
    const from = clock.monotonic();
    const within = async (ms: number, what: string, check: () => boolean | undefined) => {
      await until(what, () => {
        clock.advance(50);
        return check();
      });
      assert.ok(clock.monotonic() - from < ms, `${what} after ${clock.monotonic() - from} ms`);
    };
    await within(4_000, "the list", () => health.at(-1)?.reachable);
    await within(12_000, "the watch", () => api.watches.get(SERVICES)?.size === 1);
  }, true);
});

Deno.test("where watching is forbidden the list is asked again and again, until it is allowed", async () => {
  const api = await TestApi.start();
  let forbidden = ["watch"];
  api.intercept = ({ path, query }, response) => {
    const verb = query.get("watch") === "true" ? "watch" : "list";
    return path === SERVICES && forbidden.includes(verb) &&
      api.refuse(response, 403, `cannot ${verb} services`, "Forbidden");
  };
  api.seed(SERVICES, service("a"));
  api.collections.set(SLICES, new Map());
  const clock = new FakeClock();
  const cluster = await api.open({ clock });
  const health: boolean[] = [];
  try {
    const discovery = cluster.discover({ namespaces: ["sample-project"] }, {
      onChange() {},
      onHealth: ({ reachable }) => health.push(reachable),
    });
    await discovery.ready;
    const note = 'May not watch services in namespace "sample-project": listed every 5 s instead';
    await until("the note", () => discovery.notes[0] === note);
    assert.equal(count(api, SERVICES, true), 1);

    api.change(SERVICES, "ADDED", service("b"));
    clock.advance(5_000);
    await until("what a list shows", () => {
      clock.advance(50);
      return discovery.services.size === 2;
    });
    assert.deepEqual(health, [true]);
    // A connection that may be dead: not only the watches are opened anew.
    const lists = count(api, SERVICES, false);
    await cluster.reconnect();
    await until("a list at once", () => count(api, SERVICES, false) === lists + 1);

    // Whether watching is allowed by now is asked, but not every time.
    await until("more lists", () => {
      clock.advance(250);
      return count(api, SERVICES, false) >= lists + 8;
    });
    assert.equal(count(api, SERVICES, true), 1);

    // Without the right to list either, the cluster is not followed at all.
    forbidden = ["list", "watch"];
    await until("the missing right", () => {
      clock.advance(500);
      return health.at(-1) === false;
    });
    forbidden = [];
    await until("the watch", () => {
      clock.advance(1_000);
      return api.watches.get(SERVICES)?.size === 1;
    });
    await until("nothing to tell", () => discovery.notes.length === 0);
    clock.advance(2_000);
    assert.equal(health.at(-1), true);
    api.change(SERVICES, "DELETED", service("a"));
    await until("what a watch tells", () => {
      clock.advance(100);
      return discovery.services.size === 1;
    });
  } finally {
    await cluster.close();
    await api.close();
  }
});
