import assert from "node:assert/strict";
import fc from "fast-check";
import { readCommandLine } from "../../src/cli/grammar.ts";
import { kindOf, KINDS, parseWorkload } from "../../src/cli/kinds.ts";
import { CzctlError } from "../../src/model/errors.ts";

const lines: [string, string][] = [
  ["teleport deployment web -n shop", "teleport deployment web -n shop"],
  ["deployment web teleport", "teleport deployment web"],
  ["deployment web teleport -n shop --clean", "teleport deployment web -n shop --clean"],
  ["deployment web -n shop teleport", "teleport deployment web -n shop"],
  ["deploy/web teleport -q", "teleport deploy/web -q"],
  ["ns shop teleport", "teleport ns shop"],
  ["svc web teleport", "teleport svc web"],
  ["namespace teleport teleport", "teleport namespace teleport"],
  ["deployment web -n teleport teleport", "teleport deployment web -n teleport"],
  ["deployment web environment env.sh", "environment deployment web env.sh"],
  ["sts db env -m json", "env sts db -m json"],
  ["deployment web configuration", "configuration deployment web"],
  ["deployment web", "deployment web"],
  ["teleport deployment web -n=shop -f=env.sh", "teleport deployment web -n shop -f env.sh"],
  ["deployment web -n=shop teleport -l=a=b", "teleport deployment web -n shop -l a=b"],
  ["teleport deployment web --namespace=shop", "teleport deployment web --namespace=shop"],
  ["-n shop teleport deployment web", "teleport deployment web -n shop"],
  ["-n=shop --context=dev env deploy/web", "env deploy/web -n shop --context=dev"],
  ["--kubeconfig file deploy/web teleport", "teleport deploy/web --kubeconfig file"],
  ["-o json status", "status -o json"],
  ["--output=json -n shop -q deploy/web teleport", "teleport deploy/web --output=json -n shop -q"],
  ["deployment web -n env teleport", "teleport deployment web -n env"],
  ["deployment web -f env teleport", "teleport deployment web -f env"],
  ["--help teleport", "--help teleport"],
  ["-n shop", "-n shop"],
  ["-n", "-n"],
  ["status", "status"],
  ["", ""],
];

for (const [typed, expected] of lines) {
  Deno.test(`readCommandLine() reads "${typed}"`, () => {
    const args = typed.split(" ").filter((word) => word !== "");
    const read = readCommandLine(args);
    assert.equal(read.args.join(" "), expected);
    assert.equal(read.program, undefined);
  });
}

Deno.test("readCommandLine() sets the program behind -- apart, untouched", () => {
  const read = readCommandLine(["deploy/web", "teleport", "-q", "--", "npm", "--", "teleport"]);
  assert.deepEqual(read.args, ["teleport", "deploy/web", "-q"]);
  assert.deepEqual(read.program, ["npm", "--", "teleport"]);
  assert.deepEqual(readCommandLine(["run", "--"]).program, []);
});

Deno.test("readCommandLine() gives both orders the same meaning", () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
  const kind = fc.constantFrom(...Object.entries(KINDS).flatMap(([name, more]) => [name, ...more]));
  fc.assert(fc.property(kind, word, fc.array(word), (kind, name, flags) => {
    const older = readCommandLine([kind, name, "teleport", ...flags]);
    const newer = readCommandLine(["teleport", kind, name, ...flags]);
    assert.deepEqual(older, newer);
  }));
});

Deno.test("kindOf() knows kubectl's names in any case and with an API group", () => {
  for (const [kind, others] of Object.entries(KINDS)) {
    for (const name of [kind, ...others]) assert.equal(kindOf(name), kind);
  }
  assert.equal(kindOf("Deployment"), "deployment");
  assert.equal(kindOf("deployments.apps"), "deployment");
  assert.equal(kindOf("cronjob.v1.batch"), "cronjob");
  assert.equal(kindOf("constructor"), undefined);
  assert.equal(kindOf("configmap"), undefined);
});

Deno.test("parseWorkload() reads both spellings and keeps what follows", () => {
  assert.deepEqual(parseWorkload(["deploy/web"], "x"), {
    kind: "deployment",
    name: "web",
    rest: [],
  });
  assert.deepEqual(parseWorkload(["po", "a.b-1"], "x"), { kind: "pod", name: "a.b-1", rest: [] });
  assert.deepEqual(parseWorkload(["sts/db", "f"], "x").rest, ["f"]);
  assert.deepEqual(parseWorkload(["sts", "db", "f", "g"], "x").rest, ["f", "g"]);
});

const wrong: [string[], RegExp][] = [
  [[], /no workload is named/],
  [["deployment"], /no name is given/],
  [["deploymet", "web"], /Unknown kind "deploymet"; did you mean "deployment"/],
  [["zzz", "web"], /^Unknown kind "zzz"$/],
  [["deploy/"], /Not a name of Kubernetes: "deploy\/"/],
  [["deploy", "Web"], /Not a name of Kubernetes: "Web"/],
  [["deploy", "a b"], /Not a name of Kubernetes/],
  [["deploy/a/b"], /Not a name of Kubernetes/],
  [["deploy", "../../etc"], /Not a name of Kubernetes/],
];

Deno.test("parseWorkload() shows how the kind that was typed is named", () => {
  assert.throws(() => parseWorkload(["ns", "Shop"], "teleport"), {
    hint: "Like this: czctl teleport namespace NAME; see czctl teleport --help",
  });
});

for (const [operands, message] of wrong) {
  Deno.test(`parseWorkload() refuses ${JSON.stringify(operands)}`, () => {
    assert.throws(() => parseWorkload(operands, "teleport"), (error) => {
      assert.ok(error instanceof CzctlError);
      assert.equal(error.exitCode, 2);
      assert.match(error.message, message);
      assert.match(error.hint!, /czctl teleport/);
      return true;
    });
  });
}
