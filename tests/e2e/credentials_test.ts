/** Log-ins that change while a session is open, and who runs the programs that give them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { status, untilAnswer } from "./facts.ts";
import { CZCTL, until } from "./sandbox.ts";
import { e2e, type Scene } from "./scene.ts";
import { follows, ns, shop } from "./shop.ts";
import { UID, USER, withUser } from "./user.ts";

/** The token the cluster's exec plugin would give now. */
async function currentToken({ cluster }: Scene): Promise<string> {
  const text = await Deno.readTextFile(join(cluster.folder, "exec-exec-user.json"));
  return JSON.parse(text).status.token;
}

e2e("an exec plugin runs as the user, where and as the command was typed", async (scene) => {
  const { box, cluster } = scene;
  const who = `/home/${USER}/work`;
  const me = await withUser(scene, true, { cwd: who, env: { MARK: "typed here" } });
  // As in ~/.kube/config of people: a plugin of one's own, given by a path next to it.
  const credential = join(cluster.folder, "exec-exec-user.json");
  const prepared = await box.sh(`
    mkdir -p ${who} && cp ${credential} ${who}/credential.json
    cat > ${who}/plugin <<'EOF'
#!/bin/sh
echo "$(id -u) $(id -ru) $PWD $MARK" >> "$HOME/calls"
exec cat "$HOME/work/credential.json"
EOF
    sed 's#"command": "[^"]*exec-exec-user.sh"#"command": "work/plugin"#' \\
      ${cluster.kubeconfig} > ${me.home}/kubeconfig
    chmod 755 ${who}/plugin && chown -R ${UID}:${UID} ${me.home}`);
  assert.equal(prepared.code, 0, prepared.stderr);
  await me.done("start");
  await me.done("teleport", "ns", ns, "--context", "exec");
  await untilAnswer(box, "http://web.shop/", /^Hello from web-/);
  const calls = async () =>
    (await box.run(["cat", `${me.home}/calls`])).stdout.split("\n").filter((line) => line !== "");
  const before = (await calls()).length;

  // The old token is refused: the background process runs the plugin by itself.
  await cluster.control.rotateExec({ user: "exec-user", revoke: true });
  await box.sh(`cp ${credential} ${who}/credential.json`);
  await cluster.control.cutWatches({});
  await follows(scene, "after-a-new-token", 30_000);
  await until("the plugin was run again", async () => (await calls()).length > before);
  for (const call of await calls()) assert.equal(call, `${UID} ${UID} ${who} typed here`);
  await me.done("stop");
}, { fixtures: shop, programs: ["sudo"] });

e2e(
  "a plugin that must ask does so in the terminal, again and again for an open session",
  async (scene) => {
    const { box, cluster, done } = scene;
    const kubeconfig = join(box.home, "kubeconfig");
    const credential = join(cluster.folder, "exec-exec-user.json");
    // Its word is in the environment of the shell, as that of aws-vault and the like.
    await Deno.writeTextFile(
      join(box.home, "plugin"),
      `#!/bin/sh\ntest -t 0 || exit 3\ntest "$WORD" = "$(cat ${box.home}/word)" || exit 4\n` +
        `echo call >> ${box.home}/calls\nexec cat ${credential}\n`,
      { mode: 0o755 },
    );
    const text = await Deno.readTextFile(cluster.kubeconfig);
    const config = JSON.parse(text);
    const { user } = config.users.find((one: { name: string }) => one.name === "exec-user");
    user.exec.command = join(box.home, "plugin");
    user.exec.interactiveMode = "Always";
    await Deno.writeTextFile(kubeconfig, JSON.stringify(config));
    const word = (text: string) => Deno.writeTextFile(join(box.home, "word"), text);
    const inTerminal = (word: string) =>
      box.run([
        "script",
        "-qec",
        `${CZCTL} teleport ns ${ns} --context exec -k ${kubeconfig}`,
        "/dev/null",
      ], { env: { WORD: word } });
    await word("first");
    const without = await box.czctl([
      ...["teleport", "ns", ns, "--context", "exec", "-k", kubeconfig],
    ], { env: { WORD: "first" } });
    assert.equal(without.code, 3);
    assert.match(
      without.stderr,
      /it must be able to ask you.*\n.*czctl teleport again in a terminal/,
    );

    for (const command of [["environment"], ["run", "-q"]]) {
      const { code, stderr } = await box.czctl([
        ...[...command, "deploy/web", "-n", ns, "--context", "exec", "-k", kubeconfig],
        ...(command[0] === "run" ? ["--", "cat"] : []),
      ], { env: { WORD: "first" } });
      assert.equal(code, 3, stderr);
      assert.match(stderr, /it must be able to ask you/);
    }

    const opened = await inTerminal("first");
    assert.equal(opened.code, 0, opened.stdout);
    await untilAnswer(box, "http://web.shop/", /^Hello from web-/);
    assert.equal(await Deno.readTextFile(join(box.home, "calls")), "call\n");

    await word("second");
    await cluster.control.rotateExec({ user: "exec-user", revoke: true });
    await cluster.control.cutWatches({});
    await until("status says that it must ask", async () => {
      const { cluster } = (await status(scene)).sessions[0]!;
      return !cluster.reachable && /it must be able to ask you/.test(cluster.reason ?? "");
    }, 30_000);
    // It does not heal by itself.
    const { stdout } = await box.czctl(["doctor", "--kubeconfig", kubeconfig]);
    assert.match(
      stdout,
      /unreachable: .*must be able to ask you.*\n +mend: Run: czctl teleport again/,
    );
    assert.match((await inTerminal("first")).stdout, /it ended with code 4/);
    const again = await inTerminal("second");
    assert.equal(again.code, 0, again.stdout);
    assert.match(again.stdout, /is open already/);
    assert.ok((await status(scene)).sessions[0]!.cluster.reachable, "at once");
    await follows(scene, "after-a-new-login", 10_000);
    await done("session", "close");
  },
  { fixtures: shop },
);

e2e("a token file that rotates, and a pod's service account", async (scene) => {
  const { box, cluster } = scene;
  const { done } = scene;
  const config = JSON.parse(await Deno.readTextFile(cluster.kubeconfig));
  const url = new URL(cluster.url);
  const rotate = async (file: string) => {
    await cluster.control.rotateExec({ user: "exec-user", revoke: true });
    await Deno.writeTextFile(`${file}.new`, await currentToken(scene));
    await Deno.rename(`${file}.new`, file);
    await cluster.control.cutWatches({});
  };

  const tokenFile = join(box.home, "token");
  await Deno.writeTextFile(tokenFile, await currentToken(scene));
  await Deno.writeTextFile(
    join(box.home, "kubeconfig"),
    JSON.stringify({
      ...config,
      users: [{ name: "exec-user", user: { tokenFile: "token" } }],
    }),
  );
  await done(
    "teleport",
    "ns",
    ns,
    "--context",
    "exec",
    "--kubeconfig",
    join(box.home, "kubeconfig"),
  );
  await rotate(tokenFile);
  await follows(scene, "after-a-new-token", 30_000);
  await done("session", "close");

  // Inside a pod there is no kubeconfig, but a service account.
  const account = join(box.folder, "run", "secrets", "kubernetes.io", "serviceaccount");
  await Deno.mkdir(account, { recursive: true });
  await Deno.writeTextFile(join(account, "token"), await currentToken(scene));
  await Deno.writeTextFile(join(account, "ca.crt"), cluster.caPem);
  await Deno.writeTextFile(join(account, "namespace"), ns);
  const inPod = (...args: string[]) =>
    box.czctl(args, {
      env: { KUBERNETES_SERVICE_HOST: url.hostname, KUBERNETES_SERVICE_PORT: url.port },
    });
  // The namespace is the account's own.
  const opened = await inPod("teleport", "deploy/web");
  assert.equal(opened.code, 0, opened.stderr);
  assert.match(opened.stdout, /services of shop/);
  await rotate(join(account, "token"));
  await follows(scene, "in-a-pod", 30_000);
  assert.equal((await inPod("session", "close")).code, 0);
}, { fixtures: shop });
