import assert from "node:assert/strict";
import { BINARY, type Machine } from "./machine.ts";

/** An ordinary user, another of the same group, and one of a group of his own. */
export const DEMO = { uid: 4201, gid: 4300, home: "/home/demo" };
export const MATE = { uid: 4202, gid: 4300, home: "/home/mate" };
export const STRANGER = { uid: 4203, gid: 4303, home: "/home/stranger" };

/** Where czctl start puts the copy of DEMO. */
export const COPY = `/usr/local/libexec/czctl/${DEMO.uid}/czfwd`;

/** Makes the users, sudo without a password for DEMO, and an /etc/hosts. */
export async function addUsers(machine: Machine, hosts: string): Promise<void> {
  await machine.write("/etc/hosts", hosts);
  const lines = [DEMO, MATE, STRANGER].map(({ uid, gid, home }) => {
    const name = home.slice("/home/".length);
    return `echo ${name}:x:${uid}:${gid}::${home}:/bin/sh >> /etc/passwd
      echo '${name}:*:19000:0:99999:7:::' >> /etc/shadow
      grep -q ":${gid}:" /etc/group || echo g${gid}:x:${gid}: >> /etc/group
      mkdir -p -m 700 ${home}; chown ${uid}:${gid} ${home}`;
  });
  await machine.sh(`chmod 644 /etc/hosts; ${lines.join("\n")}
    if [ -d /etc/sudoers.d ]; then
      echo 'demo ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/demo; chmod 440 /etc/sudoers.d/demo
    fi`);
}

/** Installs the copy of DEMO as root does it for czctl start. */
export async function installCopy(machine: Machine, prefix = "/usr/local"): Promise<void> {
  const { code, err } = await elevate(machine, prefix);
  assert.equal(code, 0, err);
}

export function elevate(machine: Machine, prefix: string, action = "install") {
  return machine.run([BINARY, "elevate", action, `${DEMO.uid}:${DEMO.gid}`, prefix]);
}
