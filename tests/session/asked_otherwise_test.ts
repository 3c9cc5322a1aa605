import assert from "node:assert/strict";
import type { EnvFileInfo, TeleportRequest } from "../../src/model/control.ts";
import { askedOtherwise } from "../../src/session/asked_otherwise.ts";

function request(over: Partial<TeleportRequest> = {}): TeleportRequest {
  return { kind: "deployment", name: "web", cwd: "/work", env: {}, ...over };
}

function check(
  asked: Partial<TeleportRequest>,
  open: Partial<TeleportRequest> = {},
  state: { namespaces?: readonly string[] | "all"; envFile?: EnvFileInfo } = {},
): string[] {
  return askedOtherwise(request(asked), {
    request: request(open),
    namespaces: state.namespaces ?? ["shop"],
    envFile: state.envFile,
  });
}

Deno.test("askedOtherwise() finds nothing where no more is asked than is there", () => {
  assert.deepEqual(check({}), []);
  assert.deepEqual(check({}, { envFile: "env.sh", only: ["web"], holdMs: 5 }), []);
  assert.deepEqual(check({ only: ["web"], holdMs: 5 }, { only: ["web"], holdMs: 5 }), []);
  assert.deepEqual(check({ additional: ["tools"] }, {}, { namespaces: ["shop", "tools"] }), []);
  assert.deepEqual(check({ additional: ["tools"] }, {}, { namespaces: "all" }), []);
  const again = { cwd: "/work/sub", envFile: "../env.sh" };
  assert.deepEqual(check(again, { envFile: "env.sh" }), []);
  assert.deepEqual(check({ cwd: "/elsewhere" }, { envFile: "env.sh" }), []);
});

Deno.test("askedOtherwise() names what an open session does not do", () => {
  assert.deepEqual(check({ envFile: "env.sh" }), ["-f env.sh"]);
  assert.deepEqual(check({ envFile: "other.sh" }, { envFile: "env.sh" }), ["-f other.sh"]);
  assert.deepEqual(
    check({ envFile: "env.sh", cwd: "/elsewhere" }, { envFile: "env.sh" }),
    ["-f env.sh"],
  );
  assert.deepEqual(
    check({ envFile: "env.sh", format: "env", onChange: "make" }, { envFile: "env.sh" }),
    ["-m", "--on-change"],
  );
  assert.deepEqual(check({ allNamespaces: true, additional: ["tools"] }), ["-A", "-a tools"]);
  assert.deepEqual(
    check({ only: ["web"], exclude: ["db"], shortNames: false }, { only: ["api"] }),
    ["--exclude", "--only", "--no-short-names"],
  );
});

Deno.test("askedOtherwise() tells of an environment file that is no longer kept", () => {
  const envFile = {
    path: "/work/env.sh",
    variables: 3,
    state: "stopped" as const,
    reason: "it was deleted or renamed",
  };
  assert.deepEqual(
    check({ envFile: "env.sh" }, { envFile: "env.sh" }, { envFile }),
    ["-f env.sh (no longer kept: it was deleted or renamed)"],
  );
  assert.deepEqual(check({}, { envFile: "env.sh" }, { envFile }), []);
});
