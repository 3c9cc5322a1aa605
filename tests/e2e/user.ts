import assert from "node:assert/strict";
import { CZCTL, type Output } from "./sandbox.ts";
import type { Scene } from "./scene.ts";

export const USER = "tester";
export const UID = 12345;

export interface UserScene {
  readonly home: string;
  /** Runs czctl as the user, with a copy of the cluster's kubeconfig. */
  czctl(...args: string[]): Promise<Output>;
  done(...args: string[]): Promise<Output>;
}

/** An ordinary user of the sandbox who may use sudo without a password, or may not at all. */
export async function withUser(
  scene: Scene,
  sudo: boolean,
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<UserScene> {
  const { box } = scene;
  const home = `/home/${USER}`;
  const added = await box.sh(`
    echo '${USER}:x:${UID}:${UID}::${home}:/bin/sh' >> /etc/passwd
    echo '${USER}:x:${UID}:' >> /etc/group
    echo '${USER}:*:19000:0:99999:7:::' >> /etc/shadow
    mkdir -p ${home} /etc/sudoers.d && chown ${UID}:${UID} ${home}
    ${sudo ? `echo '${USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/${USER}` : ":"}
    cp ${scene.cluster.kubeconfig} ${home}/kubeconfig
    chown ${UID} ${home}/kubeconfig`);
  assert.equal(added.code, 0, added.stderr);
  const env = { KUBECONFIG: `${home}/kubeconfig`, ...options.env };
  const czctl = (...args: string[]) =>
    box.run(["sh", "-c", 'cd "$0" && exec "$@"', options.cwd ?? "/", CZCTL, ...args], {
      user: USER,
      env,
      cwd: "/",
    });
  const done = async (...args: string[]) => {
    const output = await czctl(...args);
    assert.equal(output.code, 0, `czctl ${args.join(" ")}: ${output.stdout}${output.stderr}`);
    return output;
  };
  return { home, czctl, done };
}
