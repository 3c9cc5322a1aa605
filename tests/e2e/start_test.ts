/** Root once: `czctl start` through sudo, then sessions of an ordinary user without it. */
import assert from "node:assert/strict";
import { status } from "./facts.ts";
import { CZCTL, until } from "./sandbox.ts";
import { e2e } from "./scene.ts";
import { USER, withUser } from "./user.ts";

const ns = "sample-project";

e2e(
  "start asks for root once; sessions and port 80 need none; --uninstall leaves nothing",
  async (scene) => {
    const { box } = scene;
    const { czctl, done } = await withUser(scene, true);
    const before = await czctl("teleport", "ns", ns, "--context", "token");
    assert.equal(before.code, 4, before.stderr);
    assert.match(before.stderr, /czctl start/);

    const started = await done("start");
    assert.match(started.stdout, /^czctl needs root once, to install a small helper/);
    const copy = "/usr/local/libexec/czctl/12345/czfwd";
    assert.ok(started.stdout.includes(copy));
    assert.equal((await box.sh(`stat -c '%U %G %a' ${copy}`)).stdout, `root ${USER} 4750\n`);
    assert.doesNotMatch((await done("start")).stdout, /needs root/);

    // From here on no sudo.
    await box.sh(`rm /etc/sudoers.d/${USER}`);
    await done("teleport", "namespace", ns, "--context", "token");
    const curl = await box.sh("curl -sS -m 10 http://sample-project-web.sample-project/");
    assert.match(curl.stdout, /^Hello from web-/, curl.stderr);
    const { helper } = await status({ done });
    assert.equal(helper.state, "running");
    assert.equal((await box.sh(`stat -c %U /proc/${helper.pid}`)).stdout, "root\n");
    await done("session", "close", "--all");
    assert.deepEqual(await box.hosts(), scene.hostsBefore);

    await box.sh(`echo '${USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/${USER}`);
    const stopped = await done("stop", "--uninstall");
    assert.ok(stopped.stdout.includes(copy));
    assert.equal((await box.sh(`test -e ${copy}`)).code, 1);
    await until("svc has ended", async () => (await box.pidsOf("czfwd")).length === 0);
  },
);

e2e(
  "start with another prefix moves the copy, under an open session too; --uninstall forgets it",
  async (scene) => {
    const { box } = scene;
    const { done } = await withUser(scene, true);
    const copies = async () =>
      (await box.sh("find /usr/local -name czfwd -type f | sort")).stdout.split("\n").slice(0, -1);
    const copyBelow = (prefix: string) => `${prefix}/libexec/czctl/12345/czfwd`;
    await done("start", "--prefix", "/usr/local/a");
    assert.deepEqual(await copies(), [copyBelow("/usr/local/a")]);
    await done("teleport", "namespace", ns, "--context", "token");

    const moved = await done("start", "--prefix", "/usr/local");
    assert.match(moved.stdout, /^The one below "\/usr\/local\/a" is removed\.$/m);
    assert.deepEqual(await copies(), [copyBelow("/usr/local")]);
    assert.equal((await box.sh("ls -A /usr/local/a")).stdout, "", "no folder of it is left");

    // The next helper is started from the new place.
    const block = await box.hostsText();
    const { helper } = await status({ done });
    await box.kill(helper.pid!, "KILL");
    await until("another helper runs", async () => {
      const now = (await status({ done })).helper;
      return now.state === "running" && now.pid !== helper.pid;
    });
    await until("the block is there", async () => await box.hostsText() === block);

    await done("start", "--prefix", "/usr/local/a");
    await done("stop", "--uninstall");
    assert.deepEqual(await copies(), []);
    await done("start");
    assert.deepEqual(await copies(), [copyBelow("/usr/local")]);
    await done("stop", "--uninstall");
    assert.deepEqual(await copies(), []);
  },
);

e2e("a copy that cannot be removed safely stays, and start elsewhere says so", async (scene) => {
  const { box } = scene;
  const { czctl, done } = await withUser(scene, true);
  await done("start", "--prefix", "/usr/local/a");
  await done("stop");
  await box.sh("mkdir /usr/local/b; mv /usr/local/a/libexec /usr/local/b");
  await box.sh("ln -s /usr/local/b/libexec /usr/local/a/libexec");
  const refused = await czctl("start");
  assert.notEqual(refused.code, 0, "the remembered place is a link");
  const elsewhere = await czctl("start", "--prefix", "/usr/local/c");
  assert.notEqual(elsewhere.code, 0);
  assert.match(elsewhere.stderr, /Cannot remove the helper "\S+": "\S+\/a\/libexec" is a link/);
  assert.equal(
    (await box.sh("find /usr/local -name czfwd")).stdout,
    "/usr/local/b/libexec/czctl/12345/czfwd\n",
  );
});

e2e("a helper that root installed by hand is the one that is used", async (scene) => {
  const { box } = scene;
  const { done } = await withUser(scene, false);
  await box.sh(`${CZCTL} elevate install 12345:12345 /usr/local/a`);
  await done("start", "--prefix", "/usr/local/a");
  await done("teleport", "namespace", ns, "--context", "token");
  assert.equal((await status({ done })).helper.state, "running");
  await done("stop");
});

e2e("what root cannot do is one error: its own, with -o json too", async (scene) => {
  const { box } = scene;
  const { czctl } = await withUser(scene, true);
  await box.sh("mkdir /usr/local/n && mount -t tmpfs -o nosuid,mode=755 tmpfs /usr/local/n");
  const cases: [string, RegExp][] = [
    [
      "/usr/local/n",
      /^error: Cannot install the helper: set-uid has no effect in "\/usr\/local\/n"/m,
    ],
    [`/home/${USER}`, /^error: Cannot install the helper: "\S+" is a link, not root's/m],
    ["/etc/passwd", /^error: Cannot install the helper: /m],
  ];
  for (const [prefix, reason] of cases) {
    const refused = await czctl("start", "--prefix", prefix);
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, reason);
    assert.equal(refused.stderr.match(/error:/g)?.length, 1, refused.stderr);
    assert.match(refused.stderr, /^error: .*\n {2}Name another place with: .*--prefix FOLDER\n$/m);
    const { code, stdout } = await czctl("start", "--prefix", prefix, "-o", "json");
    assert.equal(code, 1);
    const { error } = JSON.parse(stdout);
    assert.match(`error: ${error.message}`, reason);
    assert.match(error.hint, /--prefix FOLDER/);
  }
  await box.sh("umount /usr/local/n");
});

e2e(
  "start without sudo's leave: exit code 4, what root has to run, nothing installed",
  async (scene) => {
    const { czctl } = await withUser(scene, false);
    const refused = await czctl("start");
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(
      refused.stderr,
      /error: Cannot become root: sudo refused, or could not run czctl\n {2}Have root run: \S+czctl elevate install 12345:12345 \/usr\/local/,
    );
    assert.equal((await scene.box.sh("test -e /usr/local/libexec/czctl")).code, 1);
    assert.equal((await scene.box.pidsOf("czfwd")).length, 0);
  },
);

e2e("a ~/.codezero that root or a chmod made unusable: one error, no stack", async (scene) => {
  const { box } = scene;
  const { czctl } = await withUser(scene, false);
  const home = `/home/${USER}`;
  await box.sh(`mkdir -p ${home}/.codezero/state`);
  for (const command of [["status"], ["teleport", "ns", ns, "--context", "token"], ["doctor"]]) {
    const { code, stderr } = await czctl(...command);
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /error: Cannot use "\S+\/\.codezero": it belongs to user 0\n {2}Take it back: sudo chown -R 12345 \S+\n$/,
    );
    assert.doesNotMatch(stderr, /bug in czctl/);
  }
  await box.sh(`chown -R 12345 ${home}/.codezero && chmod 000 ${home}/.codezero/state`);
  const closed = await czctl("status");
  assert.match(closed.stderr, /state": its owner may not read and write it\n {2}Allow it: chmod/);
  await box.sh(`chmod 700 ${home}/.codezero/state`);
  assert.equal((await czctl("status")).code, 0);
});
