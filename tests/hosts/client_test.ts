/** svc's side and the helper watching each other, with real processes and real `kill -9`. */
import assert from "node:assert/strict";
import type { HostsEntry } from "../../src/model/hosts.ts";
import { entry } from "./support/helper.ts";
import { LineProcess } from "./support/line_process.ts";
import { BINARY, binaryIsThere, Machine } from "./support/machine.ts";
import { addUsers, COPY, DEMO, installCopy, STRANGER } from "./support/users.ts";
import { until } from "../until.ts";

const ignore = !Machine.available || !binaryIsThere();
const HOSTS = "127.0.0.1\tlocalhost\r\n# mine \n10.0.0.5 db.mine";
const PROGRAM = new URL("./support/keeper_program.ts", import.meta.url).pathname;
const WEB = entry("web");
const RELAY = { address: "127.1.99.5", port: 80, to: 40_001 };
const LEAF = entry("leaf", { address: "127.1.31.2" });

function test(name: string, fn: (machine: Machine) => Promise<void>): void {
  Deno.test({
    name: `HostsKeeper ${name}`,
    ignore,
    fn: async () => {
      await using machine = await Machine.create();
      await addUsers(machine, HOSTS);
      // The users of the machine may run this Deno and read these sources.
      await machine.sh("chmod 755 /root || true");
      await fn(machine);
    },
  });
}

/** A svc-like process with a keeper. */
class Keeper extends LineProcess {
  static async start(
    machine: Machine,
    options: { user?: typeof DEMO; command?: string[]; version?: string } = {},
  ): Promise<Keeper> {
    const { user, command = user === undefined ? [BINARY, "helper"] : [COPY, "helper"] } = options;
    const home = user?.home ?? "/root";
    const version = options.version ?? await versionOf(machine);
    const deno = [Deno.execPath(), "run", "-A", "--no-check", "--no-config", "--no-lock"];
    const keeper = new Keeper(machine.start(
      [...deno, PROGRAM, version, `${home}/hosts.original`, ...command],
      {
        env: { HOME: home, DENO_DIR: `${home}/.deno`, NO_COLOR: "1" },
        ...(user === undefined ? {} : { as: user }),
      },
    ));
    return keeper;
  }

  static async ready(...args: Parameters<typeof Keeper.start>): Promise<Keeper> {
    const keeper = await Keeper.start(...args);
    const first = await keeper.line();
    assert.equal((first?.["ready"] as { state?: string })?.state, "running", JSON.stringify(first));
    return keeper;
  }

  async order(op: string, more: Record<string, unknown> = {}): Promise<void> {
    await this.send(`${JSON.stringify({ op, ...more })}\n`);
  }

  async ask(op: string, more: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    await this.order(op, more);
    const answer = await this.line();
    assert.equal(answer?.["op"], op, JSON.stringify(answer) + await this.#peek());
    return answer!;
  }

  async apply(...entries: HostsEntry[]): Promise<void> {
    const answer = await this.ask("apply", { entries });
    assert.equal(answer["error"], undefined);
  }

  async helperPid(): Promise<number> {
    const state = (await this.ask("state"))["result"] as { state: string; pid?: number };
    return state.pid ?? -1;
  }

  async close(): Promise<void> {
    assert.deepEqual(await this.ask("close"), { op: "close", result: null });
    await this.end();
  }

  /** Kills it with -9 and waits for its end. */
  async killNow(): Promise<void> {
    this.kill("SIGKILL");
    await this.end();
  }

  async #peek(): Promise<string> {
    const timeout = new Promise<string>((resolve) => setTimeout(() => resolve(""), 100));
    return await Promise.race([this.errors, timeout]);
  }
}

async function versionOf(machine: Machine): Promise<string> {
  return JSON.parse((await machine.run([BINARY, "helper", "--probe"])).out).version;
}

const hasBlock = async (machine: Machine, of: number, name: string) => {
  const text = await machine.read("/etc/hosts");
  return new RegExp(`# czctl begin ${of} [^]*${name}[^]*# czctl end ${of}\\b`).test(text);
};

test("writes, changes and restores, for an ordinary user with the set-uid copy", async (machine) => {
  await installCopy(machine);
  const keeper = await Keeper.ready(machine, { user: DEMO });
  await keeper.apply(WEB);
  assert.ok(await hasBlock(machine, DEMO.uid, "web.demo"));
  assert.equal(await machine.read(`${DEMO.home}/hosts.original`), HOSTS);
  assert.equal(
    await machine.sh(`stat -c '%u %a' ${DEMO.home}/hosts.original`),
    `${DEMO.uid} 644\n`,
  );
  // A burst is one or two writes, and all callers hear of the last.
  const bursts = Array.from({ length: 50 }, (_, at) => (at % 2 ? [WEB] : [WEB, LEAF]));
  assert.deepEqual(await keeper.ask("burst", { bursts }), { op: "burst", result: 50 });
  assert.ok(!(await hasBlock(machine, DEMO.uid, "leaf.demo")));
  await keeper.close();
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
});

test("killed with -9: the helper sees the end of input and restores", async (machine) => {
  await installCopy(machine);
  for (const user of [undefined, DEMO]) {
    const keeper = await Keeper.ready(machine, user === undefined ? {} : { user });
    await keeper.apply(WEB);
    const helper = await keeper.helperPid();
    await keeper.killNow();
    await until("the helper is gone", () => !isAlive(helper));
    assert.equal(await machine.read("/etc/hosts"), HOSTS);
  }
});

test("puts everything back when the helper is killed with -9", async (machine) => {
  const address = `127.1.${100 + Math.floor(Math.random() * 100)}.5`;
  const keeper = await Keeper.ready(machine);
  await keeper.apply(WEB);
  await keeper.ask("relay", { address, port: 80, to: 40_001 });
  for (let round = 0; round < 3; round++) {
    const helper = await keeper.helperPid();
    if (round === 1) await machine.write("/etc/hosts", HOSTS);
    Deno.kill(helper, "SIGKILL");
    await until("another helper runs", async () => {
      const pid = await keeper.helperPid();
      return pid !== helper && pid !== -1;
    });
    await until("the block is there", () => hasBlock(machine, 0, "web.demo"));
    await until(
      "the port is open",
      () =>
        Deno.connect({ hostname: address, port: 80 }).then((c) => (c.close(), true), () => false),
    );
  }
  await keeper.close();
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
});

test("both killed with -9: the next helper cleans up", async (machine) => {
  const keeper = await Keeper.ready(machine);
  await keeper.apply(WEB);
  const helper = await keeper.helperPid();
  // Stopped first, so that it cannot see its parent go.
  Deno.kill(helper, "SIGSTOP");
  await keeper.killNow();
  Deno.kill(helper, "SIGKILL");
  await until("the helper is gone", () => !isAlive(helper));
  assert.ok(await hasBlock(machine, 0, "web.demo"));
  const next = await Keeper.ready(machine);
  await next.close();
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
});

test("puts its block back, whatever is done to the file, and restores exactly", async (machine) => {
  const keeper = await Keeper.ready(machine);
  await keeper.apply(WEB, LEAF);
  const vandalisms: [string, string][] = [
    ["the backup copied over it", "cp /root/hosts.original /etc/hosts"],
    ["a line of the block edited", "sed -i s/leaf.demo/other.name/ /etc/hosts"],
    ["a line of the block removed", "sed -i /leaf.demo/d /etc/hosts"],
    ["a line of the block switched off", "sed -i 's/^127.1.31.2/# 127.1.31.2/' /etc/hosts"],
    ["the end line removed", "sed -i '/czctl end/d' /etc/hosts"],
    ["the begin line removed", "sed -i '/czctl begin/d' /etc/hosts"],
  ];
  for (const [what, script] of vandalisms) {
    const before = await machine.read("/etc/hosts");
    assert.ok(before.includes("leaf.demo leaf.demo.svc"));
    await machine.sh(script);
    await until(`put back after ${what}`, async () => await machine.read("/etc/hosts") === before);
  }
  // What the user writes stays, inside the block as well.
  await machine.sh("sed -i '/web.demo/a 10.1.1.3 inside' /etc/hosts");
  await until("moved out", async () => (await machine.read("/etc/hosts")).endsWith(" inside\n"));
  await machine.sh("sed -i '1i 10.1.1.1 first' /etc/hosts; echo 10.1.1.2 last >> /etc/hosts");
  await keeper.apply(WEB);
  assert.ok(await hasBlock(machine, 0, "web.demo"));
  await keeper.close();
  assert.equal(
    await machine.read("/etc/hosts"),
    `10.1.1.1 first\n${HOSTS}\n10.1.1.3 inside\n10.1.1.2 last\n`,
  );
});

test("says that the file is gone, puts its block back into a new one, and closes without", async (machine) => {
  const keeper = await Keeper.ready(machine);
  await keeper.apply(WEB);
  // At once: before the keeper has looked at the file for the first time.
  await machine.sh("rm /etc/hosts");
  await until("told", async () => {
    const { reason } = (await keeper.ask("state"))["result"] as { reason?: string };
    return reason?.includes("it does not exist") === true;
  });
  await machine.write("/etc/hosts", HOSTS);
  await until("put back", () => hasBlock(machine, 0, "web.demo"));
  await machine.sh("rm /etc/hosts");
  await keeper.close();
  assert.equal(await machine.exists("/etc/hosts"), false);
});

test("leaves two users' sessions alone with each other", async (machine) => {
  await installCopy(machine);
  await machine.run([
    BINARY,
    "elevate",
    "install",
    `${STRANGER.uid}:${STRANGER.gid}`,
    "/usr/local",
  ]);
  const copy = [COPY.replace(`${DEMO.uid}`, `${STRANGER.uid}`), "helper"];
  const one = await Keeper.ready(machine, { user: DEMO });
  const two = await Keeper.ready(machine, { user: STRANGER, command: copy });
  const other = entry("web", { address: "127.1.32.1", namespace: "other" });
  await Promise.all(Array.from({ length: 20 }, async (_, round) => {
    await one.order("apply", { entries: round % 2 === 0 ? [WEB, LEAF] : [WEB] });
    await two.order("apply", { entries: round % 2 === 0 ? [] : [other] });
  }));
  for (let round = 0; round < 20; round++) {
    for (const keeper of [one, two]) assert.equal((await keeper.line())?.["error"], undefined);
  }
  await until("both blocks are in", async () =>
    await hasBlock(machine, DEMO.uid, "web.demo") &&
    await hasBlock(machine, STRANGER.uid, "web.other"));
  // The newline that was added in front of the first block is handed on.
  await one.close();
  assert.ok(await hasBlock(machine, STRANGER.uid, "web.other"));
  await two.close();
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
});

test("refuses a helper of another version, and says what to do without one", async (machine) => {
  const old = await Keeper.start(machine, { version: "99.0.0" });
  assert.match(JSON.stringify(await old.line()), /is version \d+\.\d+\.\d+\S*, this is 99\.0\.0/);
  await old.end();
  const none = await Keeper.start(machine, { command: ["/nowhere/czfwd", "helper"] });
  assert.match(JSON.stringify(await none.line()), /Cannot start the helper/);
  await none.end();
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
});

test("refuses edits while there is no helper to be had, and closing ends", async (machine) => {
  await machine.sh(`cp ${BINARY} /opt/czfwd`);
  const keeper = await Keeper.ready(machine, { command: ["/opt/czfwd", "helper"] });
  await keeper.apply(WEB);
  const helper = await keeper.helperPid();
  await machine.sh("rm /opt/czfwd");
  Deno.kill(helper, "SIGKILL");
  await until("the helper is gone", () => !isAlive(helper));
  for (const [op, more] of [["apply", { entries: [] }], ["relay", { ...RELAY }]] as const) {
    const refused = await keeper.ask(op, more);
    assert.match(
      String(refused["error"]),
      /^Cannot start the helper: .*\/opt\/czfwd.*No such file/,
    );
  }
  assert.match(String((await keeper.ask("close"))["error"]), /^Cannot start the helper/);
  await keeper.end();
  assert.ok(await hasBlock(machine, 0, "web.demo"), "for the next one");
  await (await Keeper.ready(machine)).close();
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
});

test("says so when the file cannot be restored", async (machine) => {
  const keeper = await Keeper.ready(machine);
  await keeper.apply(WEB);
  await machine.sh("mount --bind /etc/hosts /etc/hosts; mount -o remount,bind,ro /etc/hosts");
  const answer = await keeper.ask("close");
  assert.match(String(answer["error"]), /Cannot write \/etc\/hosts: it is on a read-only/);
  await keeper.end();
  await machine.sh("umount /etc/hosts");
  const next = await Keeper.ready(machine);
  await next.close();
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
});

function isAlive(pid: number): boolean {
  try {
    const state = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1] ?? "Z";
    return !state.startsWith("Z");
  } catch {
    return false;
  }
}
