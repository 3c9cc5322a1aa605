import assert from "node:assert/strict";
import fc from "fast-check";
import { parse as parseYaml } from "yaml";
import { renderEnvironment } from "../../src/envfile/render.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { readDocker, readNode, readNpmDotenv, readPythonDotenv } from "../envfile/readers.ts";

const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,15}$/);

// deno-fmt-ignore
const PARTS = [
  "'", '"', "`", "\\", "\\n", "\n", "\r\n", "#", " #", " ", "\t", "=", "${A}", "$A", "$(A)", "$$",
  "{", "}", "é", "日本", "😀", "\ufeff", "\u2028", "\u0085", "\u00a0", "\v", "\x1c", "\x1b", "export ",
  "A=1", ":", ",", "a", "b c", "-----BEGIN KEY-----\n", "0", "\x7f",
];

const value = fc.oneof(
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 20 }) },
  {
    weight: 3,
    arbitrary: fc.array(fc.constantFrom(...PARTS), { maxLength: 5 }).map((p) => p.join("")),
  },
  { weight: 2, arbitrary: fc.string({ maxLength: 60 }) },
);

const variables = fc.uniqueArray(fc.tuple(name, value), {
  selector: ([name]) => name,
  maxLength: 12,
}).map((entries) => new Map(entries));

const text = (bytes: Uint8Array) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/** The variables that the env format takes, each tried alone. */
function holdable(variables: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...variables].filter(([name, value]) => {
    try {
      renderEnvironment(new Map([[name, value]]), "env");
      return true;
    } catch (error) {
      assert.ok(error instanceof CzctlError && error.message.includes(`"${name}"`));
      return false;
    }
  }));
}

Deno.test("env format: every dotenv reader reads back what it was given", () => {
  fc.assert(
    fc.property(variables, (all) => {
      const variables = holdable(all);
      const file = text(renderEnvironment(variables, "env").bytes);
      assert.deepEqual(sorted(readNpmDotenv(file)), sorted(variables));
      assert.deepEqual(sorted(readPythonDotenv(file)), sorted(variables));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("env format: docker reads back every value without a line break", () => {
  fc.assert(
    fc.property(variables, (all) => {
      const flat = new Map([...all].filter(([, value]) => !/[\r\n]/.test(value)));
      const variables = holdable(flat);
      const file = text(renderEnvironment(variables, "env").bytes);
      assert.deepEqual(sorted(readDocker(file)), sorted(variables));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("env format: Node's --env-file reads it back, but for carriage returns", async () => {
  const path = await Deno.makeTempFile();
  try {
    await fc.assert(
      fc.asyncProperty(variables, async (all) => {
        const variables = new Map(
          [...holdable(all)].filter(([name, value]) => !value.includes("\r") && !TAKEN.has(name)),
        );
        await Deno.writeFile(path, renderEnvironment(variables, "env").bytes);
        assert.deepEqual(
          sorted(await readNode(path, [...variables.keys()])),
          sorted(variables),
        );
      }),
      { numRuns: 40 },
    );
  } finally {
    await Deno.remove(path);
  }
});

/** Set in the process already, where --env-file does not replace it. */
const TAKEN = new Set(["PATH", "HOME"]);

Deno.test("env format: takes what is common, and names what it refuses", () => {
  const held: readonly (readonly [value: string, line: string])[] = [
    ["plain", "V=plain"],
    ["", "V="],
    ["-Xmx1g -Xms1g", "V=-Xmx1g -Xms1g"],
    ["it's", "V=it's"],
    ['{"a": "b"}', 'V={"a": "b"}'],
    ["postgres://u:p@h/d?x=1&y=2", "V=postgres://u:p@h/d?x=1&y=2"],
    ["$2a$10$hash", "V=$2a$10$hash"],
    ["hi $(UNKNOWN)", "V=hi $(UNKNOWN)"],
    ["C:\\temp\\new", "V=C:\\temp\\new"],
    ["a\nb", 'V="a\\nb"'],
    ["secret\n", 'V="secret\\n"'],
    ['{\n"a": "b\\n"\n}', 'V=\'{\n"a": "b\\n"\n}\''],
  ];
  for (const [value, line] of held) {
    assert.equal(text(renderEnvironment(new Map([["V", value]]), "env").bytes), `${line}\n`);
  }
  // Known to be run by some: said, because no form of it would suit docker and them.
  assert.deepEqual(renderEnvironment(new Map([["V", "$(id)"], ["W", "$id"]]), "env").notes, [
    'V: "$(...)" in it is run by Ruby\'s dotenv and by "source"',
  ]);
  const refused: readonly (readonly [value: string, why: RegExp])[] = [
    ["a#b", /holds a "#"/],
    [" a", /begins or ends with a space/],
    ["a\t", /begins or ends with a space/],
    ["'a'", /begins with a quote/],
    ["${A}", /replace the "\$\{\.\.\.\}"/],
    ["'\n\\\\", /line breaks together with/],
    ["\0", /NUL/],
    ["x".repeat(70_000), /longer than the 60000 bytes/],
  ];
  for (const [value, why] of refused) {
    assert.throws(
      () => renderEnvironment(new Map([["OK", "1"], ["BAD", value]]), "env"),
      (error) =>
        error instanceof CzctlError && why.test(error.message) &&
        error.message.startsWith('Cannot write variable "BAD" in the env format: ') &&
        /-m json/.test(error.hint ?? ""),
    );
  }
});

Deno.test("json and yaml formats: any name and any text", () => {
  const anyName = fc.oneof(
    name,
    fc.constantFrom("__proto__", "1", "0.5", "yes", "a b", "é", "#", "~"),
  );
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(anyName, value), { selector: ([name]) => name }),
      (entries) => {
        const variables = new Map(entries.filter(([, value]) => value.isWellFormed()));
        const json = JSON.parse(text(renderEnvironment(variables, "json").bytes));
        assert.deepEqual(sorted(new Map(Object.entries(json))), sorted(variables));
        for (const version of ["1.1", "1.2"] as const) {
          const yaml = parseYaml(text(renderEnvironment(variables, "yaml").bytes), {
            version,
            mapAsMap: true,
          });
          assert.deepEqual(sorted(yaml), sorted(variables));
        }
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("every format: sorted, the same bytes for the same variables in any order", () => {
  fc.assert(
    fc.property(
      variables,
      fc.constantFrom("sh", "env", "json", "yaml" as const),
      (all, format) => {
        const variables = new Map([...holdable(all)].filter(([, value]) => !value.includes("\0")));
        const turned = new Map([...variables].reverse());
        assert.deepEqual(renderEnvironment(variables, format), renderEnvironment(turned, format));
      },
    ),
  );
});

function sorted(variables: ReadonlyMap<string, string>): [string, string][] {
  return [...variables].sort(([a], [b]) => (a < b ? -1 : 1));
}
