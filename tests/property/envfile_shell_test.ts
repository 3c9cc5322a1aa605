import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { renderEnvironment } from "../../src/envfile/render.ts";
import { shellVerdict } from "../../src/envfile/shell_names.ts";
import { run, type Shell, shells } from "../envfile/shells.ts";
import { withFolder } from "../temp_folder.ts";

/** Any map of legal names to any text, rendered, sourced by real shells, read back equal. */

const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,15}$/);

// deno-fmt-ignore
const HOSTILE = [
  "'", "''", "'\\''", '"', "\\", "\\\\'", "\n", "\r\n", "\r", "`touch pwned`", "$(touch pwned)",
  "'; touch pwned; '", "'$(touch pwned)'", "'\n touch pwned\n'", "${IFS}", "$HOME", "~", "*", "!!",
  "!$", "-n", "--", "-", " ", "\t", "#", "a #b", "é", "日本語", "😀", "\u0083", "\u00a0", "\u2028",
  "\ufeff", "\x01\x02\x1b[31m", "\x7f", "\x80\x81\x88", "{a,b}", "a=b", "export X=1", "&& touch pwned",
  "|touch pwned", ">pwned", "<(touch pwned)", "x[$(touch pwned)]", "%n", "\\n\\0\\c", "a\\",
];

const value = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.replaceAll("\0", "0")),
  fc.array(fc.constantFrom(...HOSTILE), { maxLength: 6 }).map((parts) => parts.join("")),
  fc.string({ maxLength: 200 }),
);

const variables = fc.uniqueArray(fc.tuple(name, value), {
  selector: ([name]) => name,
  maxLength: 25,
}).map((entries) => new Map(entries));

/** What a shell has after sourcing the file, by name; only what it left there in the folder. */
async function source(
  shell: Shell,
  folder: string,
  names: readonly string[],
  locale = "C.UTF-8",
): Promise<Map<string, string>> {
  const print = names.map((name) => `printf '%s\\0' "\${${name}-unset}"`).join("\n");
  await Deno.writeTextFile(join(folder, "print.sh"), `set -eu\n. ./env.sh\n${print}\n`);
  const [program, ...args] = shell.command;
  const { code, stdout, stderr } = await run([program, ...args, "./print.sh"], folder, {
    LC_ALL: locale,
  });
  assert.equal(code, 0, `${shell.name}: ${stderr}`);
  const texts = new TextDecoder("utf-8", { ignoreBOM: true }).decode(stdout).split("\0");
  return new Map(names.map((name, index) => [name, texts[index]!]));
}

/** The variables a shell is expected to have: those in the file, in zsh without zsh's own. */
function expected(shell: Shell, variables: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...variables].filter(([name, value]) => {
    const verdict = shellVerdict(name, value);
    return verdict.ok && (verdict.zsh || !shell.name.startsWith("zsh"));
  }));
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

const listing = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();

Deno.test("sh format: any text comes back equal from every shell, and nothing runs", async () => {
  const all = await shells();
  await withFolder(async (folder) => {
    await fc.assert(
      fc.asyncProperty(
        variables,
        fc.constantFrom(...all),
        fc.boolean(),
        fc.constantFrom("C", "C.UTF-8"),
        async (variables, shell, exportVariables, locale) => {
          const { bytes } = renderEnvironment(variables, "sh", { exportVariables });
          await Deno.writeFile(join(folder, "env.sh"), bytes);
          const wanted = expected(shell, variables);
          assert.deepEqual(await source(shell, folder, [...wanted.keys()], locale), wanted);
          assert.deepEqual(listing(folder), ["env.sh", "print.sh"]);
        },
      ),
      { numRuns: 150 },
    );
  });
});

Deno.test("sh format: every hostile value, in every shell", async () => {
  const variables = new Map(HOSTILE.map((value, index) => [`V${index}`, value]));
  await withFolder(async (folder) => {
    await Deno.writeFile(join(folder, "env.sh"), renderEnvironment(variables, "sh").bytes);
    for (const shell of await shells()) {
      assert.deepEqual(await source(shell, folder, [...variables.keys()]), variables, shell.name);
      assert.deepEqual(listing(folder), ["env.sh", "print.sh"], shell.name);
    }
  });
});

Deno.test({
  name: "sh format: fish runs nothing of it either, and has every value of one line",
  ignore: !Deno.env.get("PATH")!.split(":").some((folder) => isFile(join(folder, "fish"))),
  fn: () =>
    withFolder(async (folder) => {
      const check = async (values: readonly string[]) => {
        const variables = new Map(values.map((value, index) => [`V${index}`, value]));
        await Deno.writeFile(join(folder, "env.sh"), renderEnvironment(variables, "sh").bytes);
        const print = values.map((_, index) => `printf '%s\\0' "$V${index}"`);
        const { stdout, stderr } = await run(
          ["fish", "--no-config", "-c", ["source env.sh", ...print].join("; ")],
          folder,
          { LC_ALL: "C.UTF-8" },
        );
        assert.deepEqual(listing(folder), ["env.sh"]);
        assert.equal(stderr, "");
        const read = new TextDecoder("utf-8", { ignoreBOM: true }).decode(stdout).split("\0");
        // fish's own `export` drops a value of several lines.
        const oneLine = (_: unknown, index: number) => !values[index]!.includes("\n");
        assert.deepEqual(read.slice(0, -1).filter(oneLine), values.filter(oneLine));
      };
      await check(HOSTILE);
      // What one value leaves open, the next one would end.
      await check(["\\", "; touch pwned; #"]);
      await fc.assert(
        fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 8 }), check),
        { numRuns: 60 },
      );
    }),
});

Deno.test("sh format: values of 1 MB", async () => {
  const variables = new Map([
    ["PLAIN", "x".repeat(1 << 20)],
    ["QUOTES", "'".repeat(1 << 20)],
    ["MIXED", HOSTILE.join("").repeat(5000).slice(0, 1 << 20)],
  ]);
  await withFolder(async (folder) => {
    const { bytes } = renderEnvironment(variables, "sh", { exportVariables: false });
    await Deno.writeFile(join(folder, "env.sh"), bytes);
    for (const shell of await shells()) {
      const read = await source(shell, folder, [...variables.keys()]);
      for (const [name, value] of variables) {
        assert.ok(read.get(name) === value, `${shell.name} changed ${name}`);
      }
    }
  });
});

Deno.test("sh format: exported variables reach a program, --export=false ones do not", async () => {
  await withFolder(async (folder) => {
    for (const exportVariables of [true, false]) {
      const { bytes } = renderEnvironment(new Map([["A_B", "1 2"]]), "sh", { exportVariables });
      await Deno.writeFile(join(folder, "env.sh"), bytes);
      for (const { name, command: [program, ...args] } of await shells()) {
        const { stdout } = await run([program, ...args, "-c", ". ./env.sh; env"], folder);
        assert.equal(/^A_B=1 2$/m.test(new TextDecoder().decode(stdout)), exportVariables, name);
      }
    }
  });
});

Deno.test("sh format: no name the shells themselves use breaks or runs anything", async () => {
  // Asked from the shells, so that a new version's own variables are in here, too.
  const all = await shells();
  const zsh = all.find(({ name }) => name === "zsh")!.command[0];
  const known = new Set<string>();
  for (
    const [shell, script] of [
      ["bash", "compgen -v"],
      [zsh, "zmodload zsh/parameter zsh/zleparameter; print -rl -- ${(k)parameters}"],
      ["dash", "set"],
    ] as const
  ) {
    const { stdout } = await run([shell, ...(shell === zsh ? ["-f"] : []), "-c", script]);
    for (const line of new TextDecoder().decode(stdout).split("\n")) {
      const found = /^[A-Za-z_][A-Za-z0-9_]*/.exec(line)?.[0];
      if (found) known.add(found);
    }
  }
  for (
    const name of ("PS0 PS1 PS3 PROMPT_COMMAND ENV BASH_ENV MAIL MAILPATH HISTFILE HISTFILESIZE " +
      "RANDOM SECONDS OPTIND ERRNO STTY LINENO TMOUT COLUMNS LINES SHLVL USERNAME UID status path")
      .split(" ")
  ) known.add(name);
  assert.ok(known.size > 120, `only ${known.size} names found`);

  const values = ["7", "0", "text", "x[$(touch pwned)]", "$(touch pwned)", "`touch pwned`", ""]
    // zsh evaluates a subscript only of an array that there is.
    .concat("psvar[0$(touch pwned)]");
  const cases = [...known].flatMap((name) => values.map((value) => ({ name, value })));
  await withFolder(async (folder) => {
    for (const [index, { name, value }] of cases.entries()) {
      const { bytes } = renderEnvironment(new Map([[name, value]]), "sh");
      await Deno.writeFile(join(folder, `${index}.env`), bytes);
    }
    for (const shell of all) {
      const wanted = cases.map(({ name, value }) => expected(shell, new Map([[name, value]])));
      const script = cases.map(({ name }, index) =>
        wanted[index]!.size === 0
          ? `(. ./${index}.env; printf '\\0')`
          : `(. ./${index}.env; printf '%s\\0' "$${name}")`
      ).join("\n");
      await Deno.writeTextFile(join(folder, "all.sh"), script);
      const [program, ...args] = shell.command;
      const { code, stdout, stderr } = await run([program, ...args, "./all.sh"], folder);
      assert.equal(code, 0, `${shell.name}: ${stderr}`);
      const read = new TextDecoder().decode(stdout).split("\0");
      const wrong = cases.flatMap(({ name, value }, index) =>
        wanted[index]!.size === 0 || read[index] === value
          ? []
          : [`${name}=${value} read as ${read[index]}`]
      );
      assert.deepEqual(wrong, [], `${shell.name}: ${stderr}`);
      assert.equal(stderr, "", shell.name);
      assert.ok(!listing(folder).includes("pwned"), shell.name);
    }
  });
});

Deno.test("sh format: nothing of what zsh evaluates later runs", async () => {
  const zsh = (await shells()).find(({ name }) => name === "zsh")!.command[0];
  // Parameters its source reads as numbers or expands; most are not set until somebody does.
  const names = ("BAUD COLUMNS DIRSTACKSIZE ERRNO FUNCNEST HISTSIZE KEYTIMEOUT LINES LISTMAX " +
    "LOGCHECK MAILCHECK MENUSCROLL OPTIND PERIOD PROMPT_EOL_MARK REPORTMEMORY REPORTTIME " +
    "SAVEHIST SECONDS SHLVL STTY TMOUT").split(" ");
  const types = "setopt prompt_subst\n. ./env.sh\n/bin/true\npushd /\npushd -\n/bin/ls\nexit 0\n";
  await withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "typed"), types);
    for (const value of ["psvar[0$(touch pwned)]", "$(touch pwned)"]) {
      const before = new Map(names.map((name) => [name, value]));
      const { bytes } = renderEnvironment(new Map([...before, ["KEPT", value]]), "sh");
      await Deno.writeFile(join(folder, "env.sh"), bytes);
      await run(["sh", "-c", `${zsh} -f -i < typed`], folder);
      assert.deepEqual(listing(folder), ["env.sh", "typed"]);
      assert.equal(new TextDecoder().decode(bytes), `export KEPT='${value}'\n`);
    }
  });
});

Deno.test("sh format: NUL is refused by name, never cut", () => {
  assert.throws(
    () => renderEnvironment(new Map([["KEY", "a\0b"]]), "sh"),
    /Cannot write variable "KEY" in the sh format: it holds a NUL character/,
  );
});
