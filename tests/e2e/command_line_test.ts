/** The command line on the compiled binary: interruption, programs run in a session, output. */
import assert from "node:assert/strict";
import { CZCTL, until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

const ns = "sample-project";

e2e("Ctrl-C while a session opens: exit code 130, and nothing of it is left", async (scene) => {
  const { box, cluster, czctl } = scene;
  // Resident, so that svc is still there to be asked afterwards.
  await scene.done("start");
  await cluster.control.hang({ hung: true });
  const child = box.start([CZCTL, "teleport", "namespace", ns], {
    env: { KUBECONFIG: cluster.kubeconfig },
  });
  const output = child.output();
  await until("the session is opening", async () => {
    const { stdout } = await czctl("status", "-o", "json");
    return JSON.parse(stdout).opening === 1;
  });
  // To the program itself: nsenter stands between it and us.
  const [pid] = (await box.sh(`pgrep -f 'czctl teleport namespace'`)).stdout.split("\n");
  await box.kill(Number(pid), "INT");
  const { code, stderr } = await output;
  assert.equal(code, 130, new TextDecoder().decode(stderr));
  assert.match(new TextDecoder().decode(stderr), /error: Interrupted by SIGINT/);
  // At once, not some time later: the command waits until all is undone.
  assert.deepEqual(await box.hosts(), scene.hostsBefore);
  const status = JSON.parse((await czctl("status", "-o", "json")).stdout);
  assert.deepEqual([status.opening, status.sessions], [0, []]);
  await cluster.control.hang({ hung: false });
  await scene.done("stop");
});

e2e(
  "teleport -- PROGRAM: its exit code, its environment, and the session is gone after",
  async (scene) => {
    const { box, czctl } = scene;
    const script = "getent hosts sample-project-web; echo $SAMPLE1_KEY $CALLER; exit 9";
    const run = await box.czctl(
      ["teleport", "deployment", "web", "-n", ns, "-q", "--", "sh", "-c", script],
      { env: { KUBECONFIG: scene.cluster.kubeconfig, CALLER: "mine" } },
    );
    assert.equal(run.code, 9, run.stderr);
    assert.match(run.stdout, /^127\.1\.\d+\.\d+ .*sample-project-web[\s\S]*\nVALUE1 mine\n$/);
    assert.deepEqual(await box.hosts(), scene.hostsBefore);
    assert.equal((await czctl("session", "list")).stdout, "No session is open\n");
  },
);

e2e("run uses the open session and leaves it open", async (scene) => {
  await scene.done("teleport", "deployment", "web", "-n", ns);
  const run = await scene.czctl("run", "--", "sh", "-c", "echo $SAMPLE_PROJECT_WEB_SERVICE_HOST");
  assert.equal(run.code, 0, run.stderr);
  assert.match(run.stdout, /^127\.1\.\d+\.\d+\n$/);
  assert.equal((await scene.czctl("run", "--", "sh", "-c", "kill -TERM $$")).code, 143);
  const listed = JSON.parse((await scene.done("session", "list", "-o", "json")).stdout);
  assert.equal(listed.sessions.length, 1);
  await scene.done("session", "close");
});

e2e("-o json: one JSON value on standard output, also for an error", async (scene) => {
  const opened = await scene.done("teleport", "ns", ns, "-o", "json");
  const { session, already } = JSON.parse(opened.stdout);
  assert.equal(already, false);
  assert.equal(session.services.length, 6);
  const again = JSON.parse((await scene.done("teleport", "ns", ns, "-o", "json")).stdout);
  assert.deepEqual([again.already, again.session.id], [true, session.id]);
  const missing = await scene.czctl("teleport", "ns", "sample-projekt", "-o", "json");
  assert.equal(missing.code, 1);
  const { error } = JSON.parse(missing.stdout);
  assert.equal(error.code, "not_found");
  assert.match(missing.stderr, /^error: .*sample-projekt/m);
  const closed = JSON.parse((await scene.done("teleport", "--clean", "-o", "json")).stdout);
  assert.deepEqual(closed, { closed: [session.id] });
});

e2e(
  "start stays without a session, stop ends it, both say so when there is nothing to do",
  async (scene) => {
    const started = await scene.done("start");
    assert.match(started.stdout, /elevated +as root; nothing needs to be installed/);
    assert.match(started.stdout, /czfwd +running, pid \d+/);
    assert.match((await scene.done("status")).stdout, /stays until czctl stop/);
    await scene.done("teleport", "ns", ns);
    await scene.done("session", "close", "--all");
    assert.match((await scene.done("start")).stdout, /czfwd +running/);
    assert.match((await scene.done("stop")).stdout, /czfwd +stopped/);
    assert.equal((await scene.done("stop")).stdout, "czfwd is not running: nothing to stop\n");
  },
);

e2e(
  "no kubeconfig, a broken one, an unknown context: one error, and nothing is started",
  async (scene) => {
    const { box } = scene;
    const cases: [string[], Record<string, string>, RegExp][] = [
      [[], { KUBECONFIG: "/nonexistent" }, /kubeconfig/],
      [["-k", "missing.yaml"], {}, /Cannot read the kubeconfig ".*missing\.yaml"/],
      [["--context", "nope"], { KUBECONFIG: scene.cluster.kubeconfig }, /"nope"/],
    ];
    for (const [args, env, message] of cases) {
      const output = await box.czctl(["teleport", "ns", ns, ...args], { env });
      assert.equal(output.code, 1, output.stderr);
      assert.match(output.stderr, message);
      assert.match(output.stderr, /^error: [^\n]*\n( {2}[^\n]*\n)?$/);
      assert.equal((await box.sh("test -e ~/.codezero")).code, 1);
    }
  },
);

e2e("what the runtime has to say never reaches the user", async (scene) => {
  const read = await scene.done("environment", "deployment", "web", "-n", ns);
  assert.equal(read.stderr, "  Reading the environment\n");
  const opened = await scene.done("teleport", "deployment", "web", "-n", ns, "-f", "env.sh");
  assert.doesNotMatch(opened.stderr, /Warning|\(node:/);
  const log = await scene.done("logs");
  assert.doesNotMatch(log.stdout, /Warning|\(node:| error /);
  await scene.done("teleport", "--clean");
});
