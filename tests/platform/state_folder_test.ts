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
