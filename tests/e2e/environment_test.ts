/** The environment of a workload on the compiled binary: live edits, the file's life, run. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import type { EnvFileInfo } from "../../src/model/control.ts";
import { configMap, type Obj, secret, startCluster } from "../cluster/mod.ts";
import { sessions, status } from "./facts.ts";
import { type Output, until } from "./sandbox.ts";
import { e2e, type Scene } from "./scene.ts";

const ns = "sample-project";
const WEB = ["deployment", "web", "-n", ns] as const;

/** From here on a change in the cluster has to be in the file. */
const FRESH_MS = 1000;

const text = async ({ box }: Scene, file: string): Promise<string> =>
  (await box.sh(`cat ${file} 2>/dev/null`)).stdout;

const level = (value: string): Obj => configMap(ns, "core-config", { LOG_LEVEL: value });

const holds = (scene: Scene, file: string, line: string) => async () =>
  (await text(scene, file)).split("\n").includes(line);

async function state(scene: Scene): Promise<EnvFileInfo | undefined> {
  return (await sessions(scene))[0]!.envFile;
}

function refused(output: Output, message: RegExp): void {
  assert.equal(output.code, 1, output.stdout + output.stderr);
  assert.match(output.stderr, message);
  assert.doesNotMatch(output.stderr, /\n\s+at /, "no stack for a user's mistake");
}

e2e("env file: written, sourced, followed live, and removed at the end", async (scene) => {
  const { box, cluster, done } = scene;
  const opened = await done("teleport", ...WEB, "-f", "env.sh", "--on-change", "echo ran >> ran");
  assert.match(opened.stdout, /env\.sh +\d+ variables of deployment\/web/);
  assert.equal((await box.sh("stat -c %a env.sh")).stdout, "600\n");

  // The addresses in it are the local ones: what a program does with them works.
  const fetched = await box.sh(
    `. ./env.sh && printf '%s|' "$MULTI" "$TRICKY" "$SECRET_DB_PASSWORD" "$DB_PASSWORD" &&
     curl -sS "http://$SAMPLE_PROJECT_WEB_SERVICE_HOST:$SAMPLE_PROJECT_WEB_SERVICE_PORT/"`,
  );
  assert.match(
    fetched.stdout,
    /^line1\nline2\|it's "quoted" \$HOME `id`\|p@ss'word\|p@ss'word\|Hello from web-/,
  );
  assert.match(await text(scene, "env.sh"), /^export SAMPLE_PROJECT_WEB_SERVICE_HOST='127\.1\./m);

  await cluster.control.apply({ objects: [level("debug")] });
  await until("the ConfigMap's edit", holds(scene, "env.sh", "export LOG_LEVEL='debug'"), FRESH_MS);
  await until("the command ran", async () => await text(scene, "ran") === "ran\n");

  const edited = { ...secret(ns, "core-secret", {}), data: { DB_PASSWORD: btoa("new one") } };
  await cluster.control.apply({ objects: [edited] });
  await until(
    "the Secret's edit",
    holds(scene, "env.sh", "export DB_PASSWORD='new one'"),
    FRESH_MS,
  );
  await until("the command ran again", async () => await text(scene, "ran") === "ran\nran\n");

  // A rollout that changes nothing in it: a new pod's name and address, nothing else.
  const before = await text(scene, "env.sh");
  await cluster.control.rollout({ namespace: ns, deployment: "web" });
  const pod = /^export POD_NAME='(.*)'$/m;
  await until(
    "the new pod",
    async () => pod.exec(await text(scene, "env.sh"))?.[1] !== pod.exec(before)?.[1],
  );
  const others = (env: string) => env.replace(/^export POD_(NAME|IP)=.*\n/gm, "");
  assert.equal(others(await text(scene, "env.sh")), others(before));

  await done("session", "close");
  assert.equal((await box.sh("ls -A | grep env")).stdout, "");
});

e2e("env file: no session for a file that cannot be written", async (scene) => {
  const { box, czctl, hostsBefore } = scene;
  await box.sh("echo mine > mine; mkdir folder; ln -s mine link");
  for (
    const [file, message] of [
      ["mine", /Cannot write "mine": the file exists and czctl did not write it/],
      ["folder", /Cannot write "folder": it is a folder/],
      ["link", /Cannot write "link": it is a symbolic link/],
      ["none/env.sh", /Cannot write "none\/env\.sh": the folder ".*\/none" does not exist/],
      ["/sys/env.sh", /Cannot write "\/sys\/env\.sh": (permission denied|.*read-only)/],
    ] as const
  ) {
    refused(await czctl("teleport", ...WEB, "-f", file), message);
    refused(await czctl("environment", ...WEB, file), /Cannot write/);
  }
  const wrong = await czctl("teleport", ...WEB, "-f", "e.env", "--container", "no");
  assert.equal(wrong.code, 2, wrong.stderr);
  assert.match(wrong.stderr, /Cannot find container "no"/);
  assert.equal(await text(scene, "mine"), "mine\n");
  assert.equal((await box.sh("ls")).stdout, "folder\nlink\nmine\n");
  assert.deepEqual(await box.hosts(), hostsBefore);
});

e2e("env file: what the user does to it is respected", async (scene) => {
  const { box, cluster, done } = scene;
  // Deleted: said, and never made again.
  await done("teleport", ...WEB, "-f", "env.sh");
  await box.sh("rm env.sh");
  await until("deletion is noticed", async () => (await state(scene))?.state === "stopped");
  assert.match((await state(scene))?.reason ?? "", /deleted or renamed/);
  await cluster.control.apply({ objects: [level("debug")] });
  await done("session", "close");
  assert.equal((await box.sh("ls env.sh")).code, 2);

  // Changed: neither overwritten nor removed.
  await done("teleport", ...WEB, "-f", "env.sh");
  await box.sh("echo 'export MINE=1' >> env.sh");
  await until("the change is noticed", async () => (await state(scene))?.state === "stopped");
  const mine = await text(scene, "env.sh");
  await cluster.control.apply({ objects: [level("warn")] });
  const closed = await done("session", "close");
  assert.match(closed.stdout + closed.stderr, /env\.sh" is left where it is/);
  assert.equal(await text(scene, "env.sh"), mine);

  // Replaced on demand, from another folder than the file's.
  await box.sh("mkdir -p sub");
  const forced = await box.czctl(["teleport", ...WEB, "-f", "../env.sh", "--force"], {
    cwd: `${box.home}/sub`,
    env: { KUBECONFIG: cluster.kubeconfig },
  });
  assert.equal(forced.code, 0, forced.stderr);
  assert.doesNotMatch(await text(scene, "env.sh"), /MINE/);
  await done("session", "close");
});

e2e("env file: kill -9 leaves nothing that the next command does not remove", async (scene) => {
  const { box, done } = scene;
  await done("teleport", ...WEB, "-f", "env.sh");
  const { pid } = await status(scene);
  await box.kill(pid, "KILL");
  await until("it is dead", async () => !(await box.pidsOf("czfwd")).includes(pid));
  assert.match(await text(scene, "env.sh"), /LOG_LEVEL/);
  const mended = await done("session", "list");
  assert.equal((await box.sh("ls env.sh")).code, 2, mended.stdout + mended.stderr);
});

e2e("environment: the same variables in every format", async (scene) => {
  const { box, done } = scene;
  const json = JSON.parse((await done("environment", ...WEB, "-m", "json", "-q")).stdout);
  assert.equal(json.GREETING, "hi VALUE1 $(NOT_EXPANDED) $(UNKNOWN)");
  assert.equal(json.MEMORY_LIMIT, "134217728");
  assert.deepEqual(parse((await done("environment", ...WEB, "-m", "yaml", "-q")).stdout), json);
  assert.deepEqual(JSON.parse((await done("environment", ...WEB, "-", "-m", "json")).stdout), json);
  await done("environment", ...WEB, "env.sh");
  for (const shell of ["sh", "bash"]) {
    const { stdout } = await box.run([
      shell,
      "-c",
      `. ./env.sh; node -p 'JSON.stringify(process.env)'`,
    ]);
    const env = JSON.parse(stdout);
    for (const [name, value] of Object.entries(json)) assert.equal(env[name], value, name);
  }
  await done("environment", ...WEB, ".env");
  const { stdout } = await box.sh("node --env-file=.env -p 'JSON.stringify(process.env)'");
  const env = JSON.parse(stdout);
  for (const [name, value] of Object.entries(json)) assert.equal(env[name], value, name);
});

e2e("environment: a session's addresses are for its own cluster alone", async (scene) => {
  const { done } = scene;
  await using other = await startCluster();
  await done("teleport", ...WEB);
  const host = async (...more: string[]) => {
    const json = (await done("environment", ...WEB, ...more, "-m", "json", "-q")).stdout;
    return JSON.parse(json).SAMPLE_PROJECT_WEB_SERVICE_HOST;
  };
  assert.match(await host(), /^127\.1\./);
  assert.match(await host("--context", "admin"), /^127\.1\./);
  // The same names and the same context's name, in another cluster.
  assert.match(await host("--kubeconfig", other.kubeconfig), /^10\./);
  await done("session", "close");
  assert.match(await host(), /^10\./);
});

e2e(
  "run: exactly that environment, signals and exit code, its own session closed",
  async (scene) => {
    const { box, cluster, done, czctl, hostsBefore } = scene;
    const inside = await czctl("run", ...WEB, "--", "sh", "-c", 'echo "$LOG_LEVEL $HOME"; exit 7');
    assert.equal(inside.code, 7, inside.stderr);
    assert.match(inside.stdout, new RegExp(`^info ${box.home}$`, "m"));
    await until("its session is closed", async () => (await box.pidsOf("czfwd")).length === 0);
    assert.deepEqual(await box.hosts(), hostsBefore);

    await done("teleport", ...WEB);
    const child = box.start([
      `${import.meta.dirname}/../../dist/czctl`,
      "run",
      "--",
      "sh",
      "-c",
      "trap 'echo got; exit 3' TERM; echo ready > ready; while :; do sleep 0.05; done",
    ], { env: { KUBECONFIG: cluster.kubeconfig } });
    await until("the program runs", async () => await text(scene, "ready") === "ready\n");
    const [czctlPid] = await box.pidsOf("czctl");
    await box.kill(czctlPid!, "TERM");
    const output = await child.output();
    assert.equal(output.code, 3);
    assert.match(new TextDecoder().decode(output.stdout), /got/);
    assert.equal((await sessions(scene)).length, 1);
    await done("session", "close");
  },
);

e2e("run: a variable that is too large for a program is named, with the limit", async (scene) => {
  const { cluster, done, czctl } = scene;
  await done("teleport", ...WEB);
  await cluster.control.apply({ objects: [level("x".repeat(140_000))] });
  const failed = await czctl("run", "--", "true");
  assert.equal(failed.code, 126, failed.stderr);
  assert.match(
    failed.stderr,
    /Cannot start "true": variable "LOG_LEVEL" has 140010 bytes, and Linux takes at most 131071 in one\n/,
  );
  assert.doesNotMatch(failed.stderr, /Check its name/);
  // As in the container, every format but that of docker holds it.
  assert.match(
    (await done("environment", ...WEB, "-m", "json", "-q")).stdout,
    /"LOG_LEVEL": "x{140000}"/,
  );
  await done("session", "close");
});

e2e("environment into a file: again is fine, another content needs --force", async (scene) => {
  const { box, done, czctl } = scene;
  await done("environment", ...WEB, "env.sh");
  await box.sh("chmod 644 env.sh");
  await done("environment", ...WEB, "env.sh");
  assert.equal((await box.sh("stat -c %a env.sh")).stdout.trim(), "600");
  await box.sh("mkfifo pipe; ln -s env.sh link");
  refused(await czctl("environment", ...WEB, "pipe"), /not a regular file/);
  refused(await czctl("environment", ...WEB, "link"), /symbolic link/);
  await box.sh("echo mine >> env.sh");
  refused(
    await czctl("environment", ...WEB, "env.sh"),
    /env\.sh": the file exists already\n.*--force/,
  );
  assert.match(await text(scene, "env.sh"), /mine/);
  await done("environment", ...WEB, "env.sh", "--force");
  assert.doesNotMatch(await text(scene, "env.sh"), /mine/);
});
