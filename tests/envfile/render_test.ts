import assert from "node:assert/strict";
import { formatOf, renderEnvironment } from "../../src/envfile/render.ts";
import type { EnvFormat } from "../../src/model/control.ts";

const text = (variables: Record<string, string>, format: EnvFormat, exportVariables?: boolean) =>
  new TextDecoder().decode(
    renderEnvironment(
      new Map(Object.entries(variables)),
      format,
      exportVariables === undefined ? {} : { exportVariables },
    ).bytes,
  );

Deno.test("formatOf goes by the file's name", () => {
  const cases: Record<string, EnvFormat> = {
    "env.sh": "sh",
    "/tmp/x.json/env": "sh",
    "noextension": "sh",
    ".env": "env",
    "/srv/app/.env": "env",
    ".env.local": "env",
    "web.env": "env",
    "Web.ENV": "env",
    "e.json": "json",
    "e.yaml": "yaml",
    "e.yml": "yaml",
    ".envrc": "sh",
  };
  for (const [path, format] of Object.entries(cases)) assert.equal(formatOf(path), format, path);
});

Deno.test("renderEnvironment: one sorted line a variable", () => {
  const variables = { b: "2", B: "it's", A: "" };
  assert.equal(text(variables, "sh"), `export A=''\nexport B='it'\\''s'\nexport b='2'\n`);
  assert.equal(text(variables, "sh", false), `A=''\nB='it'\\''s'\nb='2'\n`);
  assert.equal(text(variables, "env"), `A=\nB=it's\nb=2\n`);
  assert.equal(text(variables, "json"), `{\n  "A": "",\n  "B": "it's",\n  "b": "2"\n}\n`);
  assert.equal(text(variables, "yaml"), `"A": ""\n"B": "it's"\n"b": "2"\n`);
});

Deno.test("renderEnvironment: no variables is a file all the same", () => {
  assert.deepEqual(["sh", "env", "json", "yaml"].map((format) => text({}, format as EnvFormat)), [
    "",
    "",
    "{}\n",
    "{}\n",
  ]);
});

Deno.test("renderEnvironment: yaml and json keep what looks like something else as text", () => {
  assert.equal(
    text({ A: "yes", B: "1e3", C: "~", D: "a\nb" }, "yaml"),
    `"A": "yes"\n"B": "1e3"\n"C": "~"\n"D": "a\\nb"\n`,
  );
});

Deno.test("renderEnvironment: names a format cannot have are left out and listed", () => {
  const variables = new Map([["app.cfg", "1"], ["1a", "2"], ["UID", "0"], ["OK", "3"], [
    "a b",
    "4",
  ]]);
  const sh = renderEnvironment(variables, "sh");
  assert.equal(new TextDecoder().decode(sh.bytes), "export OK='3'\n");
  assert.deepEqual(sh.leftOut.map(({ name }) => name), ["1a", "UID", "a b", "app.cfg"]);
  assert.equal(sh.variables, 1);
  const env = renderEnvironment(variables, "env");
  assert.equal(new TextDecoder().decode(env.bytes), "OK=3\nUID=0\napp.cfg=1\n");
  assert.deepEqual(env.leftOut.map(({ name }) => name), ["1a", "a b"]);
  assert.equal(renderEnvironment(variables, "json").leftOut.length, 0);
});

Deno.test("renderEnvironment: half a surrogate pair is no text in any format", () => {
  for (const format of ["sh", "env", "json", "yaml"] as const) {
    assert.throws(() => text({ A: "\ud800" }, format), /Cannot write variable "A"/);
  }
});
