import assert from "node:assert/strict";
import { ControlClient, NotRunning } from "../../src/cli/control_client.ts";
import type { ControlEvent, TeleportRequest } from "../../src/model/control.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { statePaths } from "../../src/platform/paths.ts";
import { eventBody, fakeSession, fakeStatus, withControlServer } from "./fakes.ts";
import { withFolder } from "../temp_folder.ts";

function client(home: string, over: { answerMs?: number; silenceMs?: number } = {}) {
  return new ControlClient({ socket: statePaths(home).socket, version: "0.0.0-dev", ...over });
}

const request: TeleportRequest = { kind: "pod", name: "web", cwd: "/", env: {} };

async function collect(events: AsyncIterable<ControlEvent>): Promise<ControlEvent[]> {
  const all: ControlEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

function isCzctl(code: string, message: RegExp, hint?: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof CzctlError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    if (hint) assert.match(error.hint ?? "", hint);
    return true;
  };
}

Deno.test("ControlClient.connect() gives the status of a svc of the same version", async () => {
  await withControlServer(() => Response.json(fakeStatus()), async (home) => {
    assert.equal((await client(home).connect()).pid, 4242);
  });
});

Deno.test("ControlClient tells a svc that was never started", async () => {
  await withFolder(async (home) => {
    await assert.rejects(client(home).connect(), (error) => {
      assert.ok(error instanceof NotRunning);
      assert.equal(error.kind, "missing");
      return true;
    });
  });
});

Deno.test("ControlClient tells a socket whose svc is dead", async () => {
  await withFolder(async (home) => {
    const path = statePaths(home).socket;
    await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
    // Bound, then closed by hand: the file stays as after kill -9.
    const listener = Deno.listen({ transport: "unix", path });
    listener.close();
    await Deno.writeTextFile(path, "").catch(() => {});
    await assert.rejects(client(home).status(), (error) => {
      assert.ok(error instanceof NotRunning);
      assert.equal(error.kind, "dead");
      return true;
    });
  });
});

Deno.test("ControlClient.connect() refuses a svc of another version and says what to do", async () => {
  await withControlServer(() => Response.json(fakeStatus({ version: "9.9.9" })), async (home) => {
    await assert.rejects(
      client(home).connect(),
      isCzctl("failed", /running czfwd 9\.9\.9: this is czctl 0\.0\.0-dev/, /czctl stop/),
    );
    assert.equal((await client(home).status()).version, "9.9.9");
  });
});

Deno.test("ControlClient gives up on a svc that accepts and never answers", async () => {
  const { promise, resolve } = Promise.withResolvers<Response>();
  await withControlServer(() => promise, async (home) => {
    await assert.rejects(
      client(home, { answerMs: 200 }).status(),
      isCzctl("failed", /no answer within 0\.2 s/, /killall czfwd/),
    );
    await assert.rejects(
      collect(client(home, { answerMs: 200 }).teleport(request)),
      isCzctl("failed", /no answer within 0\.2 s/),
    );
    resolve(new Response());
  });
});

Deno.test("ControlClient gives up on an answer that never ends", async () => {
  let cancelled = false;
  const body = () =>
    new Response(
      new ReadableStream({
        start: (stream) => stream.enqueue(new TextEncoder().encode('{"version":')),
        cancel: () => void (cancelled = true),
      }),
    );
  await withControlServer(body, async (home) => {
    await assert.rejects(
      client(home, { answerMs: 200 }).status(),
      isCzctl("failed", /no answer within 0\.2 s/),
    );
  });
  assert.ok(cancelled);
});

Deno.test("ControlClient.teleport() sends the request and yields events as they come", async () => {
  let got: unknown;
  const second = Promise.withResolvers<void>();
  const encoder = new TextEncoder();
  const handler = async (incoming: Request) => {
    assert.equal(`${incoming.method} ${new URL(incoming.url).pathname}`, "POST /v1/sessions");
    got = await incoming.json();
    return new Response(
      new ReadableStream({
        async start(stream) {
          // Cut inside a line and inside a character.
          const bytes = encoder.encode('{"type":"progress","text":"grüße"}\n');
          stream.enqueue(bytes.subarray(0, 29));
          stream.enqueue(bytes.subarray(29));
          await second.promise;
          stream.enqueue(encoder.encode('\n{"type":"done"}'));
          stream.close();
        },
      }),
    );
  };
  await withControlServer(handler, async (home) => {
    const events = client(home).teleport(request);
    assert.deepEqual((await events.next()).value, { type: "progress", text: "grüße" });
    second.resolve();
    assert.deepEqual((await events.next()).value, { type: "done" });
    assert.equal((await events.next()).done, true);
  });
  assert.deepEqual(got, request);
});

Deno.test("ControlClient.close() names the session and --force", async () => {
  const seen: string[] = [];
  const handler = (incoming: Request) => {
    const url = new URL(incoming.url);
    seen.push(`${incoming.method} ${url.pathname}${url.search}`);
    return eventBody([{ type: "closed", session: fakeSession() }, { type: "done" }]);
  };
  await withControlServer(handler, async (home) => {
    await collect(client(home).close("3f/2a", false));
    await collect(client(home).close(undefined, true));
    await collect(client(home).stop());
  });
  assert.deepEqual(seen, [
    "DELETE /v1/sessions/3f%2F2a",
    "DELETE /v1/sessions?force=1",
    "POST /v1/stop",
  ]);
});

Deno.test("ControlClient throws what an error event or answer says", async () => {
  const error = { code: "denied", message: "Cannot list services: forbidden", hint: "Ask" };
  await withControlServer(() => eventBody([{ type: "error", error }]), async (home) => {
    await assert.rejects(
      collect(client(home).teleport(request)),
      isCzctl("denied", /forbidden/, /Ask/),
    );
  });
  await withControlServer(() => Response.json({ error }, { status: 400 }), async (home) => {
    await assert.rejects(client(home).status(), isCzctl("denied", /forbidden/, /Ask/));
  });
});

Deno.test("ControlClient reports answers that are not of the protocol", async () => {
  await withControlServer(() => new Response("<html>", { status: 502 }), async (home) => {
    await assert.rejects(client(home).status(), isCzctl("failed", /it answered 502/));
  });
  await withControlServer(() => new Response("<html>"), async (home) => {
    await assert.rejects(client(home).status(), isCzctl("failed", /not JSON/));
    await assert.rejects(collect(client(home).stop()), isCzctl("failed", /not JSON/));
  });
});

Deno.test("ControlClient does not take a stream that breaks off for success", async () => {
  const events = () => eventBody([{ type: "session", session: fakeSession(), already: false }]);
  await withControlServer(events, async (home) => {
    await assert.rejects(
      collect(client(home).teleport(request)),
      isCzctl("failed", /Lost the connection/, /doctor --fix/),
    );
  });
});

Deno.test("ControlClient gives up on a stream that falls silent", async () => {
  const body = () =>
    new Response(
      new ReadableStream({
        start: (stream) =>
          stream.enqueue(new TextEncoder().encode('{"type":"progress","text":"a"}\n')),
      }),
    );
  await withControlServer(body, async (home) => {
    await assert.rejects(
      collect(client(home, { silenceMs: 200 }).teleport(request)),
      isCzctl("failed", /no answer within 0\.2 s/),
    );
  });
});

Deno.test("ControlClient: aborting ends the stream here and at svc", async () => {
  const cancelled = Promise.withResolvers<void>();
  const body = () =>
    new Response(
      new ReadableStream({
        start: (stream) =>
          stream.enqueue(new TextEncoder().encode('{"type":"progress","text":"a"}\n')),
        cancel: () => cancelled.resolve(),
      }),
    );
  await withControlServer(body, async (home) => {
    const control = new AbortController();
    const events = client(home).teleport(request, control.signal);
    await events.next();
    const interrupted = new CzctlError("interrupted", "Interrupted by SIGINT");
    const next = events.next();
    control.abort(interrupted);
    await assert.rejects(next, interrupted);
    await cancelled.promise;
  });
});
