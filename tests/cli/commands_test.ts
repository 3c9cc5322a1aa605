import assert from "node:assert/strict";
import { findingLines } from "../../src/cli/doctor/action.ts";
import { runCommandLine } from "../../src/cli/main.ts";
import { readCommandLine } from "../../src/cli/grammar.ts";
import type { SessionInfo } from "../../src/model/control.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { eventBody, fakeContext, fakeSession, fakeStatus, withControlServer } from "./fakes.ts";
import { withFolder } from "../temp_folder.ts";
import { until } from "../until.ts";

async function run(line: string, home: string) {
  const { args, program } = readCommandLine(line.split(" "));
  const { context, terminal } = fakeContext(home, program === undefined ? {} : { program });
  const code = await runCommandLine(args, context);
  return { code, out: terminal.out, err: terminal.err };
}

/** A svc with these sessions, which closes them when told to. */
function svc(sessions: SessionInfo[], seen: string[] = []) {
  return (request: Request) => {
    const url = new URL(request.url);
    const route = `${request.method} ${url.pathname}`;
    if (request.method !== "GET") seen.push(route + url.search);
    const id = url.pathname.split("/")[3];
    switch (route.split("/").slice(0, 3).join("/")) {
      case "GET /v1/status":
        return Response.json(fakeStatus({ sessions }));
      case "GET /v1/sessions":
        return Response.json({ sessions });
      case "DELETE /v1/sessions": {
        const closed = sessions.filter((session) => id === undefined || session.id === id);
        return eventBody([...closed.map((session) => ({ type: "closed", session })), {
          type: "done",
        }]);
      }
      case "POST /v1/stop":
        return eventBody([...sessions.map((session) => ({ type: "closed", session })), {
          type: "done",
        }]);
      case "POST /v1/inspect":
        return Response.json({ url: "http://localhost:4040/?code=abc" });
    }
    return new Response(null, { status: 404 });
  };
}

const web = fakeSession();
const other = fakeSession({
  id: "3fbb0000",
  workload: { kind: "statefulset", name: "db", namespace: "tools" },
  namespaces: ["tools"],
});

Deno.test("czctl session list shows a table, and details, and JSON", async () => {
  await withControlServer(svc([web, other]), async (home) => {
    const table = await run("session list", home);
    assert.equal(table.code, 0);
    const lines = table.out.split("\n");
    assert.match(
      lines[0]!,
      /^ID {8}WORKLOAD {8}NAMESPACES {2}CONTEXT {2}SERVICES {2}STATE {2}AGE$/,
    );
    assert.match(lines[1]!, /^3f2a9c01 {2}deployment\/web {2}shop {8}dev {6}1 {9}ready {2}\d+d$/);
    assert.match(lines[2]!, /^3fbb0000 {2}statefulset\/db {2}tools {7}dev/);
    const details = await run("session list --details", home);
    assert.match(details.out, /cluster +dev \(https:\/\/127\.0\.0\.1:6443\)/);
    assert.match(
      details.out,
      /127\.1\.31\.1 {2}shop\/leaf {2}80 {5}2 {5}1\.5 kB in, 20 B out {2}shop-leaf\.shop leaf/,
    );
    const json = await run("session list -o json", home);
    assert.deepEqual(JSON.parse(json.out), { sessions: [web, other] });
  });
});

Deno.test("czctl session list --details tells what is not forwarded, and why", async () => {
  const troubled = fakeSession({
    cluster: { reachable: false, since: new Date().toISOString(), reason: "time-out" },
    notes: ['the name "dev" is left out'],
    envFile: { path: "/w/env.sh", variables: 14, state: "stopped", reason: "the file is gone" },
    services: [
      {
        ...web.services[0]!,
        ports: [{ ...web.services[0]!.ports[0]!, state: "blocked", reason: "in use" }],
        skipped: ["port 53/UDP: only TCP is forwarded"],
      },
      {
        namespace: "shop",
        name: "ext\x1b[2J",
        names: [],
        ports: [],
        skipped: [],
        readyPods: 0,
        reason: "it is an ExternalName",
      },
    ],
  });
  await withControlServer(svc([troubled]), async (home) => {
    const { out } = await run("session list --details", home);
    assert.match(out, /cluster unreachable for \d+s: time-out/);
    assert.match(out, /env file +\/w\/env\.sh, 14 variables, stopped: the file is gone/);
    assert.match(out, /! the name "dev" is left out/);
    assert.match(out, /! shop\/leaf:80 cannot be bound: in use/);
    assert.match(out, /! leaf: port 53\/UDP: only TCP is forwarded/);
    assert.match(out, /shop\/ext\\x1b\[2J .*it is an ExternalName/);
    assert.ok(!out.includes("\x1b"));
  });
});

Deno.test("czctl teleport --clean with a kubeconfig closes the session of its cluster, and no other", async () => {
  const seen: string[] = [];
  await withControlServer(svc([web], seen), async (home) => {
    const file = `${home}/kubeconfig`;
    const write = (server: string) =>
      Deno.writeTextFile(
        file,
        JSON.stringify({
          "current-context": "a",
          contexts: [{ name: "a", context: { cluster: "a", user: "a" } }],
          clusters: [{ name: "a", cluster: { server } }],
          users: [{ name: "a", user: {} }],
        }),
      );
    await write("https://192.0.2.1:6443");
    const other = await run(`teleport deploy/web --clean -k ${file}`, home);
    assert.equal(other.code, 0);
    assert.match(other.out, /No session of deployment\/web in the cluster of .*kubeconfig is open/);
    const none = await run(`teleport deploy/web --clean -k ${home}/nowhere`, home);
    assert.equal(none.code, 1);
    assert.match(none.err, /nowhere/);
    const both = await run("teleport deploy/web --clean -- true", home);
    assert.equal(both.code, 2);
    assert.match(both.err, /A program is named together with --clean/);
    assert.deepEqual(seen, []);
    await write(web.server);
    assert.equal((await run(`teleport deploy/web --clean -k ${file} --context a`, home)).code, 0);
    assert.deepEqual(seen, ["DELETE /v1/sessions/3f2a9c01"]);
  });
});

Deno.test("czctl session list --details and czctl status tell whose last connection failed, and why", async () => {
  const failing = (port: number) => ({
    ...web.services[0]!.ports[0]!,
    port,
    failed: 3,
    lastFailure: {
      at: new Date(Date.now() - 65_000).toISOString(),
      reason: 'Pod "shop/leaf-1\x1b[2J" refuses connections to its port 8080',
      hint: "kubectl logs",
    },
  });
  const ports = [81, 82, 83, 84, 85, 86, 87].map(failing);
  const session = fakeSession({ services: [{ ...web.services[0]!, ports }] });
  await withControlServer(svc([session]), async (home) => {
    const details = await run("session list --details", home);
    assert.match(
      details.out,
      /! shop\/leaf:81 failed \d+s ago: Pod "shop\/leaf-1\\x1b\[2J" refuses .* 8080\. kubectl logs\n/,
    );
    assert.match(details.out, /! shop\/leaf:87 failed/);
    const { out } = await run("status", home);
    assert.match(out, /! shop\/leaf:85 failed \d+s ago: /);
    assert.match(out, /! and 2 more: czctl session list --details/);
    assert.ok(!(details.out + out).includes("\x1b"));
  });
});

Deno.test("czctl session close closes the only session", async () => {
  const seen: string[] = [];
  await withControlServer(svc([web], seen), async (home) => {
    const { code, out } = await run("session close", home);
    assert.equal(code, 0);
    assert.match(out, /ok closed deployment\/web +1 service of shop/);
    assert.deepEqual(seen, ["DELETE /v1/sessions/3f2a9c01"]);
  });
});

Deno.test("czctl session close takes the beginning of an id, --all and --force", async () => {
  const seen: string[] = [];
  await withControlServer(svc([web, other], seen), async (home) => {
    assert.equal((await run("session close 3fb --force", home)).code, 0);
    assert.equal((await run("session close deploy/web", home)).code, 0);
    const all = await run("session close --all -o json", home);
    assert.deepEqual(JSON.parse(all.out), { closed: ["3f2a9c01", "3fbb0000"] });
    assert.deepEqual(seen, [
      "DELETE /v1/sessions/3fbb0000?force=1",
      "DELETE /v1/sessions/3f2a9c01",
      "DELETE /v1/sessions",
    ]);
  });
});

const refused: [string, number, RegExp][] = [
  ["session close", 2, /2 sessions are open: 3f2a9c01 \(deployment\/web\), 3fbb0000/],
  ["session close 3f", 2, /"3f" means 2 sessions: 3f2a9c01 \(.*, 3fbb0000/],
  ["session close deploy/nope", 1, /Session "deploy\/nope" not found/],
  ["session close ", 2, /The session's id is empty/],
  ["session close zz", 1, /Session "zz" not found\n {2}Open sessions: 3f2a9c01/],
  ["session close 3f2 --all", 2, /together/],
  ["teleport --clean", 2, /2 sessions are open/],
  ["run -- true", 2, /2 sessions are open/],
];

for (const [line, exit, message] of refused) {
  Deno.test(`czctl ${line} closes nothing and says why`, async () => {
    const seen: string[] = [];
    await withControlServer(svc([web, other], seen), async (home) => {
      const { code, err } = await run(line, home);
      assert.equal(code, exit);
      assert.match(err, message);
      assert.deepEqual(seen, []);
    });
  });
}

for (
  const line of [
    "teleport deployment web --clean",
    "deployment web teleport --clean",
    "deploy/web teleport --clean -n shop",
    "teleport --clean --context dev -n shop",
  ]
) {
  Deno.test(`czctl ${line} closes the matching session`, async () => {
    const seen: string[] = [];
    await withControlServer(svc([web, other], seen), async (home) => {
      assert.equal((await run(line, home)).code, 0);
      assert.deepEqual(seen, ["DELETE /v1/sessions/3f2a9c01"]);
    });
  });
}

Deno.test("czctl teleport --clean with no such session says so and succeeds", async () => {
  await withControlServer(svc([web]), async (home) => {
    const { code, out } = await run("teleport deployment leaf --clean", home);
    assert.equal(code, 0);
    assert.equal(out, "No session of deployment/leaf is open: nothing to clean up\n");
  });
});

Deno.test("czctl teleport --clean says what was asked for, and what stays open", async () => {
  const seen: string[] = [];
  await withControlServer(svc([web, other], seen), async (home) => {
    const { code, out, err } = await run("teleport deploy wbe --clean -n shop --context x", home);
    assert.equal(code, 0);
    assert.match(out, /^No session of deployment\/wbe in namespace shop with context x is open/);
    assert.match(err, /Still open: 3f2a9c01 \(deployment\/web\), 3fbb0000 \(statefulset\/db\)/);
    assert.deepEqual(seen, []);
  });
});

Deno.test("czctl session close tells sessions of equal workloads apart by namespace", async () => {
  const twin = fakeSession({ id: "4a", workload: { ...web.workload, namespace: "stage" } });
  await withControlServer(svc([web, twin]), async (home) => {
    const { err } = await run("session close", home);
    assert.match(
      err,
      /3f2a9c01 \(deployment\/web of shop, dev\), 4a \(deployment\/web of stage, dev\)/,
    );
  });
});

const wrong: [string, RegExp][] = [
  ["help nope", /Unknown command "nope"\n {2}See czctl --help/],
  ["session nope", /Unknown command "nope"\n {2}See czctl session --help/],
  ["-n shop", /See czctl --help/],
  ["web teleport -n shop", /Like this: czctl teleport deployment web -n NAMESPACE/],
  ["teleport ns", /Like this: czctl teleport namespace NAME;/],
  ["teleport sts", /Like this: czctl teleport statefulset NAME -n NAMESPACE;/],
  [
    "teleport shop",
    /czctl teleport deployment shop -n NAMESPACE, or czctl teleport namespace shop/,
  ],
  ["svc -n shop", /Like this: czctl teleport svc NAME .*: czctl teleport namespace NAME/],
  ["deploy/web -n shop", /Like this: czctl teleport deploy\/web -n shop/],
  ["environment", /Cannot read an environment: no workload is named/],
  ["environment deploy", /Cannot read the environment of a deployment: no name is given/],
  ["-- true", /No program can be run by "czctl"/],
];

for (const [line, message] of wrong) {
  Deno.test(`czctl ${line} is wrong usage and says what would be right`, async () => {
    await withFolder(async (home) => {
      const { code, out, err } = await run(line, home);
      assert.deepEqual([code, out], [2, ""]);
      assert.match(err, message);
    });
  });
}

Deno.test("czctl help COMMAND and help for an alias show that command's help", async () => {
  await withFolder(async (home) => {
    for (
      const [line, usage] of [
        ["help teleport", "teleport"],
        ["help env", "environment"],
        ["teleport help", "teleport"],
        ["session help", "session"],
        ["session close help", "session close"],
      ]
    ) {
      const { code, out } = await run(line!, home);
      assert.equal(code, 0);
      assert.match(out, new RegExp(`^Usage: czctl ${usage}`));
    }
  });
});

for (
  const [line, expected] of [
    ["teleport --clean", "No session is open: nothing to clean up\n"],
    ["session close", "No session is open: nothing to close\n"],
    ["session close --all", "No session is open: nothing to close\n"],
    ["session list", "No session is open\n"],
    ["status", "czfwd is not running: no session is open\n"],
    ["logs", "No log yet: czfwd has not run\n"],
  ] as const
) {
  Deno.test(`czctl ${line} without a svc says so and succeeds`, async () => {
    await withFolder(async (home) => {
      assert.deepEqual(await run(line, home), { code: 0, out: expected, err: "" });
    });
  });
}

Deno.test("czctl status shows what runs, and that the cluster is unreachable", async () => {
  const away = fakeSession({ cluster: { reachable: false, reason: "connection refused" } });
  await withControlServer(svc([away]), async (home) => {
    const { code, out } = await run("status", home);
    assert.equal(code, 0);
    assert.match(out, /^czfwd {6}running for \d+d, pid 4242, version 0\.0\.0-dev, stays/);
    assert.match(out, /^helper {5}running, pid 4243$/m);
    assert.match(out, /^inspector {2}http:\/\/localhost:4040$/m);
    assert.match(out, /! 3f2a9c01: the cluster is unreachable: connection refused/);
    const json = JSON.parse((await run("status -o json", home)).out);
    assert.equal(json.running, true);
    assert.equal(json.pid, 4242);
  });
});

Deno.test("czctl status and session list tell a namespace that is gone", async () => {
  const lost = [{ namespace: "shop", state: "gone" as const }];
  const half = fakeSession({ id: "3fbb0000", namespaces: ["shop", "tools"], lost });
  await withControlServer(svc([fakeSession({ lost }), half]), async (home) => {
    const { out } = await run("status", home);
    assert.match(out, /^3f2a9c01 .* namespace gone /m);
    assert.match(out, /^3fbb0000 .* ready /m);
    assert.match(out, /! 3f2a9c01: Namespace "shop" no longer exists$/m);
    assert.match((await run("session list", home)).out, /^3f2a9c01 .* namespace gone /m);
  });
});

Deno.test("czctl inspect prints the URL with its code", async () => {
  await withControlServer(svc([]), async (home) => {
    const { code, out } = await run("inspect --no-open", home);
    assert.deepEqual([code, out], [0, "http://localhost:4040/?code=abc\n"]);
  });
  await withFolder(async (home) => {
    const { code, err } = await run("inspect", home);
    assert.equal(code, 1);
    assert.match(err, /czfwd is not running/);
  });
});

Deno.test("czctl run in the only session without a workload's environment runs the program", async () => {
  const session = fakeSession({ workload: { kind: "namespace", name: "shop", namespace: "shop" } });
  const seen: string[] = [];
  await withControlServer(svc([session], seen), async (home) => {
    assert.equal((await run("run -- false", home)).code, 1);
    assert.equal((await run("run -- /nonexistent/program", home)).code, 127);
    // The session was open before: it stays.
    assert.deepEqual(seen, []);
  });
});

Deno.test("czctl logs -f before the first start waits for the log", async () => {
  await withFolder(async (home) => {
    const { context, terminal, interrupt } = fakeContext(home);
    const path = context.paths().log;
    const ended = runCommandLine(["logs", "-f"], context);
    await until("it says so", () => terminal.err.includes("waiting until czfwd runs"));
    await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(path, "one\n");
    await until("the line", () => terminal.out === "one\n");
    interrupt(new CzctlError("interrupted", "Interrupted by SIGINT"));
    assert.equal(await ended, 130);
  });
});

Deno.test("czctl doctor shows each command of a mend on a line of its own", () => {
  const lines = findingLines([
    { subject: "cluster", state: "ok", text: "It answers" },
    {
      subject: "session 3f2a9c01",
      state: "problem",
      text: "Its cluster is unreachable",
      mend: "To be run by an administrator:\nkubectl create role a\x1b[2J\nkubectl create role b",
    },
  ]);
  assert.deepEqual(lines, [
    "ok  cluster           It answers",
    "!!  session 3f2a9c01  Its cluster is unreachable",
    "       mend: To be run by an administrator:",
    "             kubectl create role a\\x1b[2J",
    "             kubectl create role b",
    "1 problem, 0 warnings",
  ]);
});

Deno.test("czctl logs shows the last lines", async () => {
  await withFolder(async (home) => {
    const { context } = fakeContext(home);
    const path = context.paths().log;
    await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(path, "one\ntwo\nthree\n");
    assert.equal((await run("logs -l 2", home)).out, "two\nthree\n");
  });
});

const usage: [string, RegExp][] = [
  ["nonsense", /Unknown command "nonsense"/],
  ["versoin", /did you mean version\?/],
  ["deployment web", /No command is given for "deployment web"\n.*czctl teleport deployment web/],
  ["teleport", /no workload is named/],
  ["teleport deployment", /no name is given/],
  ["teleport deploymet web", /did you mean "deployment"/],
  ["teleport deploy/web --hold soon", /time such as/],
  ["teleport deploy/web -f -", /-f needs a file\n.*czctl environment deployment web/],
  ["status -- ls", /No program can be run by "czctl status"/],
  ["session", /Usage: czctl session/],
  ["session nonsense", /Unknown command "nonsense"/],
  ["help nonsense", /Unknown command "nonsense"/],
  ["help session nonsense", /Unknown command "nonsense"/],
  ["completions tcsh", /Allowed choices are bash, zsh, fish/],
  ["completions", /Missing required argument "shell"/],
  ["version extra", /too many arguments/i],
  ["run deploy/web", /No program is named/],
  ["environment namespace shop", /A namespace has no environment/],
  ["environment deploy/web a b", /Unexpected argument "b"|too many/],
  ["logs -l many", /whole number/],
  ["status -o xml", /Allowed choices are text, json/],
];

for (const [line, message] of usage) {
  Deno.test(`czctl ${line} is wrong usage: exit code 2`, async () => {
    await withFolder(async (home) => {
      const { code, out, err } = await run(line, home);
      assert.equal(code, 2, err);
      assert.match(err, message);
      assert.doesNotMatch(err, /\n {4}at /);
      assert.equal(out, "");
    });
  });
}

Deno.test("czctl without HOME says so", async () => {
  const { context, terminal } = fakeContext("");
  const { statePaths } = await import("../../src/platform/paths.ts");
  const homeless = { ...context, paths: () => statePaths(undefined) };
  assert.equal(await runCommandLine(["status"], homeless), 1);
  assert.match(terminal.err, /HOME is not set/);
});

Deno.test("czctl session close says what was closed: services with a tunnel, namespaces in words", async () => {
  const everywhere = fakeSession({
    namespaces: ["*"],
    services: [...web.services, {
      namespace: "shop",
      name: "ext",
      names: [],
      ports: [],
      skipped: [],
      readyPods: 0,
      reason: "It is an ExternalName",
    }],
  });
  await withControlServer(svc([everywhere]), async (home) => {
    const { code, out } = await run("session close", home);
    assert.equal(code, 0);
    assert.match(out, /closed deployment\/web +1 service of all namespaces\n/);
  });
});
