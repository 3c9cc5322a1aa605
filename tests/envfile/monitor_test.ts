import assert from "node:assert/strict";
import { join } from "node:path";
import { EnvFile, recoverEnvFile } from "../../src/envfile/file.ts";
import { EnvMonitor, type EnvMonitorOptions } from "../../src/envfile/monitor.ts";
import type { EnvFileInfo } from "../../src/model/control.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { MemoryObjects, webDeployment, webPod } from "./memory_objects.ts";
import { withFolder } from "../temp_folder.ts";
import { until } from "../until.ts";

const workload = { kind: "deployment", name: "web", namespace: "shop" } as const;

interface Stage {
  readonly objects: MemoryObjects;
  readonly path: string;
  readonly file: EnvFile;
  readonly monitor: EnvMonitor;
  readonly states: EnvFileInfo[];
  readonly folder: string;
}

async function withMonitor(
  run: (stage: Stage) => Promise<void>,
  options: Partial<EnvMonitorOptions> & { prepare?: (objects: MemoryObjects) => void } = {},
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const objects = new MemoryObjects();
  objects.put("deployments", web("1"));
  objects.put("pods", webPod(web("1")));
  objects.put("configmaps", settings("blue"));
  objects.put("secrets", secret("hunter2"));
  options.prepare?.(objects);
  const file = await EnvFile.claim("env.sh", { cwd: folder });
  const states: EnvFileInfo[] = [];
  const monitor = new EnvMonitor({
    objects,
    workload,
    file,
    format: "sh",
    onState: (info) => states.push(info),
    ...options,
  });
  try {
    await run({ objects, path: join(folder, "env.sh"), file, monitor, states, folder });
  } finally {
    await monitor.close();
    await Deno.remove(folder, { recursive: true });
  }
}

const web = (level: string) =>
  webDeployment({
    env: [
      { name: "LEVEL", value: level },
      {
        name: "COLOUR",
        valueFrom: { configMapKeyRef: { name: "settings", key: "colour" } },
      },
      { name: "PASSWORD", valueFrom: { secretKeyRef: { name: "keys", key: "password" } } },
    ],
  });

const settings = (colour: string) => ({
  metadata: { name: "settings", namespace: "shop" },
  data: { colour },
});

const secret = (password: string) => ({
  metadata: { name: "keys", namespace: "shop" },
  data: { password: btoa(password) },
});

const content = (level: string, colour: string, password: string) =>
  `export COLOUR='${colour}'\nexport LEVEL='${level}'\nexport PASSWORD='${password}'\n`;

const holds = (path: string, text: string) => async () => await Deno.readTextFile(path) === text;

Deno.test("EnvMonitor rewrites the file within a second of a ConfigMap's or Secret's change", async () => {
  await withMonitor(async ({ objects, path, monitor }) => {
    await monitor.start();
    assert.equal(await Deno.readTextFile(path), content("1", "blue", "hunter2"));
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    objects.put("configmaps", settings("red"));
    await until("new ConfigMap", holds(path, content("1", "red", "hunter2")), 1000);
    objects.put("secrets", secret("swordfish"));
    await until("new Secret", holds(path, content("1", "red", "swordfish")), 1000);
    assert.deepEqual(monitor.info, { path, variables: 3, state: "watching" });
  });
});

Deno.test("EnvMonitor follows a rollout that changes the environment", async () => {
  await withMonitor(async ({ objects, path, monitor }) => {
    await monitor.start();
    objects.put("deployments", web("2"));
    await until("new template", holds(path, content("2", "blue", "hunter2")), 1000);
    objects.put("pods", webPod(web("2"), "web-6e0-fghij"));
    objects.delete("pods", "shop", "web-5d9-abcde");
    await until("new pod", holds(path, content("2", "blue", "hunter2")), 1000);
  });
});

Deno.test("EnvMonitor does not touch the file when nothing in it changes", async () => {
  await withMonitor(async ({ objects, path, monitor }) => {
    await monitor.start();
    const before = await Deno.stat(path);
    const requests = objects.requests.length;
    for (let i = 0; i < 20; i++) objects.put("pods", webPod(web("1"), `web-5d9-pod${i}`));
    await until("another look", () => objects.requests.length > requests, 5000);
    await until("quiet", () => monitor.info.state === "watching", 5000);
    objects.put("secrets", {
      ...secret("hunter2"),
      metadata: { ...secret("").metadata, uid: "2" },
    });
    await until("and another", () => objects.requests.length > requests + 4, 5000);
    const after = await Deno.stat(path);
    assert.equal(after.ino, before.ino);
    assert.equal(after.mtime?.getTime(), before.mtime?.getTime());
  });
});

Deno.test("EnvMonitor survives the workload's deletion and return", async () => {
  await withMonitor(async ({ objects, path, monitor, states }) => {
    await monitor.start();
    objects.delete("deployments", "shop", "web");
    await until(
      "the loss is said",
      () => states.at(-1)?.reason?.includes("Cannot find") ?? false,
      5000,
    );
    assert.equal(monitor.info.state, "watching");
    assert.equal(await Deno.readTextFile(path), content("1", "blue", "hunter2"));
    objects.put("deployments", web("3"));
    await until("back again", holds(path, content("3", "blue", "hunter2")), 1000);
    assert.equal(monitor.info.reason, undefined);
    assert.equal(states.at(-1)?.reason, undefined);
  });
});

Deno.test("EnvMonitor waits for a ConfigMap that is newly referred to and missing", async () => {
  await withMonitor(async ({ objects, path, monitor, states }) => {
    await monitor.start();
    const next = webDeployment({ envFrom: [{ configMapRef: { name: "late" } }] });
    objects.put("deployments", next);
    await until("named", () => states.at(-1)?.reason?.includes('ConfigMap "late"') ?? false, 5000);
    objects.put("configmaps", { metadata: { name: "late", namespace: "shop" }, data: { A: "1" } });
    await until("found", holds(path, "export A='1'\n"), 1000);
    assert.equal(monitor.info.variables, 1);
  });
});

Deno.test("EnvMonitor stops for a file that the user deletes, and never makes it again", async () => {
  await withMonitor(async ({ objects, path, monitor, states }) => {
    await monitor.start();
    await Deno.remove(path);
    await until("noticed without a change", () => states.at(-1)?.state === "stopped", 5000);
    assert.equal(states.at(-1)?.reason, "it was deleted or renamed");
    objects.put("configmaps", settings("red"));
    assert.equal(objects.watches, 0);
    assert.deepEqual(await monitor.close(), { removed: false });
    await assert.rejects(Deno.lstat(path), Deno.errors.NotFound);
  });
});

Deno.test("EnvMonitor leaves a renamed file and its new name alone", async () => {
  await withMonitor(async ({ path, monitor, folder }) => {
    await monitor.start();
    await Deno.rename(path, join(folder, "mine.sh"));
    await until("noticed", () => monitor.info.state === "stopped", 5000);
    assert.deepEqual(await monitor.close(), { removed: false });
    assert.deepEqual(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["mine.sh"]);
  });
});

Deno.test("EnvMonitor neither overwrites nor removes a file the user has changed", async () => {
  await withMonitor(async ({ objects, path, monitor, states }) => {
    await monitor.start();
    await Deno.writeTextFile(path, "export MINE=1\n", { append: true });
    objects.put("configmaps", settings("red"));
    await until("noticed", () => states.at(-1)?.state === "stopped", 5000);
    const text = content("1", "blue", "hunter2") + "export MINE=1\n";
    assert.equal(await Deno.readTextFile(path), text);
    const result = await monitor.close();
    assert.equal(result.removed, false);
    assert.match(result.reason!, /no longer what czctl wrote/);
    assert.equal(await Deno.readTextFile(path), text);
  });
});

Deno.test("EnvMonitor.close removes the file and ends every watch", async () => {
  await withMonitor(async ({ objects, monitor, folder }) => {
    await monitor.start();
    assert.ok(objects.watches >= 4);
    assert.deepEqual(await monitor.close(), { removed: true });
    assert.equal(objects.watches, 0);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("EnvMonitor.start fails whole: nothing written, nothing watched", async () => {
  await withMonitor(async ({ objects, monitor, folder }) => {
    await assert.rejects(
      monitor.start(),
      (error) => error instanceof CzctlError && /Secret "keys" does not exist/.test(error.message),
    );
    assert.equal(objects.watches, 0);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  }, { prepare: (objects) => objects.delete("secrets", "shop", "keys") });
});

Deno.test("EnvMonitor reads again and again where watching is forbidden", async () => {
  await withMonitor(async ({ objects, path, monitor }) => {
    await monitor.start();
    const made = objects.requests.length;
    await until(
      "the first look of the other watches",
      () => objects.requests.length >= made * 2,
      5000,
    );
    const begun = performance.now();
    objects.put("secrets", secret("swordfish"));
    await until("polled", holds(path, content("1", "blue", "swordfish")), 8000);
    assert.ok(performance.now() - begun > 2000, "it was not a watch that told");
  }, { prepare: (objects) => objects.denied.add("watch secrets") });
});

Deno.test("EnvMonitor keeps the file while the cluster is out of reach and goes on afterwards", async () => {
  await withMonitor(async ({ objects, path, monitor, states }) => {
    await monitor.start();
    objects.unreachable = true;
    objects.put("configmaps", settings("red"));
    await until("said", () => states.at(-1)?.reason?.includes("Cannot reach") ?? false, 5000);
    assert.equal(await Deno.readTextFile(path), content("1", "blue", "hunter2"));
    objects.unreachable = false;
    await until("caught up", holds(path, content("1", "red", "hunter2")), 3000);
  });
});

Deno.test("EnvMonitor leaves a record from which another process can clean up", async () => {
  await withMonitor(async ({ objects, path, monitor, file }) => {
    await monitor.start();
    objects.put("configmaps", settings("red"));
    await until("rewritten", holds(path, content("1", "red", "hunter2")), 1000);
    const record = JSON.parse(JSON.stringify(file.record));
    assert.deepEqual(await recoverEnvFile(record), { removed: true });
    assert.deepEqual(await recoverEnvFile(record), { removed: false });
  });
});

Deno.test("--on-change runs after a refresh, in the user's folder, never twice at once", async () => {
  await withFolder(async (work) => {
    await withMonitor(async ({ objects, path, monitor }) => {
      await monitor.start();
      const log = join(work, "log");
      const read = async () => await Deno.readTextFile(log).catch(() => "");
      objects.put("configmaps", settings("red"));
      await until("first run", async () => await read() === `start red ${path}\n`, 5000);
      // The first one still sleeps: it is stopped, then the next begins.
      objects.put("configmaps", settings("green"));
      await until(
        "restarted",
        async () => await read() === `start red ${path}\nstop red\nstart green ${path}\n`,
        5000,
      );
      await monitor.close();
      assert.equal(await read(), `start red ${path}\nstop red\nstart green ${path}\nstop green\n`);
    }, {
      onChange: {
        command: `. "$CZCTL_ENV_FILE"; trap 'echo "stop $COLOUR" >> log; exit' TERM; ` +
          `echo "start $COLOUR $CZCTL_ENV_FILE" >> log; sleep 600 & wait`,
        cwd: work,
        env: { PATH: Deno.env.get("PATH")!, SHELL: "/bin/sh" },
      },
    });
  });
});
