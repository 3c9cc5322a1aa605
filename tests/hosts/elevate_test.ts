/** Root only once: start, what is said without sudo, other versions, and the checks of doctor. */
import assert from "node:assert/strict";
import type { HostsFinding } from "../../src/hosts/checks.ts";
import { entry, SpokenHelper } from "./support/helper.ts";
import { BINARY, binaryIsThere, Machine } from "./support/machine.ts";
import { addUsers, COPY, DEMO, installCopy } from "./support/users.ts";

const ignore = !Machine.available || !binaryIsThere();
const HOSTS = "127.0.0.1 localhost\n10.0.0.5 db.mine\n";
const CHECK = new URL("./support/check_program.ts", import.meta.url).pathname;

function test(name: string, fn: (machine: Machine) => Promise<void>, skip = false): void {
  Deno.test({
    name,
    ignore: ignore || skip,
    fn: async () => {
      await using machine = await Machine.create();
      await addUsers(machine, HOSTS);
      await machine.sh("chmod 755 /root || true");
      await fn(machine);
    },
  });
}

const asDemo = (path = "/usr/sbin:/usr/bin:/sbin:/bin") => ({
  as: DEMO,
  env: { HOME: DEMO.home, PATH: path, NO_COLOR: "1" },
});

async function versionOf(machine: Machine): Promise<string> {
  return JSON.parse((await machine.run([BINARY, "helper", "--probe"])).out).version;
}

function hasSudo(): boolean {
  try {
    return Deno.statSync("/usr/bin/sudo").isFile;
  } catch {
    return false;
  }
}

test("czctl start asks for root once, and stop --uninstall leaves nothing", async (machine) => {
  const first = await machine.run([BINARY, "start"], asDemo());
  try {
    assert.equal(first.code, 0, first.err + first.out);
    assert.match(first.out + first.err, /czctl needs root once, to install a small helper/);
    assert.match(await machine.sh(`stat -c %a:%u:%g ${COPY}`), /^4750:0:4300$/m);
    // In a new terminal, and without sudo at hand.
    const again = await machine.run([BINARY, "start"], asDemo("/bin/nothing"));
    assert.equal(again.code, 0, again.err + again.out);
    assert.doesNotMatch(again.out + again.err, /needs root/);
  } finally {
    const stop = await machine.run([BINARY, "stop", "--uninstall"], asDemo());
    assert.equal(stop.code, 0, stop.err + stop.out);
  }
  assert.equal(await machine.exists("/usr/local/libexec/czctl"), false);
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
}, !hasSudo());

test("czctl start says what root has to run where there is no sudo", async (machine) => {
  const { code, err } = await machine.run([BINARY, "start"], asDemo("/bin/nothing"));
  assert.equal(code, 4, err);
  assert.match(err, /there is no sudo/);
  const command = `${BINARY} elevate install ${DEMO.uid}:${DEMO.gid} /usr/local`;
  assert.ok(err.includes(`Have root run: ${command}`), err);
  await machine.sh(command);
  const ready = await machine.run([BINARY, "start"], asDemo("/bin/nothing"));
  assert.equal(ready.code, 0, ready.err);
  const stop = await machine.run([BINARY, "stop"], asDemo());
  assert.equal(stop.code, 0, stop.err);
});

test("czctl start explains a home folder that root may not read", async (machine) => {
  // What sudo does there: the program cannot be executed, nor read.
  await machine.sh(
    "mkdir /fake; printf '#!/bin/sh\\nexit 1\\n' > /fake/sudo; chmod 755 /fake/sudo",
  );
  const { code, err } = await machine.run([BINARY, "start"], asDemo("/fake:/usr/bin:/bin"));
  assert.equal(code, 4, err);
  assert.match(err, /even root may not read ".*czctl", as in a home folder on the network/);
  assert.match(err, /sudo install -m 755 \/dev\/stdin \/usr\/local\/bin\/czctl < /);
});

test("what sudo says is shown, and the answer of root is the one error", async (machine) => {
  // As a fingerprint reader asks: on standard output.
  await machine.sh(`mkdir /fake; chmod 755 /fake
    printf '#!/bin/sh\\nprintf "Place your finger"; shift; exec /usr/bin/sudo -- "$@"\\n' > /fake/sudo
    chmod 755 /fake/sudo`);
  const path = asDemo("/fake:/usr/bin:/bin");
  const { code, err } = await machine.run([BINARY, "start", "--prefix", DEMO.home], path);
  assert.equal(code, 1, err);
  assert.match(err, /^Place your finger/);
  assert.equal(err.match(/error:|czctl elevate/g)?.length, 1, err);
}, !hasSudo());

test("czctl elevate is root's, and takes nothing but what start gives it", async (machine) => {
  const user = await machine.run(
    [BINARY, "elevate", "install", `${DEMO.uid}:${DEMO.gid}`, "/usr/local"],
    asDemo(),
  );
  assert.equal(user.code, 4);
  assert.match(user.err, /has to be run by root/);
  for (
    const args of [[], ["install"], ["install", "me", "/x"], ["remove", "1:1", "/x"], [
      "install",
      "1:1",
      "/x",
      "/y",
      "/z",
    ], ["uninstall", "1:1", "/x", "/y"]]
  ) {
    const { code, err } = await machine.run([BINARY, "elevate", ...args]);
    assert.equal(code, 2, `${args}: ${err}`);
  }
});

test("a helper of another version is refused, and replaced by start", async (machine) => {
  await installCopy(machine);
  const version = await versionOf(machine);
  // The same program with another version in it, as an update leaves it behind.
  const copy = machine.path(COPY);
  const bytes = await Deno.readFile(copy);
  const at = indexOf(bytes, `"${version}"`);
  assert.ok(at > 0, "the version is in the program as text");
  bytes.set(new TextEncoder().encode(`"${version.replace(/^\d/, "9")}"`), at);
  await Deno.writeFile(copy, bytes);
  await Deno.chown(copy, 0, DEMO.gid);
  await Deno.chmod(copy, 0o4750);
  const findings = await check(machine, "idle");
  assert.match(findings.find((one) => one.id === "helper")!.what, /is version 9\.\d+\.\d+/);
  const refused = await machine.run([BINARY, "teleport", "ns", "x"], asDemo());
  assert.notEqual(refused.code, 0);
  const started = await machine.run([BINARY, "start"], asDemo());
  assert.equal(started.code, 0, started.err);
  assert.match(started.out + started.err, /is of version 9\.\d+\.\d+ and is replaced/);
  assert.deepEqual(ids(await check(machine, "idle")), []);
  assert.equal((await machine.run([BINARY, "stop"], asDemo())).code, 0);
}, !hasSudo());

test("checkHosts finds what is wrong, and mends what is safe", async (machine) => {
  assert.deepEqual(ids(await check(machine, "idle")), ["helper", "low_ports"]);
  await installCopy(machine);
  assert.deepEqual(await check(machine, "idle"), []);

  const helper = await SpokenHelper.start(machine, [COPY, "helper"], { as: DEMO });
  await helper.apply(entry("web"));
  await machine.run(["cp", "/etc/hosts", `${DEMO.home}/hosts.original`], { as: DEMO });
  assert.deepEqual(ids(await check(machine, "alive")), ["backup"]);
  await machine.run(["rm", `${DEMO.home}/hosts.original`], { as: DEMO });
  assert.deepEqual(ids(await check(machine, "alive")), ["backup"]);
  await machine.run(["ln", "-s", "/etc/hosts", `${DEMO.home}/hosts.original`], { as: DEMO });
  assert.match((await check(machine, "alive"))[0]!.what, /not a regular file/);
  await machine.run(["rm", `${DEMO.home}/hosts.original`], { as: DEMO });
  await machine.run(["touch", `${DEMO.home}/hosts.original`], { as: DEMO });

  await machine.sh("sed -i '/web.demo/a 10.0.0.3 mine' /etc/hosts");
  assert.match((await check(machine, "alive"))[0]!.what, /did not write \(line 5\)/);
  await machine.sh("sed -i 's/^hosts:.*/hosts: dns/' /etc/nsswitch.conf; echo > /etc/resolv.conf");
  assert.deepEqual(ids(await check(machine, "alive")), ["foreign_lines", "resolver"]);

  helper.kill("SIGKILL");
  await helper.end();
  await machine.sh("touch /etc/.hosts.czctl");
  assert.deepEqual(ids(await check(machine, "idle")), [
    "foreign_lines",
    "stale_block",
    "cut_short",
  ]);
  const { done, left } = await look(machine, "idle", "--fix");
  assert.match(done.join(), /Took what a session that is gone had left/);
  assert.deepEqual(left, []);
  assert.equal(await machine.read("/etc/hosts"), `${HOSTS}10.0.0.3 mine\n`);
  assert.equal(await machine.exists("/etc/.hosts.czctl"), false);

  await machine.sh(`echo '# czctl begin ${DEMO.uid}' >> /etc/hosts; chmod 755 ${COPY}
    printf '127.1.31.%s x\\n' 1 2 >> /etc/hosts`);
  const last = await check(machine, "idle");
  assert.deepEqual(ids(last), ["markers", "helper", "low_ports"]);
  assert.match(last[0]!.mend, /^Delete lines 4 to 6 of \/etc\/hosts/);
  assert.match(last[1]!.what, /another owner or mode/);
  // Whoever deletes the marker alone is told of what is left.
  await machine.sh(`sed -i /czctl/d /etc/hosts; chmod 4750 ${COPY}`);
  const stray = await check(machine, "idle");
  assert.deepEqual(ids(stray), ["stray_lines"]);
  assert.match(stray[0]!.what, /\(lines 4 and 5\): what is left of one, or lines of your own/);
});

const ids = (findings: HostsFinding[]) => findings.map((finding) => finding.id);

async function check(machine: Machine, svc: "alive" | "idle"): Promise<HostsFinding[]> {
  return (await look(machine, svc)).findings;
}

async function look(machine: Machine, svc: string, ...more: string[]): Promise<
  { findings: HostsFinding[]; done: string[]; left: HostsFinding[] }
> {
  const deno = [Deno.execPath(), "run", "-A", "--no-check", "--no-config", "--no-lock", CHECK];
  const version = await versionOf(machine);
  const args = [version, BINARY, `${DEMO.home}/hosts.original`, svc, ...more];
  const { code, out, err } = await machine.run([...deno, ...args], {
    as: DEMO,
    env: { HOME: DEMO.home, DENO_DIR: `${DEMO.home}/.deno`, NO_COLOR: "1" },
  });
  assert.equal(code, 0, err);
  return JSON.parse(out);
}

function indexOf(bytes: Uint8Array, text: string): number {
  const wanted = new TextEncoder().encode(text);
  for (let at = bytes.indexOf(wanted[0]!); at !== -1; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}
