/** The command line on the compiled binary: interruption, programs run in a session, output. */
import assert from "node:assert/strict";
import { deployment } from "../cluster/mod.ts";
import { sessions, status } from "./facts.ts";
import { CZCTL, until } from "./sandbox.ts";
import { e2e, type Scene } from "./scene.ts";

const ns = "sample-project";

e2e("Ctrl-C while a session opens: exit code 130, and nothing of it is left", async (scene) => {
  const { box, cluster } = scene;
  // Resident, so that svc is still there to be asked afterwards.
  await scene.done("start");
  await cluster.control.hang({ hung: true });
  const child = box.start([CZCTL, "teleport", "namespace", ns], {
    env: { KUBECONFIG: cluster.kubeconfig },
  });
  const output = child.output();
  await until("the session is opening", async () => {
    return (await status(scene)).opening === 1;
  });
  // To the program itself: nsenter stands between it and us.
  const [pid] = (await box.sh(`pgrep -f 'czctl teleport namespace'`)).stdout.split("\n");
  await box.kill(Number(pid), "INT");
  const { code, stderr } = await output;
  assert.equal(code, 130, new TextDecoder().decode(stderr));
  assert.match(new TextDecoder().decode(stderr), /error: Interrupted by SIGINT/);
  // At once, not some time later: the command waits until all is undone.
  assert.deepEqual(await box.hosts(), scene.hostsBefore);
  const now = await status(scene);
  assert.deepEqual([now.opening, now.sessions], [0, []]);
  await cluster.control.hang({ hung: false });
  await scene.done("stop");
});

e2e("Ctrl-C while the result is told: open and 0, or undone and 130", async (scene) => {
  const { box, cluster } = scene;
  await scene.done("start");
  for (const delay of [0, 0, 0, 1, 2, 5, 10, 20]) {
    const child = box.start([CZCTL, "teleport", "namespace", ns], {
      env: { KUBECONFIG: cluster.kubeconfig },
    });
    const stderr = new Response(child.stderr).text();
    let out = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      if (out === "") {
        assert.match(text, /ok 6 services/);
        if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
        // From outside, where no program needs to be started for it.
        for (const pid of box.processes("czctl")) Deno.kill(pid, "SIGINT");
      }
      out += text;
    }
    const { code } = await child.status;
    const told = `after ${delay} ms: ${code}\n${out}${await stderr}`;
    const open = (await sessions(scene)).length;
    assert.ok(code === 0 && open === 1 || code === 130 && open === 0, told);
    if (open === 0) assert.deepEqual(await box.hosts(), scene.hostsBefore, told);
    else await scene.done("session", "close");
  }
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
  assert.equal((await sessions(scene)).length, 1);
  await scene.done("session", "close");
});

/** Starts a program in a session of its own that ends when the file `name` is there. */
function startRun({ box, cluster }: Scene, name: string): Deno.ChildProcess {
  const script = `touch ~/${name}.runs; while [ ! -e ~/${name} ]; do sleep 0.05; done`;
  return box.start([CZCTL, "run", "deploy/web", "-n", ns, "--", "sh", "-c", script], {
    env: { KUBECONFIG: cluster.kubeconfig },
  });
}

async function runs({ box }: Scene, name: string): Promise<void> {
  await until(`${name} runs`, async () => (await box.sh(`test -e ~/${name}.runs`)).code === 0);
}

e2e("with a program, standard output is the program's alone", async (scene) => {
  const workload = ["deploy/web", "-n", ns, "--", "echo", "{}"];
  const run = await scene.done("run", ...workload);
  assert.equal(run.stdout, "{}\n");
  assert.match(run.stderr, /^ {2}ok 6 services of sample-project/m);
  assert.match(run.stderr, /^ {2}Inspect: \S+$/m);
  await scene.done("teleport", "deploy/web", "-n", ns);
  const again = await scene.done("teleport", ...workload);
  assert.equal(again.stdout, "{}\n");
  assert.match(again.stderr, /is open already/);
  await scene.done("session", "close");
});

e2e("a session opened for a program closes with the last one that runs in it", async (scene) => {
  const { box } = scene;
  const first = startRun(scene, "first").output();
  await runs(scene, "first");
  const second = startRun(scene, "second").output();
  await runs(scene, "second");
  await box.sh("touch ~/first");
  assert.equal((await first).code, 0);
  assert.equal((await sessions(scene)).length, 1);
  assert.match(await box.hostsText(), /sample-project-web/);
  await box.sh("touch ~/second");
  assert.equal((await second).code, 0);
  assert.deepEqual(await box.hosts(), scene.hostsBefore);
});

e2e("teleport keeps a session that was opened for a program", async (scene) => {
  const { box } = scene;
  const program = startRun(scene, "program").output();
  await runs(scene, "program");
  const refused = await scene.czctl("teleport", "deploy/web", "-n", ns, "-a", "default");
  assert.equal(refused.code, 1);
  const again = await scene.done("teleport", "deploy/web", "-n", ns);
  assert.match(again.stdout, /is open already/);
  await box.sh("touch ~/program");
  assert.equal((await program).code, 0);
  assert.equal((await sessions(scene)).length, 1);
  await scene.done("run", "deploy/web", "-n", ns, "--", "true");
  assert.equal((await sessions(scene)).length, 1);
  await scene.done("session", "close");
});

e2e("a session opened for a program closes when run is killed", async (scene) => {
  const { box } = scene;
  await scene.done("start");
  const child = startRun(scene, "program");
  const output = child.output();
  await runs(scene, "program");
  const [pid] = (await box.sh(`pgrep -f 'czctl run deploy/web'`)).stdout.split("\n");
  await box.kill(Number(pid), "KILL");
  await until("the session is closed", async () => (await sessions(scene)).length === 0);
  assert.deepEqual(await box.hosts(), scene.hostsBefore);
  await box.sh("touch ~/program");
  await output;
  await scene.done("stop");
});

e2e("a program runs with its own tools, and beside a proxy", async (scene) => {
  const { box, cluster, done } = scene;
  const values = {
    PATH: "/app/bin",
    HOME: "/app",
    NODE_OPTIONS: "--require /otel/autoinstrumentation.js",
    JAVA_TOOL_OPTIONS: "-Xmx1g",
  };
  const env = Object.entries(values).map(([name, value]) => ({ name, value }));
  await cluster.control.apply({
    objects: [deployment(ns, "tooled", { programs: ["http=8080"], env })],
  });
  const proxied = { KUBECONFIG: cluster.kubeconfig, http_proxy: "http://127.66.7.1:9" };
  const url = `http://sample-project-web.${ns}/`;
  const opened = await box.czctl(["teleport", "deploy/tooled", "-n", ns, "-f", "e.sh"], {
    env: proxied,
  });
  assert.equal(opened.code, 0, opened.stderr);
  const output = opened.stdout + opened.stderr;
  assert.match(output, /NODE_OPTIONS is left out: it names files that only the container has/);
  const line = /for them: (export NO_PROXY=.*)$/m.exec(output)![1]!;
  const sourced = await box.sh(
    `. ./e.sh; echo "$JAVA_TOOL_OPTIONS $HOME $NODE_OPTIONS"; curl -s ${url}; ${line}; curl -s ${url}`,
    { env: proxied },
  );
  assert.match(sourced.stdout, new RegExp(`^-Xmx1g ${box.home} \nHello from [^\n]*\n?$`));
  const script = `echo "$JAVA_TOOL_OPTIONS $NODE_OPTIONS"; curl -s ${url}`;
  const run = await box.czctl(["run", "--", "sh", "-c", script], { env: proxied });
  assert.match(run.stdout, /^-Xmx1g \nHello from /, run.stderr);
  assert.match(run.stderr, /! PATH is left out: it names files/);
  await done("session", "close");
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

e2e("start makes a czfwd stay that teleport has started", async (scene) => {
  await scene.done("teleport", "ns", ns);
  const { pid } = JSON.parse((await scene.done("status", "-o", "json")).stdout);
  await scene.done("start");
  await scene.done("session", "close");
  const status = JSON.parse((await scene.done("status", "-o", "json")).stdout);
  assert.deepEqual([status.pid, status.resident], [pid, true]);
  await scene.done("stop");
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

e2e("teleport asked for again, but otherwise: refused, with what is missing", async (scene) => {
  const { box, czctl } = scene;
  await scene.done("teleport", "deploy/web", "-n=sample-project", "-f=env.sh");
  await scene.done("teleport", "deploy/web", "-n", ns);
  await scene.done("teleport", "deploy/web", "-n", ns, "-f", "./env.sh");
  const other = await czctl("teleport", "deploy/web", "-n", ns, "-f", "other.sh", "-a", "default");
  assert.equal(other.code, 1, other.stdout);
  assert.match(
    other.stderr,
    /is open already, without -a default, -f other\.sh\n {2}Close it first: czctl session close \w+\n$/,
  );
  await box.sh("rm ~/env.sh");
  await until("czctl has seen that the file is gone", async () => {
    return (await sessions(scene))[0]!.envFile?.state === "stopped";
  });
  const again = await czctl("teleport", "deploy/web", "-n", ns, "-f", "env.sh");
  assert.equal(again.code, 1, again.stdout);
  assert.match(again.stderr, /without -f env\.sh \(no longer kept: it was deleted or renamed\)/);
  assert.match((await czctl("doctor")).stdout, /env\.sh is no longer kept fresh/);
  const { stdout: log } = await scene.done("logs");
  assert.equal(log.split("env file is no longer kept").length, 2, log);
  await scene.done("session", "close");
});

e2e("run in a session finds the cluster by the session's own kubeconfig", async (scene) => {
  const { box } = scene;
  await box.sh(`cp ${scene.cluster.kubeconfig} ~/mine.yaml`);
  const opened = await box.czctl(["teleport", "deploy/web", "-n", ns, "-k", "mine.yaml"]);
  assert.equal(opened.code, 0, opened.stderr);
  const run = await box.czctl(["run", "--", "sh", "-c", "echo $SAMPLE1_KEY"], { cwd: "/" });
  assert.deepEqual([run.code, run.stdout], [0, "VALUE1\n"], run.stderr);
  const missing = await box.czctl(["run", "-q", "--", "nosuchprogram"]);
  assert.equal(missing.code, 127);
  assert.match(missing.stderr, /^error: Cannot start "nosuchprogram": no such program\n/m);
  const folder = await box.czctl(["run", "-q", "--", "/etc"]);
  assert.equal(folder.code, 126);
  assert.match(folder.stderr, /^error: Cannot start "\/etc": it is not executable\n/m);
  await scene.done("teleport", "--clean");
});
