/** Machines with something odd about them: plain words, and nothing spoiled. */
import assert from "node:assert/strict";
import { sessions } from "./facts.ts";
import { CZCTL, until } from "./sandbox.ts";
import { e2e } from "./scene.ts";
import { withUser } from "./user.ts";

const ns = "sample-project";

e2e("odd things in the state folder stop neither svc nor doctor", async (scene) => {
  const { box, czctl } = scene;
  await box.sh(`
    mkdir -p ~/.codezero/state/sessions/folder.json/full
    echo '{"version": 99}' > ~/.codezero/state/sessions/newer.json
    echo garbage > ~/.codezero/state/addresses.json`);
  const said = await czctl("doctor");
  assert.match(said.stdout, /sessions +2 sessions ended without cleaning up/);
  assert.equal(said.code, 1, said.stderr);
  await scene.done("teleport", "ns", ns);
  await scene.done("session", "close");
});

e2e("a svc that cannot come up says why, and does not stay", async (scene) => {
  const { box } = scene;
  await box.sh(
    "mkdir -pm 700 ~/.codezero/run && mount -t tmpfs -o ro,mode=700 none ~/.codezero/run",
  );
  const refused = await scene.czctl("teleport", "ns", ns);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^error: Cannot start czfwd: Read-only .*czfwd\.lock/m);
  await until("it has ended", async () => (await box.pidsOf("czfwd")).length === 0);
  await box.sh("umount ~/.codezero/run");
  await scene.done("teleport", "ns", ns);
  await scene.done("stop");
});

e2e("a folder in the place of the backup is named, with the way out", async (scene) => {
  const { box, czctl } = scene;
  await box.sh("mkdir ~/hosts.original");
  const refused = await czctl("teleport", "ns", ns);
  assert.equal(refused.code, 1);
  const path = `${box.home}/hosts.original`;
  assert.match(
    refused.stderr,
    new RegExp(`: it is a folder\n  Move it away: mv ${path} ${path}\\.old\n`),
  );
  assert.match((await czctl("doctor")).stdout, new RegExp(`mend: Move it away: mv ${path} `));
  await box.sh("mv ~/hosts.original ~/hosts.original.old");
  await scene.done("teleport", "ns", ns);
  await scene.done("stop");
});

e2e("a second HOME of one user is refused while the first has a session", async (scene) => {
  const { box, cluster } = scene;
  await box.sh("mkdir other");
  const other = (...args: string[]) =>
    box.czctl(args, { env: { KUBECONFIG: cluster.kubeconfig, HOME: `${box.home}/other` } });
  await scene.done("teleport", "ns", ns);
  const during = await box.hostsText();
  const first = (await box.pidsOf("czfwd")).length;
  assert.match((await other("doctor")).stdout, /hosts file +Another czfwd of this user/);
  assert.equal((await other("status")).code, 0);
  const refused = await other("teleport", "ns", ns);
  assert.equal(refused.code, 1, refused.stdout);
  assert.match(refused.stderr, /^error: Cannot edit \/etc\/hosts: another czfwd of this user/m);
  assert.match(refused.stderr, /killall czfwd/);
  await until(
    "the second one's has ended",
    async () => (await box.pidsOf("czfwd")).length === first,
  );
  const nothing = await other("teleport", "--clean");
  assert.equal(nothing.code, 1, "it has cleaned nothing up");
  assert.match(nothing.stderr, /^error: Cannot edit \/etc\/hosts: another czfwd .*\n.*killall/m);
  assert.equal(await box.hostsText(), during, "the first session's names are as they were");
  await scene.done("session", "close");
  assert.equal((await other("teleport", "ns", ns, "-q")).code, 0);
  assert.equal((await other("session", "close", "-q")).code, 0);
  await until("no lock is left", async () => (await box.sh("ls /run/czctl")).code === 2);
});

e2e(
  "a HOME that another container has, too: its czfwd is not taken for this one's",
  async (scene) => {
    const { box, cluster, done } = scene;
    const env = { KUBECONFIG: cluster.kubeconfig };
    await done("teleport", "ns", ns);
    const during = await box.hostsText();
    // The first has another network, the second the same one and an /etc of its own.
    for (
      const into of [
        "unshare --net sh -c",
        `cp -a /etc ~/etc; unshare --mount sh -c 'mount --bind ~/etc /etc; sh -c "$0"'`,
      ]
    ) {
      const refused = await box.sh(`${into} "${CZCTL} teleport deploy/web -n ${ns}"`, { env });
      assert.equal(refused.code, 1, refused.stdout);
      assert.match(refused.stderr, /^error: Cannot use the czfwd of this HOME: .*\n.*HOME=FOLDER/m);
      const said = await box.sh(`${into} "${CZCTL} doctor"`, { env });
      assert.match(said.stdout, /czfwd +The czfwd of this HOME runs in another container/);
    }
    assert.equal(await box.hostsText(), during);
    assert.equal((await sessions(scene)).length, 1);
    await done("session", "close");
  },
);

e2e("a hosts file with broken markers does not become the backup", async (scene) => {
  const { box } = scene;
  const good = await box.hostsText();
  await scene.done("teleport", "ns", ns);
  await scene.done("session", "close");
  await box.writeHosts(`${good}# czctl begin 0 - x\n127.1.31.1 a.b\n`);
  const refused = await scene.czctl("teleport", "ns", ns);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /no end line \(line 3\)\n.*sudo cp ~\/hosts\.original/);
  assert.equal(
    (await box.sh("cat ~/hosts.original && cp ~/hosts.original /etc/hosts")).stdout,
    good,
  );
  assert.match((await scene.done("doctor", "--fix")).stdout, /Nothing is wrong/);
});

e2e(
  "who deletes the markers of a block alone is told of the lines that are left",
  async (scene) => {
    const { box, done } = scene;
    const good = await box.hostsText();
    await box.writeHosts(
      `${good}# czctl begin 0 - x\n127.1.31.1 a.b\n127.1.31.2 c.d\n10.0.0.1 e\n`,
    );
    assert.match((await scene.czctl("doctor")).stdout, /mend: Delete lines 3 to 5 of \/etc\/hosts/);
    await box.sh("sed -i /czctl/d /etc/hosts");
    const left = await done("doctor", "--fix");
    assert.match(left.stdout, /! +hosts file +Addresses of 127\.1\.0\.0\/16 .*\(lines 3 and 4\)/);
    assert.doesNotMatch(left.stdout, /Nothing is wrong/);
    assert.equal(
      await box.hostsText(),
      `${good}127.1.31.1 a.b\n127.1.31.2 c.d\n10.0.0.1 e\n`,
      "they may be somebody's own",
    );
    await box.writeHosts(good);
    assert.match((await done("doctor")).stdout, /hosts file +As it should be/);
  },
);

e2e("a full disk is no bug of czctl", async (scene) => {
  const { box } = scene;
  await box.sh(`
    mkdir -p ~/.codezero/state && mount -t tmpfs -o size=8k tmpfs ~/.codezero/state
    head -c 100000 /dev/zero > ~/.codezero/state/fill`);
  const refused = await scene.czctl("teleport", "ns", ns);
  assert.equal(refused.code, 1, refused.stdout);
  assert.match(refused.stderr, /^error: Cannot .*: .*[Nn]o space/m);
  assert.doesNotMatch(refused.stderr, /bug/);
  await scene.done("stop");
  await box.sh("umount ~/.codezero/state");
});

e2e("nohup holds for czctl and for the program it runs", async (scene) => {
  const { box, cluster } = scene;
  const env = { KUBECONFIG: cluster.kubeconfig };
  const command = [CZCTL, "teleport", "ns", ns, "-q", "--", "sleep", "31.5"];
  const one = async (name: string) => {
    const pids = await box.pidsOf(name);
    return pids.length === 1 ? pids[0] : undefined;
  };
  for (const nohup of [true, false]) {
    const child = box.start(nohup ? ["nohup", ...command] : command, { env });
    await until("the program runs", async () => await one("sleep") !== undefined);
    const [program, czctl] = [await one("sleep"), await one("czctl")];
    await box.kill(czctl!, "HUP");
    if (nohup) {
      await box.kill(program!, "HUP");
      await box.kill(czctl!, "TERM");
    }
    const { code } = await child.output();
    // 128 + SIGTERM, and 128 + SIGHUP.
    assert.equal(code, nohup ? 143 : 129);
    assert.deepEqual(await box.hosts(), scene.hostsBefore);
  }
});

e2e("who stops reading the output does not stop what was asked for", async (scene) => {
  const { box, cluster, done } = scene;
  const sh = (script: string) =>
    box.run(["bash", "-c", script, CZCTL], { env: { KUBECONFIG: cluster.kubeconfig } });
  for (const out of ["2>&1 | true", "| true", "2>&1 >/dev/null | true", "-o json | true"]) {
    const opened = await sh(`"$0" teleport ns ${ns} ${out}; exit "\${PIPESTATUS[0]}"`);
    assert.equal(opened.code, 0, opened.stderr);
    assert.equal((await sessions(scene)).length, 1, out);
    const closed = await sh(`"$0" teleport --clean 2>&1 | true; exit "\${PIPESTATUS[0]}"`);
    assert.equal(closed.code, 0, closed.stderr);
    assert.deepEqual(await box.hosts(), scene.hostsBefore);
  }
  assert.equal((await sh(`"$0" teleport ns absent 2>&1 | true; exit "\${PIPESTATUS[0]}"`)).code, 1);
  await done("stop");
});

e2e("a session whose output is lost has failed, and is undone", async (scene) => {
  const { box, cluster, done } = scene;
  for (const flags of ["", "-q -o json"]) {
    const lost = await box.sh(`${CZCTL} teleport ns ${ns} ${flags} > /dev/full`, {
      env: { KUBECONFIG: cluster.kubeconfig },
    });
    assert.equal(lost.code, 1, lost.stderr);
    assert.match(lost.stderr, /^error: Cannot write the standard output: No space left/m);
    assert.deepEqual(await sessions(scene), []);
    assert.deepEqual(await box.hosts(), scene.hostsBefore);
  }
  await done("stop");
});

e2e("without /etc/hosts: that it is missing, and how to make it", async (scene) => {
  const { box } = scene;
  await box.sh("mv /etc/hosts /etc/hosts.away");
  const refused = await scene.czctl("teleport", "ns", ns);
  assert.equal(refused.code, 1, refused.stdout);
  assert.match(
    refused.stderr,
    /^error: Cannot read \/etc\/hosts: it does not exist\n.*touch \/etc\/hosts$/m,
  );
  assert.match(
    (await scene.czctl("doctor")).stdout,
    /hosts file +.*does not exist\n +mend: sudo touch \/etc\/hosts/,
  );
  await box.sh("mv /etc/hosts.away /etc/hosts");
});

e2e("root without CAP_NET_BIND_SERVICE: which ports that costs, and the way out", async (scene) => {
  const { box, cluster, done } = scene;
  const czctl = (...args: string[]) =>
    box.run(["setpriv", "--bounding-set=-net_bind_service", CZCTL, ...args], {
      env: { KUBECONFIG: cluster.kubeconfig },
    });
  const opened = await czctl("teleport", "ns", ns);
  assert.equal(opened.code, 0, opened.stderr);
  assert.match(opened.stderr, /:80 .*root has no CAP_NET_BIND_SERVICE here; .*--cap-add/);
  const said = await czctl("doctor");
  assert.equal(said.code, 0, said.stdout);
  assert.match(said.stdout, /! +low ports +.*CAP_NET_BIND_SERVICE.*\n +mend: .*--cap-add/);
  assert.doesNotMatch(said.stdout, /End what listens there/);
  await done("session", "close");
});

e2e("doctor says that the loopback interface is down", async ({ box, cluster }) => {
  // As long as no interface has ever been up, the kernel lets anybody bind anything.
  const script = "ip link add type veth; ip addr add 10.1.1.1/24 dev veth0; " +
    "ip link set veth0 up; exec $0 doctor";
  const said = await box.run(["unshare", "--net", "sh", "-c", script, CZCTL], {
    env: { KUBECONFIG: cluster.kubeconfig },
  });
  assert.equal(said.code, 1, said.stdout);
  assert.match(
    said.stdout,
    /loopback +Nothing can listen on 127\.1\.x\.y: .* is down\n +mend: .*ip link set lo up/,
  );
});

e2e("doctor says that the hosts file is on a read-only file system", async (scene) => {
  const { box } = scene;
  await box.sh("mount --bind /etc/hosts /etc/hosts && mount -o remount,ro,bind /etc/hosts");
  const said = await scene.czctl("doctor");
  assert.equal(said.code, 1, said.stdout);
  assert.match(said.stdout, /hosts file +\/etc\/hosts cannot be written: .*read-only.*\n.*findmnt/);
});

e2e("doctor says that HOME cannot be written, why, and where to look", async (scene) => {
  const { box, czctl, done } = scene;
  const { home } = box;
  await done("start");
  await done("stop");
  const problem = async (folder: string, reason: string, mend: string) => {
    const said = await czctl("doctor");
    assert.equal(said.code, 1, said.stdout + said.stderr);
    const text = `home folder +czctl cannot write in "${folder}": ${reason}.*\n +mend: .*${mend}`;
    assert.match(said.stdout, new RegExp(`${text} ${folder}\n`, "i"));
  };
  await box.sh(`mount --bind ${home} ${home} && mount -o remount,bind,ro ${home}`);
  await problem(home, "read-only file system", "findmnt -T");
  await box.sh(`umount ${home} && mount -t tmpfs -o size=8k tmpfs ${home}/.codezero/state`);
  await box.sh(`head -c 100000 /dev/zero > ${home}/.codezero/state/fill`);
  await problem(`${home}/.codezero/state`, "no space left on device", "df -h");
  await box.sh(`umount ${home}/.codezero/state`);
  assert.doesNotMatch((await done("doctor")).stdout, /home folder/);
  assert.equal((await box.sh("find ~ -name '*trial*'")).stdout, "");

  const user = await withUser(scene, true);
  await box.sh(`chown 0 ${user.home}`);
  const foreign = await user.czctl("doctor");
  assert.match(
    foreign.stdout,
    /home folder +czctl cannot write in "\S+": permission denied\n.*ls -ld/,
  );
});

e2e("doctor looks at the cluster it is told", async (scene) => {
  const { box, cluster } = scene;
  assert.match(
    (await scene.done("doctor", "--context", "token")).stdout,
    /answers \(context token\)/,
  );
  await box.sh(
    `sed 's#"server": *"[^"]*"#"server":"https://127.0.0.1:1"#' ${cluster.kubeconfig} > away`,
  );
  const said = await scene.czctl("doctor", "-k", "away");
  assert.equal(said.code, 1, said.stdout);
  assert.match(said.stdout, /cluster +Cannot reach the cluster https:\/\/127\.0\.0\.1:1:/);
});

e2e("a HOME or a folder the user may not write in: plain words and a next step", async (scene) => {
  await scene.box.sh("mkdir -p /home/closed/.codezero && chmod 700 /home/closed");
  const { czctl } = await withUser(scene, true, { env: { HOME: "/home/closed" } });
  const foreign = await czctl("teleport", "ns", ns);
  assert.match(foreign.stderr, /^error: Cannot use "\/home\/closed\/.codezero".*\n.*sudo -E/);
  const none = await withUser(scene, true, { env: { HOME: "/nonexistent" } });
  const started = await none.czctl("start");
  assert.equal(started.code, 1, started.stdout);
  assert.equal((await scene.box.sh("ls /usr/local/libexec")).stdout, "", "no half of it is done");
  assert.match(
    started.stderr,
    /^error: Cannot use the folder "\/nonexistent\/.codezero\/state": permission denied\n.*HOME/,
  );
  const file = await scene.czctl("teleport", "deployment", "web", "-n", ns, "-f", "/proc/env.sh");
  assert.match(file.stderr, /^error: Cannot write "\/proc\/env.sh": .*\n.*that you can write to/m);
});

e2e("no folder that root may write in: which, and what to do in a container", async (scene) => {
  const { box } = scene;
  await box.sh("for f in /run /var/lib; do mount -o remount,bind,ro $f; done");
  const refused = await scene.czctl("teleport", "ns", ns);
  assert.equal(refused.code, 1, refused.stdout);
  assert.match(refused.stderr, /\/run\/czctl.*\n {2}Let root write .*--tmpfs \/run/);
  assert.match((await scene.czctl("doctor")).stdout, /helper +.*\n +mend: Let root write/);
});
