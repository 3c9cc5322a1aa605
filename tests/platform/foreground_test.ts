import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const RUNNER = fileURLToPath(new URL("foreground_runner.ts", import.meta.url));
const PATH = Deno.env.get("PATH")!;

/** runInForeground in a process of its own, which ends with the program's exit code. */
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

Deno.test("runInForeground gives a program exactly its environment, input and output", async () => {
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

Deno.test("runInForeground passes signals on and ends as the program does", async () => {
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

Deno.test("runInForeground gives 128 and the number for a program that a signal ended", async () => {
  const child = runner("kill -9 $$");
  await child.stdin.close();
  assert.equal((await child.output()).code, 137);
});
