import assert from "node:assert/strict";
import { layerProblems, type SourceFile, sourceFiles } from "../../scripts/layers.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

function problems(files: Record<string, string>): string[] {
  return layerProblems(
    Object.entries(files).map(([path, text]): SourceFile => ({ path, text })),
  );
}

Deno.test("layerProblems() finds nothing in this repository", async () => {
  const files = await sourceFiles(ROOT);
  assert.ok(files.some((file) => file.path === "src/model/errors.ts"));
  assert.deepEqual(layerProblems(files), []);
});

Deno.test("layerProblems() accepts imports that point down", () => {
  assert.deepEqual(
    problems({
      "main.ts": 'import { a } from "./src/cli/a.ts";\nDeno.exit(a);',
      "src/cli/a.ts": 'import { b } from "../session/b.ts";\nDeno.stdout.writeSync(b);',
      "src/session/b.ts": 'import { c } from "../tunnel/c.ts";\nimport path from "node:path";',
      "src/tunnel/c.ts":
        'import type {\n  D,\n} from "../model/d.ts";\nimport { p } from "../platform/p.ts";',
      "src/platform/p.ts": 'import net from "node:net";\nDeno.readFile("x");',
      "src/hosts/ip.ts": 'import { isIPv4 } from "node:net";',
      "src/model/d.ts": "// Deno.exit and process.exit are not used here\nexport type D = 1;",
    }),
    [],
  );
});

const wrong: [string, Record<string, string>, RegExp][] = [
  ["an import that points up", {
    "src/tunnel/a.ts": 'import { b } from "../session/b.ts";',
    "src/session/b.ts": "",
  }, /session is above tunnel/],
  ["an import that points up over several lines", {
    "src/model/a.ts": 'import {\n  b,\n} from "../platform/b.ts";',
    "src/platform/b.ts": "",
  }, /platform is above model/],
  ["a dynamic import that points up", {
    "src/tunnel/a.ts": 'const { b } = await import("../cli/b.ts");',
    "src/cli/b.ts": "",
  }, /cli is above tunnel/],
  ["an import of a sibling", {
    "src/tunnel/a.ts": 'export * from "../cluster/b.ts";',
    "src/cluster/b.ts": "",
  }, /cluster is a sibling of tunnel/],
  ["a type imported from above", {
    "src/hosts/a.ts": 'import type { B } from "../session/b.ts";',
    "src/session/b.ts": "",
  }, /session is above hosts/],
  ["a package in model", { "src/model/a.ts": 'import yaml from "yaml";' }, /model imports nothing/],
  ["a file outside src", { "src/cli/a.ts": 'import "../../tests/x.ts";' }, /not under src/],
  ["an unknown room", { "src/utils/a.ts": "" }, /not a room of the design/],
  ["node:net outside platform", {
    "src/tunnel/a.ts": 'import { connect } from "node:net";',
  }, /node:net.*only src\/platform/],
  ["node:fs/promises outside platform", {
    "src/cli/a.ts": 'import fs from "node:fs/promises";',
  }, /node:fs.*only src\/platform/],
  ["Deno outside platform", { "src/hosts/a.ts": "Deno.readFile(x);" }, /uses Deno.readFile/],
  ["Deno in cli beyond its terminal", { "src/cli/a.ts": "Deno.env.get(x);" }, /uses Deno.env/],
  ["process outside platform", { "src/session/a.ts": "process.exit(1);" }, /uses process.exit/],
  ["a cycle", {
    "src/cli/a.ts": 'import { b } from "./b.ts";',
    "src/cli/b.ts": 'import { c } from "./c.ts";',
    "src/cli/c.ts": 'import { a } from "./a.ts";',
  }, /circle: src\/cli\/a.ts -> src\/cli\/b.ts -> src\/cli\/c.ts -> src\/cli\/a.ts/],
];

for (const [what, files, expected] of wrong) {
  Deno.test(`layerProblems() reports ${what}`, () => {
    const found = problems(files);
    assert.equal(found.length, 1, found.join("\n"));
    assert.match(found[0]!, expected);
  });
}
