import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommandLine } from "../../src/cli/main.ts";
import { readCommandLine } from "../../src/cli/grammar.ts";
import { CzctlError } from "../../src/model/errors.ts";
import type { ControlEvent, TeleportRequest } from "../../src/model/control.ts";
import { fakeContext, fakeSession, fakeStatus, withControlServer } from "./fakes.ts";

const session = fakeSession({ workload: { kind: "namespace", name: "shop", namespace: "shop" } });
const CONFIG = JSON.stringify({
  "current-context": "a",
  contexts: [{ name: "a", context: { cluster: "a", user: "a" } }],
  clusters: [{ name: "a", cluster: { server: "https://127.0.0.1:1" } }],
  users: [{ name: "a", user: { token: "t" } }],
});

/** A svc that opens `session`, with what it is asked and told in order. */
function svc(seen: string[], asked: TeleportRequest[], already = false, opens = true) {
  const encoder = new TextEncoder();
  const bytes = (event: ControlEvent) => encoder.encode(JSON.stringify(event) + "\n");
  return async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    if (pathname === "/v1/status") return Response.json(fakeStatus({ sessions: [session] }));
    seen.push(`${request.method} ${pathname}`);
    if (request.method !== "POST") return new Response(bytes({ type: "done" }));
    asked.push(await request.json());
    return new Response(
      new ReadableStream({
        start(controller) {
          controller.enqueue(bytes({ type: "step", label: "1 service of shop", detail: "" }));
          if (!opens) return;
          controller.enqueue(bytes({ type: "session", session, already }));
          // One for a program goes on until it is released.
          if (asked.at(-1)!.forProgram) return;
          controller.enqueue(bytes({ type: "done" }));
          controller.close();
        },
        cancel: () => void seen.push("hung up"),
      }),
    );
  };
}

/** Runs it; Ctrl-C comes when standard output gets this. */
async function run(line: string, home: string, interruptAt?: RegExp) {
  await writeFile(join(home, "config"), CONFIG);
  const { args, program } = readCommandLine(line.split(" "));
  const options = program === undefined ? {} : { program };
  const { context, terminal, interrupt } = fakeContext(home, {
    ...options,
    env: { KUBECONFIG: "config" },
  });
  const { write } = terminal.stdout;
  terminal.stdout.write = (text) => {
    write(text);
    if (interruptAt?.test(text)) interrupt(new CzctlError("interrupted", "Interrupted by SIGINT"));
  };
  const code = await runCommandLine(args, context);
  return { code, out: terminal.out, err: terminal.err };
}

for (const line of ["run ns shop -- false", "teleport ns shop -- false"]) {
  for (const already of [false, true]) {
    Deno.test(`czctl ${line} holds the session${already ? " that is open already" : ""} and releases it`, async () => {
      const seen: string[] = [];
      const asked: TeleportRequest[] = [];
      await withControlServer(svc(seen, asked, already), async (home) => {
        const { code, out, err } = await run(line, home);
        // Standard output is the program's.
        assert.deepEqual([code, out], [1, ""]);
        assert.match(err, /^ {2}ok 1 service of shop$/m);
        assert.match(err, /^ {2}Inspect: http:\/\/localhost:4040$/m);
        assert.doesNotMatch(err, /Close/);
        assert.equal(/is open already/.test(err), already);
        const [{ holder, forProgram }] = asked as [TeleportRequest];
        assert.equal(forProgram, true);
        // Whether it closes is for svc to know, which knows the others.
        assert.deepEqual(seen.slice(0, 2), ["POST /v1/sessions", `DELETE /v1/holders/${holder}`]);
      });
      assert.equal(seen[2], "hung up");
    });
  }
}

Deno.test("czctl teleport without a program holds the session for good", async () => {
  const seen: string[] = [];
  const asked: TeleportRequest[] = [];
  await withControlServer(svc(seen, asked), async (home) => {
    const { code, out } = await run("teleport ns shop", home);
    assert.equal(code, 0);
    assert.match(
      out,
      /^ {2}ok 1 service of shop\n {2}Inspect: \S+ {6}Close: czctl session close\n$/,
    );
    assert.equal(asked[0]!.forProgram, undefined);
    assert.deepEqual(seen, ["POST /v1/sessions"]);
  });
});

Deno.test("czctl teleport that is interrupted before the session is open has it undone", async () => {
  const seen: string[] = [];
  const asked: TeleportRequest[] = [];
  await withControlServer(svc(seen, asked, false, false), async (home) => {
    const { code, out, err } = await run("teleport ns shop", home, /1 service/);
    assert.equal(code, 130);
    assert.match(err, /undoing what was done\nerror: Interrupted by SIGINT\n$/);
    assert.doesNotMatch(out, /Close/);
    const requests = seen.filter((one) => one !== "hung up");
    assert.deepEqual(requests, ["POST /v1/sessions", `DELETE /v1/holders/${asked[0]!.holder}`]);
  });
});

Deno.test("czctl teleport that is interrupted while it tells of the open session has opened it", async () => {
  const seen: string[] = [];
  await withControlServer(svc(seen, [], true), async (home) => {
    const { code, out } = await run("teleport ns shop", home, /is open already/);
    assert.equal(code, 0);
    assert.match(out, /Close: czctl session close\n$/);
    assert.deepEqual(seen.filter((one) => one !== "hung up"), ["POST /v1/sessions"]);
  });
});
