import assert from "node:assert/strict";
import { CommanderError } from "commander";
import { teleportRequest } from "../../src/cli/teleport/action.ts";
import { declareTeleport } from "../../src/cli/teleport/command.ts";
import { CzctlError } from "../../src/model/errors.ts";
import type { TeleportRequest } from "../../src/model/control.ts";

const caller = { cwd: "/work", env: { A: "1" }, program: undefined };

function request(line: string, program?: readonly string[]): TeleportRequest {
  const command = declareTeleport().exitOverride().configureOutput({ writeErr() {} });
  command.parse(line.split(" ").filter(Boolean), { from: "user" });
  return teleportRequest(command.args, command.opts(), { ...caller, program });
}

const base = { kind: "deployment", name: "web", cwd: "/work", env: { A: "1" } };

const flags: [string, Partial<TeleportRequest>][] = [
  ["", {}],
  ["-n shop", { namespace: "shop" }],
  ["--namespace=shop", { namespace: "shop" }],
  ["-a tools", { additional: ["tools"] }],
  ["-a tools --additional infra", { additional: ["tools", "infra"] }],
  ["-A", { allNamespaces: true }],
  ["--all-namespaces", { allNamespaces: true }],
  ["-k kube.yaml", { kubeconfig: "kube.yaml" }],
  ["--kubeconfig kube.yaml", { kubeconfig: "kube.yaml" }],
  ["--context dev", { context: "dev" }],
  ["-f env.sh", { envFile: "env.sh" }],
  ["--env-file env.sh -m json", { envFile: "env.sh", format: "json" }],
  ["-f e --format yaml", { envFile: "e", format: "yaml" }],
  ["-f e --export=false", { envFile: "e", exportVariables: false }],
  ["-f e --export=true", { envFile: "e", exportVariables: true }],
  ["-f e --force", { envFile: "e", force: true }],
  ["-f e --on-change reload", { envFile: "e", onChange: "reload" }],
  ["-f e -c app", { envFile: "e", container: "app" }],
  ["-f e --container app", { envFile: "e", container: "app" }],
  ["--exclude a --exclude b*", { exclude: ["a", "b*"] }],
  ["--only a --only b", { only: ["a", "b"] }],
  ["-l tier=front", { labelSelector: "tier=front" }],
  ["--selector tier=front", { labelSelector: "tier=front" }],
  ["--no-short-names", { shortNames: false }],
  ["--cluster-domain corp.local", { clusterDomain: "corp.local" }],
  ["--domain two", { domain: "two" }],
  ["--take dev --take app", { take: ["dev", "app"] }],
  ["--hold 500ms", { holdMs: 500 }],
  ["--hold 30s", { holdMs: 30_000 }],
  ["--hold 2m", { holdMs: 120_000 }],
  ["--hold 3", { holdMs: 3000 }],
  ["--hold 0", { holdMs: 0 }],
  ["-q -o json", {}],
];

for (const [typed, expected] of flags) {
  Deno.test(`teleport passes on "${typed}"`, () => {
    assert.deepEqual(request(`deployment web ${typed}`), { ...base, ...expected });
    assert.deepEqual(request(`${typed} deploy/web`), { ...base, ...expected });
  });
}

const usageErrors: [string, RegExp][] = [
  ["deployment web extra", /too many arguments|Unexpected argument/],
  ["deploy/web extra", /Unexpected argument "extra"/],
  ["deployment web --hold soon", /time such as/],
  ["deployment web --hold 11m", /At most 10 minutes/],
  ["deployment web -f e -m xml", /Allowed choices are sh, env, json, yaml/],
  ["deployment web -m json", /--format needs an environment file/],
  ["deployment web --on-change x", /--on-change needs an environment file/],
  ["deployment web --force", /--force needs an environment file/],
  ["deployment web --export=false", /--export needs an environment file/],
  ["deployment web -c app", /--container needs an environment file or a program/],
  ["namespace shop -c app", /namespace has no environment for -c/],
  ["deployment web -f e --export=maybe", /"true" or "false"/],
  ["namespace shop -n tools", /Two namespaces are named/],
  ["namespace shop -f env.sh", /namespace has no environment/],
  ["deployment web --nonsense", /unknown option '--nonsense'/],
  ["deployment web -n", /argument missing/],
  ["deployment web -o xml", /Allowed choices are text, json/],
];

for (const [line, message] of usageErrors) {
  Deno.test(`teleport refuses "${line}"`, () => {
    assert.throws(() => request(line), (error) => {
      assert.ok(error instanceof CzctlError || error instanceof CommanderError, String(error));
      if (error instanceof CzctlError) assert.equal(error.code, "usage");
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("teleport refuses a -- with nothing behind it", () => {
  assert.throws(() => request("deploy/web", []), /No program is named behind --/);
  assert.equal(request("deploy/web", ["npm", "start"]).name, "web");
});

Deno.test("teleport takes a container for a program alone, and says what else one is for", () => {
  assert.equal(request("deploy/web -c app", ["npm", "start"]).container, "app");
  assert.throws(() => request("deploy/web -c app"), {
    code: "usage",
    exitCode: 2,
    hint: "Name one: czctl teleport deployment web -c app -f FILE",
  });
});
