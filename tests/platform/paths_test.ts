import assert from "node:assert/strict";
import { CzctlError } from "../../src/model/errors.ts";
import { statePaths } from "../../src/platform/paths.ts";

function refusal(home: string | undefined): string {
  try {
    statePaths(home);
  } catch (error) {
    assert.ok(error instanceof CzctlError && error.hint !== undefined, String(error));
    return error.message;
  }
  return "";
}

Deno.test("statePaths() refuses a HOME that is missing, relative, or too long for a socket", () => {
  assert.match(refusal(undefined), /HOME is not set/);
  assert.match(refusal(""), /HOME is not set/);
  assert.match(refusal("home/me"), /"home\/me": it is not an absolute path/);
  // 103 bytes are left of sun_path, 25 of them for /.codezero/run/czfwd.sock.
  assert.equal(refusal(`/${"x".repeat(77)}`), "");
  assert.match(refusal(`/${"x".repeat(78)}`), /1 bytes too long for a socket/);
  assert.match(refusal(`/${"é".repeat(40)}`), /too long for a socket/);
});
