/** Bad input: one clear error, the exit code of the design, nothing left behind. */
import assert from "node:assert/strict";
import { service } from "../cluster/mod.ts";
import { CZCTL, type Output, until } from "./sandbox.ts";
import { e2e, type Scene } from "./scene.ts";

const ns = "sample-project";

/** One error line, perhaps a hint, nothing on stdout, no stack; and nothing was left. */
async function refuses(scene: Scene, output: Output, code: number, error: RegExp, hint?: RegExp) {
  const said = `exit ${output.code}\n${output.stdout}\n${output.stderr}`;
  assert.equal(output.code, code, said);
  assert.match(output.stderr, error, said);
  if (hint) assert.match(output.stderr, hint, said);
  assert.equal(output.stderr.match(/^error: /gm)?.length, 1, said);
  assert.doesNotMatch(output.stderr, /^ +at |this is a bug/im, said);
  await until("no process is left", async () => (await scene.box.pidsOf("czfwd")).length === 0);
  assert.deepEqual(await scene.box.hosts(), scene.hostsBefore);
  const left = await scene.box.sh(
    "ls ~/.codezero/state/sessions 2>/dev/null; ls ~/*.sh 2>/dev/null",
  );
  assert.equal(left.stdout, "", "no session record and no env file");
}

e2e("a kubeconfig that is missing, broken or of another world", async (scene) => {
  const { box } = scene;
  const run = (args: string[], env: Record<string, string> = {}) =>
    box.czctl(["teleport", "namespace", ns, ...args], { env });
  await refuses(scene, await run([]), 1, /kubeconfig/i);
  await refuses(scene, await run(["-k", "nowhere.yaml"]), 1, /nowhere\.yaml/);
  await box.sh("printf 'apiVersion: v1\\nclusters: [\\n  - name: x' > broken.yaml");
  await refuses(scene, await run(["-k", "broken.yaml"]), 1, /broken\.yaml/);
  await box.sh("echo 'just text' > text.yaml");
  await refuses(scene, await run(["-k", "text.yaml"]), 1, /text\.yaml/);
  const KUBECONFIG = scene.cluster.kubeconfig;
  await refuses(scene, await run(["--context", "amdin"], { KUBECONFIG }), 1, /amdin.*admin/s);
});

e2e("a cluster that is not there, not trusted, or says no", async (scene) => {
  const { box, cluster } = scene;
  const config = await Deno.readTextFile(cluster.kubeconfig);
  const { port } = new URL(cluster.url);
  let n = 0;
  const withServer = async (change: (text: string) => string) => {
    const path = `${box.home}/config-${n++}.yaml`;
    await Deno.writeTextFile(path, change(config));
    return await box.czctl(["teleport", "namespace", ns], { env: { KUBECONFIG: path } });
  };
  const server = new RegExp(`https://[\\w.]+:${port}`, "g");
  await refuses(
    scene,
    await withServer((text) => text.replace(server, "https://127.0.0.1:1")),
    3,
    /refused/i,
  );
  await refuses(
    scene,
    await withServer((text) => text.replace(server, "https://no-such-host.invalid:6443")),
    3,
    /no-such-host\.invalid/,
  );
  await refuses(
    scene,
    await withServer((text) =>
      text.replace(/certificate-authority-data: .*/g, "").replace(
        /"certificate-authority-data": *"[^"]*",?/g,
        "",
      )
    ),
    3,
    /certificate/i,
  );
  await cluster.control.revokeTokens({ user: "token-user" });
  await refuses(
    scene,
    await scene.czctl("teleport", "namespace", ns, "--context", "token"),
    3,
    /401|unauthorized|credentials/i,
  );
  await refuses(
    scene,
    await scene.czctl("teleport", "namespace", ns, "--context", "none"),
    3,
    /list.*services/i,
  );
});

e2e("a cluster that accepts and never answers is given up after a while", async (scene) => {
  await scene.cluster.control.hang({ hung: true });
  await refuses(scene, await scene.czctl("teleport", "namespace", ns), 3, /(10|15|20|30) s|time/i);
  await scene.cluster.control.hang({ hung: false });
});

e2e("names that are not there, with near matches", async (scene) => {
  const { czctl } = scene;
  await refuses(
    scene,
    await czctl("teleport", "namespace", "sample-projcet"),
    1,
    /sample-projcet.*not found/i,
    /sample-project/,
  );
  await refuses(
    scene,
    await czctl("teleport", "deployment", "wbe", "-n", ns),
    1,
    /"wbe" not found/,
    /"?web"?/,
  );
  await refuses(scene, await czctl("teleport", "deployment", "web", "-n", "nope"), 1, /not found/);
  const forgotten = [/namespace "default"/, /add -n NAMESPACE/] as const;
  await refuses(scene, await czctl("teleport", "deployment", "web"), 1, ...forgotten);
  await refuses(scene, await czctl("environment", "deployment", "web"), 1, ...forgotten);
  await refuses(scene, await czctl("teleport", "deploymnt", "web", "-n", ns), 2, /deploymnt/);
  await refuses(scene, await czctl("teleport", "deployment", "-n", ns), 2, /name/i);
  await refuses(scene, await czctl("teleprot", "deployment", "web"), 2, /teleprot/);
  await refuses(scene, await czctl("teleport", "namespace", ns, "--nonsense"), 2, /--nonsense/);
});

e2e("a namespace without services, or none left, or none that can be tunnelled", async (scene) => {
  const { cluster, czctl } = scene;
  await cluster.control.apply({
    objects: [{ apiVersion: "v1", kind: "Namespace", metadata: { name: "empty" } }],
  });
  await refuses(scene, await czctl("teleport", "namespace", "empty"), 1, /"empty" has no services/);
  await refuses(
    scene,
    await czctl("teleport", "namespace", ns, "--exclude", "*"),
    1,
    /no service/i,
    /kubectl get services -n sample-project/,
  );
  await cluster.control.apply({
    objects: [
      service("empty", "ext", undefined, [], {
        type: "ExternalName",
        externalName: "api.example.com",
      }),
    ],
  });
  await refuses(
    scene,
    await czctl("teleport", "namespace", "empty"),
    1,
    /ExternalName|api\.example\.com/,
  );
});

e2e("not root where root is needed: exit code 4 and the next command", async (scene) => {
  const { box, cluster } = scene;
  await box.sh("useradd --create-home visitor");
  const KUBECONFIG = "/home/visitor/kubeconfig";
  await box.sh(`install -o visitor ${cluster.kubeconfig} ${KUBECONFIG}`);
  const output = await box.czctl(["teleport", "namespace", ns, "--context", "token"], {
    user: "visitor",
    env: { KUBECONFIG },
  });
  await refuses(scene, output, 4, /root/, /czctl start/);
});

e2e("a hosts file that cannot be written", async (scene) => {
  const { box, czctl } = scene;
  await box.sh("mount --bind /etc/hosts /etc/hosts && mount -o remount,ro,bind /etc/hosts");
  await refuses(scene, await czctl("teleport", "namespace", ns), 1, /\/etc\/hosts/);
});

e2e("an env file that cannot be written is told before any tunnel is open", async (scene) => {
  const { box, czctl } = scene;
  const open = (file: string) => czctl("teleport", "deployment", "web", "-n", ns, "-f", file);
  await refuses(scene, await open("no/such/folder/env.sh"), 1, /no\/such\/folder/);
  await refuses(scene, await open("/etc"), 1, /folder/);
  await box.sh("echo mine > mine.txt");
  await refuses(scene, await open("mine.txt"), 1, /mine\.txt.*did not write/, /--force/);
  assert.equal((await box.sh("cat mine.txt")).stdout, "mine\n");
  await refuses(scene, await czctl("teleport", "namespace", ns, "-f", "env.sh"), 2, /namespace/);
});

e2e(
  "a port in use by another program is reported, the rest works, and it is taken when free",
  async ({ box, done }) => {
    // Its address is remembered, so the next session will want the same.
    await done("teleport", "namespace", ns);
    const address = (await box.run(["getent", "hosts", "sample-project-web"])).stdout.split(
      " ",
    )[0]!;
    await done("session", "close");
    await until("svc has ended", async () => (await box.pidsOf("czfwd")).length === 0);
    const blocker = box.start([
      "node",
      "-e",
      `require("net").createServer().listen(80, "${address}")`,
    ]);
    await until(
      "the port is taken",
      async () => (await box.run(["curl", "-s", "-m", "1", `http://${address}/`])).code !== 7,
    );
    const opened = await done("teleport", "namespace", ns);
    assert.match(opened.stdout + opened.stderr, new RegExp(`${address}:80 .*another program`));
    assert.match(
      (await box.run(["curl", "-sS", "http://sample-project-server:3000/"])).stdout,
      /^Hello/,
    );
    const blocked = /! sample-project\/sample-project-web:80 cannot be bound: .*another program/;
    assert.match((await done("session", "list", "--details")).stdout, blocked);
    assert.match((await done("status")).stdout, blocked);
    assert.match(
      (await done("doctor")).stdout,
      /! +tunnels +sample-project\/sample-project-web:80 is not forwarded: .*another program.*\n +mend: End what listens there/,
    );
    for (const pid of await box.pidsOf("node")) await box.kill(pid, "KILL");
    await blocker.output();
    await until(
      "the port is bound",
      async () =>
        (await box.run(["curl", "-sS", "-m", "2", "http://sample-project-web/"])).stdout.startsWith(
          "Hello",
        ),
    );
    await done("session", "close");
  },
);

e2e("Ctrl-C while a session opens undoes what was done: exit code 130", async (scene) => {
  const { box, cluster, hostsBefore } = scene;
  await cluster.control.delay({ ms: 400 });
  const child = box.start([CZCTL, "teleport", "namespace", ns], {
    env: { KUBECONFIG: cluster.kubeconfig },
  });
  await until("svc is at work", async () => (await box.pidsOf("czfwd")).length > 0);
  for (const pid of await box.pidsOf("czctl")) await box.kill(pid, "INT");
  const { code } = await child.output();
  assert.equal(code, 130);
  await until("svc has ended", async () => (await box.pidsOf("czfwd")).length === 0);
  assert.deepEqual(await box.hosts(), hostsBefore);
});
