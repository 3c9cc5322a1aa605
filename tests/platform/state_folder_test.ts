import assert from "node:assert/strict";
import { CzctlError } from "../../src/model/errors.ts";
import { statePaths } from "../../src/platform/paths.ts";
import { checkStateFolder } from "../../src/platform/state_folder.ts";
import { withFolder } from "../temp_folder.ts";

function refusal(prepare: (home: string) => Promise<void>): Promise<string | undefined> {
  return withFolder(async (home) => {
    try {
      await prepare(home);
      checkStateFolder(statePaths(home));
      return undefined;
    } catch (error) {
      assert.ok(error instanceof CzctlError && error.hint !== undefined, String(error));
      return `${error.message}; ${error.hint}`.replaceAll(home, "~");
    }
  });
}

Deno.test("checkStateFolder() takes a folder that is there, and one that is not", async () => {
  assert.equal(await refusal(async () => {}), undefined);
  const whole = async (home: string) => {
    await Deno.mkdir(`${home}/.codezero/state/sessions`, { recursive: true, mode: 0o700 });
    await Deno.symlink(`${home}/.codezero`, `${home}/link`);
  };
  assert.equal(await refusal(whole), undefined);
});

Deno.test("checkStateFolder() refuses what is not a folder", async () => {
  assert.equal(
    await refusal((home) => Deno.writeTextFile(`${home}/.codezero`, "")),
    'Cannot use "~/.codezero": it is not a folder; Move it away: mv ~/.codezero ~/.codezero.old',
  );
});

Deno.test("checkStateFolder() refuses what czctl's own files cannot be", async () => {
  const of = (path: string, make: (path: string) => Promise<unknown>) =>
    refusal(async (home) => {
      const full = `${home}/.codezero/${path}`;
      await Deno.mkdir(full.slice(0, full.lastIndexOf("/")), { recursive: true, mode: 0o700 });
      await make(full);
    });
  const folder = (path: string) => Deno.mkdir(path);
  const pipe = (path: string) => new Deno.Command("mkfifo", { args: [path] }).output();
  const link = (path: string) => Deno.symlink("/nowhere/at/all", path);
  const file = (path: string) => Deno.writeTextFile(path, "");
  for (const path of ["run/czfwd.lock", "state/addresses.json", "log/czfwd.log"]) {
    for (const make of [folder, pipe]) {
      assert.equal(
        await of(path, make),
        `Cannot use "~/.codezero/${path}": it is not a regular file; ` +
          `Move it away: mv ~/.codezero/${path} ~/.codezero/${path}.old`,
      );
    }
    assert.match(await of(path, link) ?? "", /it is a link that leads nowhere; Remove it: rm/);
    assert.equal(await of(path, file), undefined);
    assert.equal(await of(path, (path) => Deno.symlink("/dev/null", path)), undefined);
  }
  for (const path of ["run/czfwd.sock", "bin/czfwd/czfwd"]) {
    assert.match(await of(path, folder) ?? "", /it is a folder; Move it away/);
    // These are replaced.
    for (const make of [pipe, link, file]) assert.equal(await of(path, make), undefined);
  }
});
