import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProgram, startShell } from "../../src/platform/run.ts";
import { CzctlError } from "../../src/model/errors.ts";

const RUNNER = fileURLToPath(new URL("run_runner.ts", import.meta.url));
const PATH = Deno.env.get("PATH")!;

/** runProgram in a process of its own, which ends with the program's exit code. */
function runner(script: string, env: Record<string, string> = {}) {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      RUNNER,
      JSON.stringify({ command: ["sh", "-c", script], env: { PATH, ...env } }),
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(20_000),
  }).spawn();
}

async function textOf({ stdout }: { stdout: Uint8Array }): Promise<string> {
  return await Promise.resolve(new TextDecoder().decode(stdout));
}

Deno.test("runProgram gives a program exactly its environment, input and output", async () => {
  const child = runner("env | sort; cat; echo problem >&2; exit 7", { A: "1 2", B: "é" });
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("input\n"));
  await writer.close();
  const output = await child.output();
  const lines = (await textOf(output)).split("\n").filter((line) =>
    !/^(PWD|OLDPWD|SHLVL|_)=/.test(line)
  );
  assert.deepEqual(lines, ["A=1 2", "B=é", `PATH=${PATH}`, "input", ""]);
  assert.match(new TextDecoder().decode(output.stderr), /^problem$/m);
  assert.equal(output.code, 7);
});

Deno.test("runProgram passes signals on and ends as the program does", async () => {
  for (
    const [signal, code] of [["SIGTERM", 15], ["SIGINT", 2], ["SIGHUP", 1], [
      "SIGUSR1",
      10,
    ]] as const
  ) {
    const child = runner(`
      trap 'echo got; exit ${code}' ${signal.slice(3)}
      echo ready
      while :; do sleep 0.05; done`);
    await child.stdin.close();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader.read()).value, "ready\n");
    child.kill(signal);
    assert.equal((await reader.read()).value, "got\n", signal);
    await reader.cancel();
    await child.stderr.cancel();
    assert.equal((await child.status).code, code);
  }
});

Deno.test("runProgram gives 128 and the number for a program that a signal ended", async () => {
  const child = runner("kill -9 $$");
  await child.stdin.close();
  assert.equal((await child.output()).code, 137);
});

Deno.test("runProgram says what cannot be run", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "text"), "no program", { mode: 0o644 });
    const cannot = async (command: [string, ...string[]], reason: RegExp, env = {}, cwd = folder) =>
      await assert.rejects(
        runProgram({ command, env: { PATH, ...env }, cwd }),
        (error) => error instanceof CzctlError && reason.test(error.message),
      );
    await cannot(["czctl-no-such-program"], /Cannot run "czctl-no-such-program": no such program/);
    await cannot([join(folder, "text")], /permission denied/);
    await cannot(["true"], /environment is larger than the system allows/, {
      A: "x".repeat(1 << 20),
    });
    await cannot(["true"], /no such program or folder/, {}, join(folder, "none"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("runProgram ends the program when it is aborted", async () => {
  const abort = new AbortController();
  const code = runProgram({
    command: ["sleep", "600"],
    env: { PATH },
    cwd: "/",
    signal: abort.signal,
  });
  abort.abort();
  assert.equal(await code, 143);
});

Deno.test("startShell: stopping it also stops what it started", async () => {
  const folder = await Deno.makeTempDir();
  try {
    // The second sleep ignores SIGTERM and its parent is gone: the group must get SIGKILL.
    const shell = startShell(
      "/bin/sh",
      "(trap '' TERM; exec sleep 600) & echo $! > pid.new; mv pid.new pid; wait",
      { cwd: folder, env: { PATH } },
    );
    const pid = await eventually(async () => Number(await Deno.readTextFile(join(folder, "pid"))));
    await shell.stop(200);
    assert.equal(await shell.done, 143);
    await eventually(() => {
      try {
        Deno.kill(pid, "SIGCONT");
      } catch {
        return true;
      }
      throw new Error(`${pid} still runs`);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("startShell: a shell that does not exist is over at once", async () => {
  const shell = startShell("/no/such/shell", "true", { cwd: "/", env: {} });
  assert.equal(await shell.done, -1);
  await shell.stop(1000);
});

async function eventually<T>(probe: () => T | Promise<T>): Promise<T> {
  const end = performance.now() + 5000;
  while (true) {
    try {
      return await probe();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
