/** The set-uid copy of the compiled binary: what it does for its user, and refuses everybody. */
import assert from "node:assert/strict";
import { entry, SpokenHelper } from "./support/helper.ts";
import { BINARY, binaryIsThere, Machine } from "./support/machine.ts";
import { addUsers, COPY, DEMO, elevate, installCopy, MATE, STRANGER } from "./support/users.ts";

const ignore = !Machine.available || !binaryIsThere();
const HOSTS = "127.0.0.1 localhost\n10.0.0.5 db.mine";

function test(name: string, fn: (machine: Machine) => Promise<void>): void {
  Deno.test({
    name: `set-uid copy: ${name}`,
    ignore,
    fn: async () => {
      await using machine = await Machine.create();
      await addUsers(machine, HOSTS);
      await fn(machine);
    },
  });
}

test("is installed with the right owner and mode, and removed without a trace", async (machine) => {
  const before = await machine.changes();
  await installCopy(machine);
  const facts = await machine.sh(`stat -c '%a %u %g %h %F' ${COPY}`);
  assert.equal(facts, `4750 0 ${DEMO.gid} 1 regular file\n`);
  await machine.sh(`cmp ${COPY} ${BINARY}`);
  assert.equal(
    await machine.sh(`stat -c '%a %u' /usr/local/libexec/czctl/${DEMO.uid}`),
    "755 0\n",
  );
  // Over an installed one, as after an update.
  await installCopy(machine);
  assert.equal((await elevate(machine, "/usr/local", "uninstall")).code, 0);
  assert.deepEqual(await machine.changes(), before);
});

test("works for its user: hosts, a low port, and everything back at the end", async (machine) => {
  await installCopy(machine);
  const before = contentOf(await machine.changes());
  const helper = await SpokenHelper.start(machine, [COPY, "helper"], { as: DEMO });
  await helper.apply(
    entry("web"),
    entry("google", { pod: "www", namespace: "com", address: "127.1.31.2" }),
    entry("google", { pod: "metadata", namespace: "internal", address: "127.1.31.3" }),
  );
  assert.doesNotMatch(await machine.read("/etc/hosts"), /google\.(com|internal)(\s|$)/m);
  assert.match(
    await machine.read("/etc/hosts"),
    /^127.*\n10\.0\.0\.5 db\.mine\n# czctl begin 4201 .*newline before\)\n127\.1\.31\.1 /,
  );
  assert.equal(await machine.sh("stat -c '%a %u %g' /etc/hosts"), "644 0 0\n");
  const address = `127.1.${100 + Math.floor(Math.random() * 100)}.9`;
  assert.deepEqual(await helper.ask({ op: "relay", address, port: 80, to: 40_123 }), {
    id: 1,
    ok: true,
  });
  const client = await Deno.connect({ hostname: address, port: 80 });
  client.close();
  assert.equal((await helper.end()).code, 0);
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
  assert.deepEqual(contentOf(await machine.changes()), before);
});

test("is the helper whatever its arguments say", async (machine) => {
  await installCopy(machine);
  for (
    const args of [
      [],
      ["svc"],
      ["version"],
      ["teleport", "pod", "x"],
      ["elevate", "uninstall"],
      [
        "-A",
      ],
      ["--inspect"],
      ["eval", "1"],
    ]
  ) {
    const { code, out } = await machine.run([COPY, ...args], { as: DEMO });
    assert.equal(code, 0, out);
    const hello = JSON.parse(out);
    assert.equal(hello.hello, "czfwd helper", `${args}`);
    assert.deepEqual([hello.uid, hello.euid], [DEMO.uid, 0]);
  }
});

test("refuses everybody else, and in any other place", async (machine) => {
  await installCopy(machine);
  const before = await machine.changes();
  const request = `${JSON.stringify({ id: 1, op: "apply", entries: [entry("web")] })}\n`;
  const refusal = async (path: string, as: typeof DEMO) => {
    const { code, out } = await machine.run([path, "helper"], { as, input: request });
    assert.equal(code, 4, out);
    return JSON.parse(out).fatal.message;
  };
  assert.match(await refusal(COPY, MATE), /installed for user 4201, not 4202/);
  const stranger = await machine.run([COPY, "helper"], { as: STRANGER });
  assert.equal(stranger.out, "");
  assert.notEqual(stranger.code, 0);

  // Copies of it, as a careless administrator might make them.
  const copies: [string, string, RegExp][] = [
    ["/usr/local/bin/czfwd", "mkdir -p /usr/local/bin", /not where czctl start installs it/],
    [`/opt/x/${DEMO.uid}/czctl`, `mkdir -p /opt/x/${DEMO.uid}`, /not where czctl start/],
    [`/opt/y/${MATE.uid}/czfwd`, `mkdir -p /opt/y/${MATE.uid}`, /for user 4202, not 4201/],
    [
      `/opt/z/${DEMO.uid}/czfwd`,
      `mkdir -p /opt/z/${DEMO.uid}; chmod 777 /opt/z`,
      /"\/opt\/z" can be changed by others than root/,
    ],
    [
      `${DEMO.home}/${DEMO.uid}/czfwd`,
      `mkdir -p ${DEMO.home}/${DEMO.uid}`,
      /can be changed by others than root/,
    ],
    [`/opt/g/${DEMO.uid}/czfwd`, `mkdir -p -m 775 /opt/g/${DEMO.uid}`, /can be changed by others/],
  ];
  for (const [path, prepare, reason] of copies) {
    await machine.sh(`${prepare}; cp -p ${COPY} ${path}; chmod 4755 ${path}; chmod 4750 ${path}`);
    assert.match(await refusal(path, DEMO), reason);
    await machine.sh(`rm ${path}`);
  }
  await machine.sh("rm -r /opt/x /opt/y /opt/z /opt/g; rmdir /usr/local/bin 2>/dev/null || true");
  await machine.sh(`rmdir ${DEMO.home}/${DEMO.uid}`);

  await machine.sh(`chmod 4755 ${COPY}`);
  assert.match(await refusal(COPY, DEMO), /another owner or mode/);
  await machine.sh(`chmod 4750 ${COPY}; ln ${COPY} /usr/local/second`);
  assert.match(await refusal(COPY, DEMO), /more than one name/);
  await machine.sh(`rm /usr/local/second`);

  // Through a link of the user's own it is still the one copy.
  await machine.run(["ln", "-s", COPY, `${DEMO.home}/mine`], { as: DEMO });
  const linked = await machine.run([`${DEMO.home}/mine`, "helper"], { as: DEMO });
  assert.equal(JSON.parse(linked.out).euid, 0);
  await machine.sh(`rm ${DEMO.home}/mine`);

  // A hard link is what Linux refuses here.
  const hard = await machine.run(["ln", COPY, `${DEMO.home}/hard`], { as: DEMO });
  assert.match(hard.err, /Operation not permitted/);
  assert.deepEqual(contentOf(await machine.changes()), contentOf(before));
});

test("without it the binary can do nothing an ordinary user cannot", async (machine) => {
  const before = await machine.changes();
  const refusals: [string[], RegExp][] = [
    [["helper"], /does not run as root/],
    [["elevate", "install", `${DEMO.uid}:${DEMO.gid}`, "/usr/local"], /has to be run by root/],
    [["elevate", "uninstall", `${MATE.uid}:${MATE.gid}`, "/usr/local"], /has to be run by root/],
  ];
  for (const [args, reason] of refusals) {
    const { code, out, err } = await machine.run([BINARY, ...args], {
      as: DEMO,
      env: { HOME: DEMO.home },
    });
    assert.equal(code, 4, `${args}: ${out}${err}`);
    assert.match(`${out}${err}`, reason);
  }
  assert.deepEqual(contentOf(await machine.changes()), contentOf(before));
});

const HOSTILE: Record<string, string> = {
  SSLKEYLOGFILE: "/trace/sslkeys",
  ICU_DATA: "/trace/icu",
  ICU_TIMEZONE_FILES_DIR: "/trace/icu",
  NODE_ICU_DATA: "/trace/icu",
  DENO_V8_FLAGS: "--prof,--logfile=/trace/v8.log,--trace-opt,--redirect-code-traces",
  NODE_OPTIONS: "--require=/trace/evil.cjs --trace-events-enabled --inspect=0",
  NODE_V8_COVERAGE: "/trace/coverage",
  DENO_COVERAGE_DIR: "/trace/coverage",
  DENO_DIR: "/trace/deno",
  DENO_AUDIT_PERMISSIONS: "/trace/audit",
  DENO_PERMISSION_BROKER_PATH: "/trace/broker.sock",
  DENO_TRACE_PERMISSIONS: "1",
  DENO_UNSTABLE_CRON_SOCK: "unix:/trace/cron.sock",
  DENO_SERVE_ADDRESS: "tcp:127.0.0.1:48999,duplicate",
  DENO_AUTO_SERVE: "1",
  DENO_KV_DB_MODE: "disk",
  DENO_CACHE_DB_MODE: "disk",
  DENO_CERT: "/etc/shadow",
  DENO_TLS_CA_STORE: "system",
  NODE_EXTRA_CA_CERTS: "/etc/shadow",
  SSL_CERT_FILE: "/etc/shadow",
  OTEL_DENO: "true",
  OTEL_DENO_CONSOLE: "replace",
  OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318",
  OTEL_EXPORTER_OTLP_CERTIFICATE: "/etc/shadow",
  OTEL_EXPORTER_OTLP_CLIENT_KEY: "/etc/shadow",
  NODE_CHANNEL_FD: "0",
  NODE_CHANNEL_SERIALIZATION_MODE: "json",
  NODE_DEBUG: "*",
  NODE_PATH: "/trace",
  NODE_REPL_HISTORY: "/trace/history",
  RUST_BACKTRACE: "full",
  RUST_MIN_STACK: "100000000",
  TMPDIR: "/trace",
  HOME: "/trace",
  XDG_CACHE_HOME: "/trace",
  XDG_CONFIG_HOME: "/trace",
  TZ: ":/trace/tz",
  LOCPATH: "/trace",
  GCONV_PATH: "/trace",
  HOSTALIASES: "/trace/aliases",
  MALLOC_TRACE: "/trace/malloc",
  GLIBC_TUNABLES: "glibc.malloc.check=3",
  LD_PRELOAD: "/trace/evil.so",
  LD_LIBRARY_PATH: "/trace",
  LD_AUDIT: "/trace/evil.so",
  LD_DEBUG: "all",
  LD_DEBUG_OUTPUT: "/trace/ld",
  LD_PROFILE: "libc.so.6",
  LD_PROFILE_OUTPUT: "/trace",
};

test("leaves no file under a hostile environment, umask 0 or closed stdio", async (machine) => {
  await installCopy(machine);
  // Anybody may write here: what root would be made to write is seen.
  await machine.sh(`mkdir -m 777 /trace /trace/icu; echo 'throw 1' > /trace/evil.cjs
    printf nonsense > /trace/icu/zoneinfo64.res; echo x > /trace/evil.so`);
  const before = contentOf(await machine.changes());
  // Set behind setpriv and env, so that only the copy sees it.
  const assignments = Object.entries(HOSTILE).map(([key, value]) => `${key}=${value}`);
  const hostile = ["sh", "-c", 'umask 0; exec env -i "$@"', "sh", ...assignments];
  const helper = await SpokenHelper.start(machine, [...hostile, COPY, "helper"], { as: DEMO });
  await helper.apply(entry("web"));
  assert.deepEqual(await helper.ask({ op: "ping" }), { id: 1, ok: true });
  const during = [...(await machine.changes()).keys()].filter((path) => !before.has(path));
  assert.deepEqual(during.sort(), [
    "/run/czctl",
    `/run/czctl/block-${DEMO.uid}`,
    "/run/czctl/lock",
  ]);
  assert.equal(
    await machine.sh("stat -c '%a %u' /run/czctl /run/czctl/*"),
    "700 0\n600 0\n600 0\n",
  );
  assert.equal(await machine.sh("stat -c '%a %u %g' /etc/hosts"), "644 0 0\n");
  assert.equal((await helper.end()).code, 0);
  assert.deepEqual(contentOf(await machine.changes()), before);
  assert.equal(await machine.read("/etc/hosts"), HOSTS);

  for (const closed of ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]) {
    const script = `umask 0; exec env -i ${COPY} helper ${closed}`;
    const { out } = await machine.run(["sh", "-c", script], { as: DEMO });
    assert.equal(out.includes("fatal"), false, out);
    assert.deepEqual(contentOf(await machine.changes()), before, closed);
  }
  // And as a resource the caller sets: no file may grow.
  const limited = ["sh", "-c", `ulimit -f 0; exec ${COPY} helper`];
  const starved = await SpokenHelper.start(machine, limited, { as: DEMO });
  await starved.ask({ op: "apply", entries: [entry("web")] });
  await starved.end();
  const after = await SpokenHelper.start(machine, [COPY, "helper"], { as: DEMO });
  await after.end();
  assert.equal(await machine.read("/etc/hosts"), HOSTS);
  assert.deepEqual(contentOf(await machine.changes()), before);
});

test("starts no program, and opens nothing a caller could name", async (machine) => {
  if ((await machine.run(["which", "strace"])).code !== 0) return;
  await installCopy(machine);
  await machine.sh("mkdir -m 777 /trace /trace/icu; echo x > /trace/icu/zoneinfo64.res");
  // strace starts the program as the user and keeps set-uid working, because it is root itself.
  const trace = ["strace", "-f", "-u", "demo", "-e", "trace=execve,openat,connect", "-o", "/out"];
  const env = Object.entries(HOSTILE).filter(([key]) => !key.startsWith("LD_"))
    .flatMap(([key, value]) => ["-E", `${key}=${value}`]);
  const helper = await SpokenHelper.start(machine, [...trace, ...env, COPY, "helper"]);
  await helper.apply(entry("web"));
  assert.equal((await helper.end()).code, 0);
  const calls = (await machine.read("/out")).split("\n");
  assert.equal(calls.filter((line) => line.includes("execve(")).length, 1);
  assert.deepEqual(calls.filter((line) => /\/trace|\/etc\/shadow|connect\(/.test(line)), []);
});

test("writes where a linked hosts file leads, unless others could lead it elsewhere", async (machine) => {
  await installCopy(machine);
  const apply = async () => {
    const helper = await SpokenHelper.start(machine, [COPY, "helper"], { as: DEMO });
    const answer = await helper.ask({ op: "apply", entries: [entry("web")] });
    const { code } = await helper.end();
    return { answer: JSON.stringify(answer), code };
  };
  // As in a system that is built from links, a sticky folder among them.
  await machine.sh(
    `mkdir -p /opt/store/one; chmod 1777 /opt/store; mv /etc/hosts /opt/store/one/hosts
    mkdir /opt/static; ln -s ../store/one /opt/static/now; ln -s /opt/static/./now/hosts /etc/hosts`,
  );
  const { answer, code } = await apply();
  assert.match(answer, /"ok":true/);
  assert.equal(code, 0);
  assert.equal(await machine.read("/opt/store/one/hosts"), HOSTS);
  assert.equal(await machine.sh("readlink /etc/hosts"), "/opt/static/./now/hosts\n");

  await machine.sh("echo root:secret > /opt/shadow; chmod 600 /opt/shadow");
  const mine = `${DEMO.home}/hosts`;
  const ways = [
    `ln -sfn /opt/shadow ${mine}; ln -sfn ${mine} /etc/hosts`,
    `ln -sfn ../../opt/shadow ${mine}; ln -sfn ../home/./demo/../demo/hosts /etc/hosts`,
    `ln -sfn /opt ${mine}; ln -sfn ${mine}/shadow /etc/hosts`,
    `mkdir -m 775 /opt/loose; ln -s /opt/shadow /opt/loose/hosts; ln -sfn /opt/loose/hosts /etc/hosts`,
    `ln -s /opt/shadow /opt/store/mine; chown -h ${DEMO.uid} /opt/store/mine
      ln -sfn /opt/store/mine /etc/hosts`,
  ];
  for (const way of ways) {
    await machine.sh(way);
    const { answer, code } = await apply();
    assert.match(answer, /Cannot edit \/etc\/hosts: it leads through/, way);
    // The last edit is refused as well: nothing was taken out.
    assert.equal(code, 1);
    assert.equal(await machine.read("/opt/shadow"), "root:secret\n");
  }
});

test("is not installed where it could be changed or would not work", async (machine) => {
  const before = await machine.changes();
  const refusal = async (prefix: string, reason: RegExp) => {
    const { code, err } = await elevate(machine, prefix);
    assert.equal(code, 1, err);
    assert.match(err, reason);
  };
  await refusal("relative/path", /not an absolute path/);
  await refusal(DEMO.home, /"\/home\/demo" is a link, not root's, or writable by others/);
  await refusal("/tmp/deep/er", /"\/tmp" is a link, not root's, or writable by others/);
  await machine.sh("ln -s /usr/local /opt/link");
  await refusal("/opt/link", /"\/opt\/link" is a link/);
  await machine.sh("rm /opt/link; mkdir -p /opt/a; ln -s /etc /opt/a/libexec");
  await refusal("/opt/a", /"\/opt\/a\/libexec" is a link/);
  await machine.sh("rm -r /opt/a; mkdir -m 1777 /opt/b");
  await refusal("/opt/b", /"\/opt\/b" is a link, not root's, or writable/);
  await machine.sh("rmdir /opt/b; mkdir /opt/c; mount -t tmpfs -o nosuid,mode=755 c /opt/c");
  await refusal("/opt/c", /set-uid has no effect .*\n.*--prefix FOLDER/);
  assert.equal(await machine.sh("ls -A /opt/c"), "");
  await machine.sh("umount /opt/c; rmdir /opt/c");
  assert.deepEqual(contentOf(await machine.changes()), contentOf(before));

  // What lies where the copy goes is replaced, never written through.
  await machine.sh(`mkdir -p -m 755 /usr/local/libexec/czctl/${DEMO.uid}
    echo secret > /opt/secret; ln -s /opt/secret ${COPY}
    ln -s /opt/secret /usr/local/libexec/czctl/${DEMO.uid}/.czfwd.new`);
  await installCopy(machine);
  assert.equal(await machine.read("/opt/secret"), "secret\n");
  assert.equal(await machine.sh(`stat -c '%a %F' ${COPY}`), "4750 regular file\n");
});

test("is moved to another prefix, and nothing but itself is removed for that", async (machine) => {
  const before = contentOf(await machine.changes());
  const move = (prefix: string, former: string) =>
    machine.run([BINARY, "elevate", "install", `${DEMO.uid}:${DEMO.gid}`, prefix, former]);
  const there = (prefix: string) => machine.exists(`${prefix}/libexec/czctl/${DEMO.uid}/czfwd`);
  await installCopy(machine, "/opt/a");
  await machine.sh("touch /opt/a/libexec/mine");
  assert.equal((await move("/usr/local", "/opt/a")).code, 0);
  assert.deepEqual([await there("/usr/local"), await there("/opt/a")], [true, false]);
  assert.equal(await machine.sh("find /opt/a -type f"), "/opt/a/libexec/mine\n");
  // The same folder under another name.
  await machine.sh("mkdir /opt/twin; mount --bind /usr/local /opt/twin");
  assert.equal((await move("/opt/twin", "/usr/local")).code, 0);
  assert.equal(await there("/usr/local"), true);
  await machine.sh("umount /opt/twin; rm -r /opt/a /opt/twin");

  const refusal = async (former: string, reason: RegExp) => {
    const { code, err } = await move("/opt/b", former);
    assert.equal(code, 1, err);
    assert.match(err, reason);
    assert.deepEqual([await there("/usr/local"), await there("/opt/b")], [true, false]);
  };
  // Somebody else's folder, with a way to the copy from there.
  await machine.sh(`mkdir -p /opt/evil; ln -s /usr/local/libexec /opt/evil/libexec`);
  await refusal("/opt/evil", /"\/opt\/evil\/libexec" is a link/);
  await machine.sh(`chown ${DEMO.uid} /opt/evil`);
  await refusal("/opt/evil", /is a link, not root's, or writable by others/);
  await refusal("usr/local", /not an absolute path/);
  // What cannot be removed after all: the new one does not stay either.
  await machine.sh("mount --bind /usr/local /usr/local; mount -o remount,bind,ro /usr/local");
  await refusal("/usr/local", /Cannot remove the helper .*read-only/i);
  await machine.sh("umount /usr/local; rm -r /opt/evil");
  const relative = await elevate(machine, "usr/local", "uninstall");
  assert.equal(relative.code, 1, relative.err);
  assert.equal((await elevate(machine, "/usr/local", "uninstall")).code, 0);
  await machine.sh("rmdir /opt/b 2>/dev/null || true");
  assert.deepEqual(contentOf(await machine.changes()), before);
});

/** Without the times, which a file that was put back cannot keep. */
function contentOf(changes: Map<string, string>): Map<string, string> {
  return new Map([...changes].map(([path, facts]) => {
    const [kind, mode, uid, gid, size] = facts.split(" ");
    return [path, [kind, mode, uid, gid, size].join(" ")] as const;
  }));
}
