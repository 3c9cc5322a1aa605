/** Hundreds of connections at once, from a shell that may open few files. */
import assert from "node:assert/strict";
import { CZCTL } from "./sandbox.ts";
import { e2e } from "./scene.ts";

e2e("more connections at once than the user's shell may open files", async (scene) => {
  const { box, cluster, done } = scene;
  const opened = await box.sh(`ulimit -Sn 200; exec ${CZCTL} teleport ns sample-project`, {
    env: { KUBECONFIG: cluster.kubeconfig },
  });
  assert.equal(opened.code, 0, opened.stderr);
  const talked = await box.run([
    "bash",
    "-c",
    `
    for i in $(seq 400); do
      exec {fd}<>/dev/tcp/sample-project-echo.sample-project/8081 || exit 1
      all+=($fd)
    done
    for fd in "\${all[@]}"; do echo "hello $fd" >&$fd; done
    for fd in "\${all[@]}"; do
      read -t 20 -u $fd line || exit 2
      [ "$line" = "hello $fd" ] || exit 3
    done
    echo "\${#all[@]} answered"
  `,
  ]);
  assert.equal(talked.stdout, "400 answered\n", `${talked.code} ${talked.stderr}`);
  await done("session", "close", "--all");
});
