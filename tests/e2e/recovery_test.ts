/** Whatever dies, and whatever others do to the hosts file: it comes back exactly. */
import assert from "node:assert/strict";
import { status } from "./facts.ts";
import { CZCTL, until } from "./sandbox.ts";
import { e2e, type Scene } from "./scene.ts";

const ns = "sample-project";

async function pids(scene: Scene): Promise<{ svc: number; helper: number | undefined }> {
  const { pid, helper } = await status(scene);
  return { svc: pid, helper: helper.pid };
}

/** kill -9 of svc and helper, held first: neither can clean up after the other. */
async function killBoth(scene: Scene): Promise<void> {
  const { svc, helper } = await pids(scene);
  assert.ok(helper !== undefined, "the helper runs");
  await scene.box.run(["sh", "-c", `kill -STOP ${svc} ${helper}; kill -KILL ${svc} ${helper}`]);
}

/** Ends the helper alone, and waits until another one has put the block back. */
async function withoutHelper(scene: Scene, signal: "KILL" | "TERM"): Promise<void> {
  const { box } = scene;
  const block = await box.hostsText();
  const { helper } = await pids(scene);
  assert.ok(helper !== undefined, "the helper runs");
  await box.kill(helper, signal);
  await until("another helper runs", async () => {
    const now = (await pids(scene)).helper;
    return now !== undefined && now !== helper;
  });
  await until("the block is there", async () => await box.hostsText() === block);
}

async function asBefore({ box, hostsBefore }: Scene): Promise<void> {
  await until("the hosts file is as before", async () => {
    const now = await box.hosts();
    return now.length === hostsBefore.length && now.every((byte, at) => byte === hostsBefore[at]);
  });
}

for (const mount of ["file", "bind"] as const) {
  const options = { mount, hosts: "127.0.0.1 localhost\r\n# caf\xe9 without a last newline" };

  e2e(
    `kill -9 of svc (${mount}): the helper restores at once, the next command does the rest`,
    async (scene) => {
      const { box, done } = scene;
      await done("teleport", "deployment", "web", "-n", ns, "-f", "env.sh");
      await box.kill((await pids(scene)).svc, "KILL");
      await asBefore(scene);
      await until("the helper has ended", async () => (await box.pidsOf("czfwd")).length === 0);
      assert.equal((await box.sh("ls env.sh")).code, 0, "left behind until the next command");
      await done("session", "list");
      assert.equal((await box.sh("ls env.sh ~/.codezero/state/sessions/*")).stdout, "");
      await done("teleport", "deployment", "web", "-n", ns, "-f", "env.sh");
      await done("teleport", "--clean");
    },
    options,
  );

  e2e(
    `kill -9 of both (${mount}): doctor says what is left, the next command cleans it`,
    async (scene) => {
      const { box, done, czctl } = scene;
      await done("teleport", "deployment", "web", "-n", ns, "-f", "env.sh");
      await killBoth(scene);
      await until("both are gone", async () => (await box.pidsOf("czfwd")).length === 0);
      assert.match(await box.hostsText(), /czctl begin/);
      const said = await czctl("doctor");
      assert.equal(said.code, 1, said.stdout);
      assert.match(said.stdout, /hosts file +A block of a session that is gone/);
      assert.match(said.stdout, /sessions +1 .*env\.sh/);
      const fixed = await czctl("doctor", "--fix");
      assert.equal(fixed.code, 0, fixed.stdout);
      await asBefore(scene);
      assert.equal(
        (await box.sh("ls env.sh ~/.codezero/state/sessions/* ~/.codezero/run/*.sock")).stdout,
        "",
      );

      // Once more without doctor: any command will do.
      await done("teleport", "deployment", "web", "-n", ns, "-f", "env.sh");
      await killBoth(scene);
      await done("status");
      await asBefore(scene);
      assert.equal((await box.sh("ls env.sh")).code, 2);
    },
    options,
  );

  e2e(`kill -9 of both (${mount}), and the next command opens a session`, async (scene) => {
    const { box, done } = scene;
    await done("teleport", "namespace", ns);
    await killBoth(scene);
    await done("teleport", "namespace", ns);
    assert.match((await box.run(["curl", "-sS", "http://sample-project-web/"])).stdout, /^Hello/);
    assert.equal((await box.hostsText()).match(/czctl begin/g)?.length, 1);
    assert.equal(
      (await box.sh("cat ~/hosts.original")).stdout,
      new TextDecoder().decode(scene.hostsBefore),
      "the backup is of the file without any block",
    );
    await done("session", "close");
  }, options);
}

e2e("kill -9 of the helper: svc starts another, names and tunnels stay", async (scene) => {
  const { box, done } = scene;
  await done("teleport", "namespace", ns);
  const { svc } = await pids(scene);
  await withoutHelper(scene, "KILL");
  assert.equal((await pids(scene)).svc, svc);
  assert.match((await box.run(["curl", "-sS", "http://sample-project-web/"])).stdout, /^Hello/);
  await done("session", "close");
});

e2e("SIGTERM of the helper alone: the block comes back", async (scene) => {
  const { done } = scene;
  await done("teleport", "namespace", ns);
  await withoutHelper(scene, "TERM");
  await done("session", "close");
});

e2e(
  "the binary is removed in a session and the helper dies: another czctl closes",
  async (scene) => {
    const { box, cluster, done } = scene;
    const env = { KUBECONFIG: cluster.kubeconfig };
    for (const close of [["teleport", "--clean"], ["session", "close", "--all"], ["stop"]]) {
      await box.sh(`cp ${CZCTL} ~/downloaded`);
      const opened = await box.run([`${box.home}/downloaded`, "teleport", "ns", ns, "-q"], { env });
      assert.equal(opened.code, 0, opened.stderr);
      const { helper } = await pids(scene);
      await box.sh("rm ~/downloaded");
      await box.kill(helper!, "KILL");
      await until("no other helper", async () => (await status(scene)).helper.state === "failed");
      await done(...close);
      assert.deepEqual(await box.hosts(), scene.hostsBefore);
      assert.deepEqual(await box.pidsOf("czfwd"), []);
    }
  },
);

e2e(
  "without a binary and a helper SIGTERM ends svc, and the next czctl cleans up",
  async (scene) => {
    const { box, cluster, done } = scene;
    await box.sh(`cp ${CZCTL} ~/downloaded`);
    const env = { KUBECONFIG: cluster.kubeconfig };
    const opened = await box.run([`${box.home}/downloaded`, "teleport", "ns", ns, "-q"], { env });
    assert.equal(opened.code, 0, opened.stderr);
    const { svc, helper } = await pids(scene);
    await box.sh("rm ~/downloaded");
    await box.kill(helper!, "KILL");
    await box.kill(svc, "TERM");
    await until("it has ended", async () => (await box.pidsOf("czfwd")).length === 0, 25_000);
    assert.match((await done("teleport", "--clean")).stderr, /Took a block that was left behind/);
  },
);

e2e("when the last session is closed, nothing of czctl runs any more", async (scene) => {
  const { box, done } = scene;
  for (const close of [["teleport", "--clean"], ["session", "close"], ["stop"]]) {
    await done("teleport", "namespace", ns);
    await done(...close);
    assert.deepEqual(await box.pidsOf("czfwd"), [], close.join(" "));
  }
  await done("teleport", "namespace", ns, "--", "true");
  assert.deepEqual(await box.pidsOf("czfwd"), []);
  await done("start");
  await done("stop");
  assert.deepEqual(await box.pidsOf("czfwd"), []);
});

e2e("an interrupt that comes before the session was asked for keeps no svc", async (scene) => {
  const { box, done } = scene;
  await done("teleport", "namespace", ns);
  await done("teleport", "--clean");
  const svc = box.start([`${box.home}/.codezero/bin/czfwd/czfwd`, "svc"]);
  await until(
    "it answers",
    async () => (await box.sh("test -S ~/.codezero/run/czfwd.sock")).code === 0,
  );
  // What czctl sends then.
  const said = await box.sh(
    "curl -s --unix-socket ~/.codezero/run/czfwd.sock -X DELETE http://localhost/v1/holders/nobody",
  );
  assert.deepEqual(JSON.parse(said.stdout), { type: "done", ending: true });
  await until("it has ended", async () => (await box.pidsOf("czfwd")).length === 0, 2_500);
  await svc.output();
});

e2e(
  "cp ~/hosts.original /etc/hosts in the middle is survived, and edits outside are kept",
  async (scene) => {
    const { box, done } = scene;
    await done("teleport", "namespace", ns);
    const withBlock = await box.hostsText();
    await box.sh("cp ~/hosts.original /etc/hosts");
    await until("the block is put back", async () => await box.hostsText() === withBlock);
    await box.sh(
      `sed -i '1i 10.9.8.7 added.by.user' /etc/hosts; echo '10.9.8.6 added.behind' >> /etc/hosts`,
    );
    await box.sh("sed -i '/sample-project-echo/d' /etc/hosts");
    await until(
      "the block is whole again",
      async () => (await box.hostsText()).includes("sample-project-echo"),
    );
    await done("session", "close");
    const text = await box.hostsText();
    assert.equal(
      text,
      "10.9.8.7 added.by.user\n" + new TextDecoder().decode(scene.hostsBefore) +
        "10.9.8.6 added.behind\n",
    );
    await box.sh("sed -i '/added/d' /etc/hosts");
  },
);

e2e("doctor finds nothing wrong during a healthy session", async ({ done }) => {
  await done("teleport", "namespace", ns);
  const said = await done("doctor");
  assert.match(said.stdout, /czfwd +Running, 1 open session/);
  assert.match(said.stdout, /hosts file +As it should be/);
  await done("session", "close");
});

e2e(
  "SIGTERM while a session is opening undoes it, and does not wait for the cluster",
  async (scene) => {
    const { box, cluster, done } = scene;
    await done("start");
    const { pid } = await status(scene);
    await cluster.control.hang({ hung: true });
    const opening = box.start([CZCTL, "teleport", "namespace", ns], {
      env: { KUBECONFIG: cluster.kubeconfig },
    });
    await until("it is opening", async () => (await status(scene)).opening === 1);
    await box.kill(pid, "TERM");
    await until("svc has ended", async () => (await box.pidsOf("czfwd")).length === 0, 5_000);
    assert.notEqual((await opening.output()).code, 0);
    await cluster.control.hang({ hung: false });
  },
);
