import assert from "node:assert/strict";
import { join } from "node:path";
import { findProgram } from "../../src/platform/exec.ts";
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
