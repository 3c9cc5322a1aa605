/** The helper of the compiled binary, run as root in a machine of its own. */
import assert from "node:assert/strict";
import { entry, SpokenHelper } from "./support/helper.ts";
import { BINARY, binaryIsThere, Machine } from "./support/machine.ts";
import { until } from "../until.ts";

const ignore = !Machine.available || !binaryIsThere();
const HOSTS = "127.0.0.1 localhost\n10.0.0.5 db.mine\n";

function test(name: string, fn: (machine: Machine) => Promise<void>): void {
  Deno.test({
    name: `czfwd helper ${name}`,
    ignore,
    fn: async () => {
      await using machine = await Machine.create();
      await machine.write("/etc/hosts", HOSTS);
      await fn(machine);
    },
  });
}

test("keeps its block while asked to, and restores at the end of input", async (machine) => {
  const before = [...(await machine.changes()).keys()];
  const helper = await SpokenHelper.start(machine);
  assert.deepEqual(await helper.ask({ op: "ping" }), { id: 1, ok: true });
  const answer = await helper.ask({ op: "apply", entries: [entry("web", { bare: true })] });
  const names = ["web.demo", "web.demo.svc", "web.demo.svc.cluster.local", "web"];
  assert.deepEqual(answer, {
    id: 1,
    ok: true,
    result: { lines: [{ address: "127.1.31.1", names }], leftOut: [], changed: true },
  });
  assert.equal(
    await machine.read("/etc/hosts"),
    `${HOSTS}# czctl begin 0 - added by czctl, removed by: czctl session close\n` +
      `127.1.31.1       ${names.join(" ")}\n# czctl end 0\n`,
  );
  // The system resolver reads it.
  assert.match(await machine.sh("getent hosts web.demo.svc"), /^127\.1\.31\.1 /);
  assert.equal((await helper.end()).code, 0);
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
  assert.deepEqual([...(await machine.changes()).keys()], before);
});

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  test(`restores on ${signal}`, async (machine) => {
    await using helper = await SpokenHelper.start(machine);
    await helper.apply(entry("web"));
    helper.kill(signal);
    assert.equal(await helper.line(), undefined);
    assert.equal(await machine.read("/etc/hosts"), HOSTS);
  });
}

test("leaves a block behind when killed, and the next one takes it out", async (machine) => {
  const first = await SpokenHelper.start(machine);
  await first.apply(entry("web"));
  first.kill("SIGKILL");
  await first.end();
  assert.match(await machine.read("/etc/hosts"), /web\.demo/);
  const second = await SpokenHelper.start(machine);
  assert.equal((await second.end()).code, 0);
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
});

const apply = (more: Record<string, unknown>) =>
  JSON.stringify({ id: 1, op: "apply", entries: [{ ...entry("web"), ...more }] });

const VIOLATIONS: [string, string | Uint8Array][] = [
  ["an unknown operation", '{"id":2,"op":"run","command":"id"}\n'],
  ["a path", '{"id":2,"op":"ping","path":"/etc/shadow"}\n'],
  ["a path in an entry", `${apply({ file: "/etc/passwd" })}\n`],
  ["no JSON", "GET / HTTP/1.1\n"],
  ["no object", "[1]\n"],
  ["no id", '{"op":"ping"}\n'],
  ["a service that is no text", `${apply({ service: ["web"] })}\n`],
  ["a label that is too long", `${apply({ service: "a".repeat(64) })}\n`],
  ["a port out of range", '{"id":2,"op":"relay","address":"127.1.31.1","port":0,"to":8080}\n'],
  ["bytes that are no UTF-8", Uint8Array.of(0xff, 0xfe, 0x0a)],
  ["a prototype", '{"__proto__":{"op":"ping"},"id":1}\n'],
  ["10 MB on one line", `{"id":2,"op":"ping","x":"${"x".repeat(10 * 1024 * 1024)}"}\n`],
  ["10 MB without an end", new Uint8Array(10 * 1024 * 1024).fill(0x20)],
];

Deno.test({
  name: "czfwd helper ends after a request that is none, with everything restored",
  ignore,
  fn: async (t) => {
    await using machine = await Machine.create();
    await machine.write("/etc/hosts", HOSTS);
    for (const [what, request] of VIOLATIONS) {
      await t.step(what, async () => {
        const before = [...(await machine.changes()).keys()];
        const helper = await SpokenHelper.start(machine);
        await helper.apply(entry("web"));
        helper.send(request);
        const answer = await helper.line();
        assert.match(
          JSON.stringify(answer),
          /^\{"fatal":\{"code":"failed","message":"Cannot go on/,
        );
        assert.equal((await helper.end()).code, 1);
        assert.equal(await machine.read("/etc/hosts"), HOSTS);
        assert.deepEqual([...(await machine.changes()).keys()], before);
      });
    }
  },
});

const REFUSED: [string, Record<string, unknown>, RegExp][] = [
  ["a foreign address", { address: "10.0.0.1" }, /not inside 127\.1\.0\.0\/16/],
  ["localhost's address", { address: "127.0.0.1" }, /not inside/],
  ["an address in another shape", { address: "127.1.031.1" }, /not inside/],
  ["IPv6", { address: "::1" }, /not inside/],
  ["a newline in a label", { service: "web\n6.6.6.6 google.com" }, /not a DNS label/],
  ["a dot in a label", { service: "www.google" }, /not a DNS label/],
  ["a space in a label", { namespace: "com evil" }, /not a DNS label/],
  ["an upper-case label", { pod: "Web" }, /not a DNS label/],
  ["an empty label", { service: "" }, /not a DNS label/],
  ["a newline in the domain", { domain: "cluster.local\nx" }, /not a DNS label/],
  [
    "a name that is too long",
    { domain: Array(5).fill("a".repeat(50)).join(".").slice(0, 253) },
    /longer than 253/,
  ],
];

Deno.test({
  name: "czfwd helper refuses what may not be written, and goes on",
  ignore,
  fn: async (t) => {
    await using machine = await Machine.create();
    await machine.write("/etc/hosts", HOSTS);
    await using helper = await SpokenHelper.start(machine);
    for (const [what, more, reason] of REFUSED) {
      await t.step(what, async () => {
        await helper.send(`${apply(more)}\n`);
        const answer = await helper.line();
        assert.equal(answer?.["ok"], false, JSON.stringify(answer));
        assert.match(JSON.stringify(answer?.["error"]), reason);
        assert.equal(await machine.read("/etc/hosts"), HOSTS);
      });
    }
    await t.step("too many entries", async () => {
      const entries = Array.from(
        { length: 16_385 },
        (_, at) => entry("w", { address: `127.1.${at >> 8}.${at & 255}`, domain: "c" }),
      );
      const answer = await helper.ask({ op: "apply", entries });
      assert.match(JSON.stringify(answer), /16385 entries are more than 16384/);
    });
  },
});

test("leaves out names that are somebody else's, each with the reason", async (machine) => {
  await machine.sh("hostname > /tmp/name");
  const own = (await machine.read("/tmp/name")).trim().split(".")[0]!;
  await machine.write(
    "/etc/hosts",
    `${HOSTS}10.0.0.6 Web.Demo\n` +
      "# czctl begin 1001 - x\n127.1.40.1 leaf.demo\n# czctl end 1001\n",
  );
  await using helper = await SpokenHelper.start(machine);
  const answer = await helper.ask({
    op: "apply",
    entries: [
      entry("web"),
      entry("google", { address: "127.1.31.2", namespace: "com" }),
      entry("bbc", { address: "127.1.31.3", namespace: "uk" }),
      entry("localhost", { address: "127.1.31.4", bare: true }),
      entry(own, { address: "127.1.31.5", bare: true }),
      entry("leaf", { address: "127.1.31.6" }),
      entry("taken", { address: "127.1.40.1" }),
      entry("x", { address: "127.1.31.7", namespace: "localhost" }),
    ],
  });
  const result = answer?.["result"] as {
    leftOut: { name: string; reason: string }[];
    lines: { names: string[] }[];
  };
  const reasons = new Map(result.leftOut.map(({ name, reason }) => [name, reason]));
  assert.match(reasons.get("web.demo")!, /line 3 of \/etc\/hosts has it/);
  assert.match(reasons.get("google.com")!, /under \.com/);
  assert.match(reasons.get("bbc.uk")!, /under \.uk/);
  assert.match(reasons.get("localhost")!, /this machine itself/);
  assert.match(reasons.get(own)!, /own name/);
  assert.match(reasons.get("leaf.demo")!, /session of user 1001/);
  assert.match(reasons.get("taken.demo.svc")!, /127\.1\.40\.1 belongs to a session of user 1001/);
  assert.match(reasons.get("x.localhost")!, /machine itself/);
  const names = result.lines.flatMap((line) => line.names);
  assert.ok(names.includes("web.demo.svc") && names.includes("google.com.svc"));
  for (const name of reasons.keys()) assert.ok(!names.includes(name), name);
});

test("relays low ports to the user's own listener, and nothing else", async (machine) => {
  const address = `127.1.${100 + Math.floor(Math.random() * 100)}.7`;
  const listener = Deno.listen({ hostname: address, port: 0 });
  const to = listener.addr.port;
  // Answers after the end of the request: only a half-close gets the answer through.
  const served = (async () => {
    const connection = await listener.accept();
    const request = await readAll(connection);
    await connection.write(new TextEncoder().encode(`${request.length} bytes`));
    connection.close();
  })();
  await using helper = await SpokenHelper.start(machine);
  const relay = (more: Record<string, unknown>) =>
    helper.ask({ op: "relay", address, port: 80, to, ...more });
  for (
    const [more, reason] of [
      [{ address: "127.0.0.1" }, /not inside/],
      [{ address: "0.0.0.0" }, /not inside/],
      [{ port: 8080 }, /only ports below 1024/],
      [{ to: 22 }, /ordinary user/],
    ] as const
  ) {
    assert.match(JSON.stringify(await relay(more)), reason);
  }
  assert.deepEqual(await relay({}), { id: 1, ok: true });
  const client = await Deno.connect({ hostname: address, port: 80 });
  const request = new Uint8Array(300_000);
  for (let at = 0; at < request.length;) at += await client.write(request.subarray(at));
  await client.closeWrite();
  assert.equal(new TextDecoder().decode(await readAll(client)), "300000 bytes");
  client.close();
  await served;
  const going = await Deno.connect({ hostname: address, port: 80 });
  const other = await listener.accept();
  assert.deepEqual(await helper.ask({ op: "unrelay", address, port: 80 }), { id: 1, ok: true });
  await assert.rejects(Deno.connect({ hostname: address, port: 80 }));
  // What was connected goes on until one of its ends closes.
  await going.write(new TextEncoder().encode("still"));
  await going.closeWrite();
  assert.equal(new TextDecoder().decode(await readAll(other)), "still");
  other.close();
  assert.equal((await readAll(going)).length, 0);
  going.close();
  // A port that is taken is said to be, and bound when it is free again.
  const squatter = Deno.listen({ hostname: address, port: 81 });
  assert.match(JSON.stringify(await relay({ port: 81 })), /another program has the port/);
  squatter.close();
  assert.deepEqual(await relay({ port: 81 }), { id: 1, ok: true });
  listener.close();
});

test("says what to do when the file cannot be written, and leaves it alone", async (machine) => {
  await using helper = await SpokenHelper.start(machine);
  await machine.sh("mount --bind /etc/hosts /etc/hosts; mount -o remount,bind,ro /etc/hosts");
  const answer = await helper.ask({ op: "apply", entries: [entry("web")] });
  assert.match(JSON.stringify(answer), /read-only file system.*findmnt/);
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
  await machine.sh("umount /etc/hosts");
  await helper.apply(entry("web"));
});

test("keeps the bind mount of a container, whatever is appended behind", async (machine) => {
  await machine.sh("cp /etc/hosts /srv/hosts; mount --bind /srv/hosts /etc/hosts");
  const helper = await SpokenHelper.start(machine);
  await helper.apply(entry("web"));
  await machine.sh("echo 10.0.0.9 later >> /etc/hosts");
  await helper.apply(entry("web"), entry("leaf", { address: "127.1.31.2" }));
  assert.match(
    await machine.read("/srv/hosts"),
    /leaf\.demo[^]*# czctl end 0\n10\.0\.0\.9 later\n$/,
  );
  assert.equal((await helper.end()).code, 0);
  assert.equal(await machine.read("/srv/hosts"), `${HOSTS}10.0.0.9 later\n`);
  assert.equal(await machine.exists("/var/lib/czctl"), false);
});

test("copes with a full disk: refuses to grow, can always restore", async (machine) => {
  await machine.sh(
    "mkdir /small; mount -t tmpfs -o size=64k,mode=755 small /small; cp /etc/hosts /small/hosts;" +
      "mount --bind /small/hosts /etc/hosts",
  );
  const helper = await SpokenHelper.start(machine);
  await helper.apply(entry("web"));
  const withBlock = await machine.read("/etc/hosts");
  await machine.sh("dd if=/dev/zero of=/small/full bs=4k 2>/dev/null || true");
  const many = Array.from(
    { length: 200 },
    (_, at) => entry(`service-${at}`, { address: `127.1.32.${at}` }),
  );
  const answer = await helper.ask({ op: "apply", entries: many });
  assert.match(JSON.stringify(answer), /Cannot write \/etc\/hosts: the disk is full/);
  assert.equal(await machine.read("/etc/hosts"), withBlock);
  assert.equal((await helper.end()).code, 0);
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
});

test("leaves an immutable file alone", async (machine) => {
  await machine.sh("mkdir /i; mount -t tmpfs i /i; cp /etc/hosts /i/hosts");
  const can = await machine.run(["chattr", "+i", "/i/hosts"]);
  if (can.code !== 0) {
    // tmpfs knows the flag since Linux 6.6 only.
    assert.match(can.err, /not supported|Inappropriate/);
    return;
  }
  await machine.sh("mount --bind /i/hosts /etc/hosts");
  await using helper = await SpokenHelper.start(machine);
  const answer = await helper.ask({ op: "apply", entries: [entry("web")] });
  assert.match(JSON.stringify(answer), /immutable.*chattr -ia/);
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
  await machine.sh("chattr -i /i/hosts");
  await helper.apply(entry("web"));
});

test("refuses unbalanced markers, says the mend, and touches nothing", async (machine) => {
  const broken = `${HOSTS}# czctl begin 0\n10.0.0.7 whose\n`;
  await machine.write("/etc/hosts", broken);
  const helper = await SpokenHelper.start(machine);
  const answer = await helper.ask({ op: "apply", entries: [entry("web")] });
  assert.match(
    JSON.stringify(answer),
    /has no end line \(line 3\).*Delete line 3 of/,
  );
  assert.equal((await helper.end()).code, 1);
  assert.equal(await machine.read("/etc/hosts"), broken);
});

test("waits for a lock that is held, then says who to look for", async (machine) => {
  await machine.sh("mkdir -m 700 /run/czctl");
  const holder = machine.start(["flock", "-x", "/run/czctl/lock", "cat"]);
  await until("the lock is held", () => machine.exists("/run/czctl/lock"));
  await using helper = await SpokenHelper.start(machine);
  const answer = await helper.ask({ op: "apply", entries: [entry("web")] });
  assert.match(JSON.stringify(answer), /Cannot lock the hosts file: .* for 5 s/);
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
  await holder.stdin.close();
  await Promise.all([holder.output()]);
  await helper.apply(entry("web"));
});

test("says who it is for the check of an installed copy", async (machine) => {
  const { code, out } = await machine.run([BINARY, "helper", "--probe"]);
  assert.equal(code, 0);
  const { hello, uid, euid, version } = JSON.parse(out);
  assert.deepEqual([hello, uid, euid], ["czfwd helper", 0, 0]);
  assert.match(version, /^\d+\.\d+\.\d+/);
  const user = await machine.run([BINARY, "helper"], { as: { uid: 4242, gid: 4242 } });
  assert.equal(user.code, 4);
  assert.match(user.out, /does not run as root/);
});

for (const way of ["by rename", "in place"]) {
  test(`never shows a reader half a line, ${way}, at 200 edits a second`, async (machine) => {
    if (way === "in place") {
      await machine.sh("cp /etc/hosts /srv/hosts; mount --bind /srv/hosts /etc/hosts");
    }
    const helper = await SpokenHelper.start(machine);
    const leaf = entry("leaf", { address: "127.1.31.2" });
    const path = machine.path("/etc/hosts");
    const seen = new Set<string>();
    let [edits, reads, reading] = [0, 0, true];
    const reader = (async () => {
      while (reading) {
        seen.add(await Deno.readTextFile(path));
        reads++;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })();
    const started = performance.now();
    while (performance.now() - started < 10_000) {
      await helper.apply(...(edits % 2 === 0 ? [entry("web"), leaf] : [leaf]));
      edits++;
      // Not more than 200 a second, so that the reader gets its turn.
      const due = started + edits * 5 - performance.now();
      if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
    }
    reading = false;
    await reader;
    const name = "(web|leaf)\\.demo";
    const line = new RegExp(
      "^(127\\.0\\.0\\.1 localhost|10\\.0\\.0\\.5 db\\.mine|# czctl end 0|" +
        "# czctl begin 0 - added by czctl, removed by: czctl session close|" +
        `127\\.1\\.31\\.\\d\\s+${name} ${name}\\.svc ${name}\\.svc\\.cluster\\.local|)$`,
    );
    for (const text of seen) {
      assert.ok(text.startsWith(HOSTS), text);
      for (const one of text.split("\n")) assert.match(one, line, text);
    }
    assert.ok(seen.size >= 2 && reads > 1_000, `${seen.size} contents, ${reads} reads`);
    assert.ok(edits > 500, `only ${edits} edits in 10 s`);
    await helper.end();
    assert.equal(await machine.read("/etc/hosts"), HOSTS);
  });
}

async function readAll(connection: Deno.Conn): Promise<Uint8Array> {
  const chunks: number[] = [];
  const buffer = new Uint8Array(65_536);
  for (;;) {
    const length = await connection.read(buffer);
    if (length === null) return Uint8Array.from(chunks);
    chunks.push(...buffer.subarray(0, length));
  }
}
