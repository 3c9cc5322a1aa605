import assert from "node:assert/strict";
import { join } from "node:path";
import { findProgram, run } from "../../src/platform/exec.ts";
import { withFolder } from "../temp_folder.ts";
import { until } from "../until.ts";

Deno.test("findProgram never takes a program of the working folder by its bare name", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "my-login");
    await Deno.writeTextFile(path, "#!/bin/sh\n", { mode: 0o755 });
    const find = (command: string, PATH: string) => findProgram(command, { PATH }, folder);
    assert.equal(await find("my-login", `/nowhere:${folder}`), path);
    for (
      const PATH of ["", ":/usr/bin", "/usr/bin:", ".", "./", `../${folder.split("/").at(-1)}`]
    ) {
      assert.equal(await find("my-login", PATH), undefined, PATH);
    }
    // With a slash it is a path, meant as such.
    assert.equal(await find("./my-login", ""), path);
  });
});

const SCRIPT = `#!/bin/sh
sleep 97 &
[ -z "$NOTE" ] || { echo $! > "$NOTE.new"; mv "$NOTE.new" "$NOTE"; }
echo $!
wait
`;

Deno.test("run ends what a program has started, and waits for nobody who holds its output", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "login");
    await Deno.writeTextFile(path, SCRIPT, { mode: 0o755 });
    const options = {
      command: path,
      args: [],
      env: { PATH: Deno.env.get("PATH")! },
      cwd: folder,
      terminal: false,
    };
    const gone = (pid: string) =>
      until("what it started is gone", async () => {
        const stat = await Deno.readTextFile(`/proc/${pid.trim()}/stat`).catch(() => undefined);
        return stat === undefined || stat.includes(") Z ");
      });
    const late = await run({ ...options, deadlineMs: 500 });
    assert.equal(late.problem, "timeout");
    assert.equal(late.code, null);
    await gone(late.stdout);

    const stop = new AbortController();
    const noted = join(folder, "pid");
    const noting = {
      ...options,
      env: { ...options.env, NOTE: noted },
      deadlineMs: 60_000,
      signal: stop.signal,
    };
    const stopped = run(noting);
    const pid = await until("it runs", () => Deno.readTextFile(noted).catch(() => undefined));
    stop.abort(new Error("enough"));
    await assert.rejects(stopped, /enough/);
    await gone(pid);
  });
});
