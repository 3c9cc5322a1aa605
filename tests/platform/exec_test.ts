import assert from "node:assert/strict";
import { join } from "node:path";
import { findProgram, run } from "../../src/platform/exec.ts";
import { withFolder } from "../temp_folder.ts";

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

Deno.test("run ends what a program has started, and waits for nobody who holds its output", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "login");
    await Deno.writeTextFile(path, "#!/bin/sh\nsleep 97 &\necho $!\nwait\n", { mode: 0o755 });
    const options = { command: path, args: [], env: {}, cwd: folder, terminal: false };
    const gone = async (pid: string) => {
      while (await Deno.stat(`/proc/${pid.trim()}`).catch(() => undefined)) {
        const state = await Deno.readTextFile(`/proc/${pid.trim()}/stat`).catch(() => ") Z");
        if (/\) Z/.test(state)) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const late = await run({ ...options, deadlineMs: 500 });
    assert.equal(late.problem, "timeout");
    assert.equal(late.code, null);
    await gone(late.stdout);

    const stop = new AbortController();
    const stopped = run({ ...options, deadlineMs: 60_000, signal: stop.signal });
    setTimeout(() => stop.abort(new Error("enough")), 200);
    await assert.rejects(stopped, /enough/);
  });
});
