import assert from "node:assert/strict";
import { CannotStart, runInForeground, startQuietly } from "../../src/platform/children.ts";

const env = { PATH: "/usr/bin:/bin" };

Deno.test("runInForeground() passes the exit code through", async () => {
  assert.equal(await runInForeground("sh", ["-c", "exit 0"], env), 0);
  assert.equal(await runInForeground("sh", ["-c", "exit 7"], env), 7);
});

Deno.test("runInForeground() gives 128 + signal for a program that a signal ended", async () => {
  assert.equal(await runInForeground("sh", ["-c", "kill -TERM $$"], env), 143);
  assert.equal(await runInForeground("sh", ["-c", "kill -KILL $$"], env), 137);
});

Deno.test("runInForeground() gives the program this environment and no other", async () => {
  const script = 'test "$A" = "b c" && test -z "$HOME"';
  assert.equal(await runInForeground("sh", ["-c", script], { ...env, A: "b c" }), 0);
});

Deno.test("runInForeground() tells a program that cannot be started", async () => {
  await assert.rejects(runInForeground("/nonexistent/x", [], env), (error) => {
    assert.ok(error instanceof CannotStart && error.missing);
    assert.equal(error.hint, "Check its name and PATH");
    return error.message === "no such program";
  });
  await assert.rejects(runInForeground("/etc", [], env), (error) => {
    assert.ok(error instanceof CannotStart && !error.missing);
    return error.message === "it is not executable";
  });
});

Deno.test({
  name: "runInForeground() names the variable or argument that is too large to give",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const largest = "x".repeat(131_071 - "BIG=".length);
    assert.equal(await runInForeground("true", [], { ...env, BIG: largest }), 0);
    for (
      const [args, variables, message, hint] of [
        [
          [],
          { BIG: `${largest}x`, SMALL: "x" },
          'variable "BIG" has 131072 bytes, and Linux takes at most 131071 in one',
          /give it as a file/,
        ],
        [
          ["a", "é".repeat(70_000)],
          {},
          "argument 2 has 140000 bytes, and Linux takes at most 131071 in one",
          /give it as a file/,
        ],
        [
          [],
          Object.fromEntries(
            Array.from({ length: 100 }, (_, i) => [`B${i}`, "x".repeat(i + 120_000)]),
          ),
          "its arguments and variables have 12005459 bytes, more than this system takes",
          /^The largest is variable "B99" with 120103 bytes$/,
        ],
      ] as const
    ) {
      await assert.rejects(runInForeground("true", args, { ...env, ...variables }), (error) => {
        assert.ok(error instanceof CannotStart && !error.missing);
        assert.match(error.hint, hint);
        assert.equal(error.message, message);
        return true;
      });
    }
  },
});

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  Deno.test(`runInForeground() hands ${signal} on to the program`, async () => {
    // A process of its own, because the signal goes to the whole of it.
    const code = `
      import { runInForeground } from ${
      JSON.stringify(new URL("../../src/platform/children.ts", import.meta.url).href)
    };
      const script = "trap 'exit 42' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done";
      Deno.exit(await runInForeground("sh", ["-c", script], { PATH: "/usr/bin:/bin" }));`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-config", code],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    assert.equal(new TextDecoder().decode(value), "ready\n");
    child.kill(signal);
    assert.equal((await child.status).code, 42);
    await reader.cancel();
  });
}

Deno.test("startQuietly() tells what fails at once", async () => {
  assert.equal(await startQuietly("/nonexistent/x", []), false);
  assert.equal(await startQuietly("sh", ["-c", "exit 3"]), false);
  assert.equal(await startQuietly("sh", ["-c", "exit 0"]), true);
});

Deno.test({
  name: "startQuietly() does not wait for a browser that stays open",
  // The program is meant to outlive the call.
  sanitizeResources: false,
  sanitizeOps: false,
  fn: async () => {
    const started = performance.now();
    assert.equal(await startQuietly("sleep", ["4"]), true);
    assert.ok(performance.now() - started < 3_500);
  },
});
