import assert from "node:assert/strict";
import { join } from "node:path";
import { candidates } from "../../src/cli/completions/complete.ts";
import { completionScript } from "../../src/cli/completions/scripts.ts";
import type { Sources } from "../../src/cli/completions/sources.ts";
import { fakeContext } from "./fakes.ts";
import { withFolder } from "../temp_folder.ts";

const asked: string[] = [];
const sources = (): Sources => ({
  namespaces: () => Promise.resolve([{ value: "shop" }, { value: "tools" }]),
  contexts: () => Promise.resolve([{ value: "dev" }, { value: "prod" }]),
  names(kind) {
    asked.push(kind);
    return Promise.resolve([{ value: `${kind}-a` }, { value: `${kind}-b` }]);
  },
  sessions: () => Promise.resolve([{ value: "3f2a", description: "deployment/web" }]),
});

/** The last word of the line, maybe empty, is the one being completed. */
async function offered(line: string): Promise<string[]> {
  const { context } = fakeContext("/home/x");
  const found = await candidates(line.split(" "), context, sources);
  return found.map((candidate) => candidate.value);
}

const cases: [string, string[]][] = [
  ["ses", ["session"]],
  ["st", ["start", "stop", "status"]],
  ["session ", ["list", "close"]],
  ["session close ", ["3f2a"]],
  ["session close --all ", []],
  ["teleport de", ["deployment"]],
  ["teleport deployment ", ["deployment-a", "deployment-b"]],
  ["teleport deploy deployment-b", ["deployment-b"]],
  ["teleport po/", ["po/pod-a", "po/pod-b"]],
  ["teleport po/pod-b", ["po/pod-b"]],
  ["teleport deploy web -n ", ["shop", "tools"]],
  ["teleport deploy web --namespace=t", ["--namespace=tools"]],
  ["teleport deploy web -n=t", ["-n=tools"]],
  ["teleport --context=", ["--context=dev", "--context=prod"]],
  ["--context=dev teleport --context=p", ["--context=prod"]],
  ["teleport --kubeconfig=", [":files"]],
  ["teleport -f=./x", [":files"]],
  ["teleport deploy web -a shop -a t", ["tools"]],
  ["teleport --context ", ["dev", "prod"]],
  ["teleport -k ", [":files"]],
  ["teleport deploy web -f ", [":files"]],
  ["teleport deploy web -m ", ["sh", "env", "json", "yaml"]],
  ["teleport --only ", ["service-a", "service-b"]],
  ["teleport deploy web --no-sh", ["--no-short-names"]],
  ["teleport deploy web --namespace x --names", []],
  ["teleport deploy web -a x --add", ["--additional"]],
  ["deployment web teleport -n ", ["shop", "tools"]],
  ["environment deployment web ", [":files"]],
  ["env deploy/web ", [":files"]],
  ["completions ", ["bash", "zsh", "fish"]],
  ["run -- np", [":files"]],
  ["version -o j", ["json"]],
];

for (const [line, expected] of cases) {
  Deno.test(`completion offers what fits: czctl ${line}<TAB>`, async () => {
    assert.deepEqual(await offered(line), expected);
  });
}

Deno.test("completion asks the cluster for names of the kind that was typed only", async () => {
  asked.length = 0;
  await offered("teleport sts ");
  await offered("teleport ");
  assert.deepEqual(asked, ["statefulset"]);
});

function has(program: string): boolean {
  try {
    return new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch {
    return false;
  }
}

for (const shell of ["bash", "zsh", "fish"] as const) {
  Deno.test({
    name: `completionScript("${shell}") is accepted by ${shell}`,
    ignore: !has(shell),
    fn: () =>
      withFolder(async (folder) => {
        const file = join(folder, "script");
        await Deno.writeTextFile(file, completionScript(shell));
        const done = await new Deno.Command(shell, { args: ["-n", file] }).output();
        assert.equal(new TextDecoder().decode(done.stderr), "");
        assert.ok(done.success);
      }),
  });
}

/** A stand-in for czctl that offers what a hostile cluster could, and tells what it was asked. */
async function fakeCzctl(folder: string): Promise<Record<string, string>> {
  const script = '#!/bin/sh\nprintf \'%s\\n\' "$@" > "$0.asked"\n' +
    "printf 'web\\tor deploy\\nweb$(touch owned)\\nother\\n'\n";
  await Deno.writeTextFile(join(folder, "czctl"), script, { mode: 0o755 });
  return { PATH: `${folder}:/usr/bin:/bin`, HOME: folder };
}

Deno.test({
  name: "the bash script completes, and runs nothing that a cluster named",
  ignore: !has("bash"),
  fn: () =>
    withFolder(async (folder) => {
      const env = await fakeCzctl(folder);
      const done = await new Deno.Command("bash", {
        args: [
          "-c",
          `${completionScript("bash")}
          COMP_LINE="czctl teleport deploy w"; COMP_WORDS=(czctl teleport deploy w); COMP_CWORD=3
          _czctl; printf '[%s]' "\${COMPREPLY[@]}"`,
        ],
        env,
        clearEnv: true,
        cwd: folder,
      }).output();
      assert.equal(new TextDecoder().decode(done.stdout), "[web][web\\$\\(touch\\ owned\\)]");
      assert.equal(
        await Deno.readTextFile(join(folder, "czctl.asked")),
        "__complete\nteleport\ndeploy\nw\n",
      );
    }),
});

/** As bash 5 splits them; `COMP_WORDS` and what replaces the last of them. */
const splitByBash: [string, string, string, string][] = [
  ["czctl  teleport --context=p", "czctl teleport --context = p", "--context=p", "prod"],
  [
    "czctl teleport --context=",
    "czctl teleport --context =",
    "--context=",
    "prod arn:aws:x a@kube",
  ],
  ["czctl t --context arn:aw", "czctl t --context arn : aw", "arn:aw", "aws:x"],
  ["czctl t --context=arn:aws:", "czctl t --context = arn : aws :", "--context=arn:aws:", "x"],
  ["czctl t --context=a@k", "czctl t --context = a @ k", "--context=a@k", "@kube"],
];

for (const [line, words, asked, expected] of splitByBash) {
  Deno.test({
    name: `the bash script puts together what bash has split: ${line}<TAB>`,
    ignore: !has("bash"),
    fn: () =>
      withFolder(async (folder) => {
        const option = asked.startsWith("--") ? "--context=" : "";
        const answers = ["prod", "arn:aws:x", "a@kube"].map((name) => option + name);
        await Deno.writeTextFile(
          join(folder, "czctl"),
          `#!/bin/sh\nprintf '%s\\n' "$@" > "$0.asked"\nprintf '%s\\n' ${answers.join(" ")}\n`,
          { mode: 0o755 },
        );
        const done = await new Deno.Command("bash", {
          args: [
            "-c",
            `${completionScript("bash")}
            COMP_LINE=$1; COMP_WORDS=($2); COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
            _czctl; printf '%s' "\${COMPREPLY[*]}"`,
            "bash",
            line,
            words,
          ],
          env: { PATH: `${folder}:/usr/bin:/bin`, HOME: folder },
          clearEnv: true,
          cwd: folder,
        }).output();
        assert.equal(
          new TextDecoder().decode(done.stdout),
          expected,
          new TextDecoder().decode(done.stderr),
        );
        const told = await Deno.readTextFile(join(folder, "czctl.asked"));
        assert.equal(told.trimEnd().split("\n").at(-1), asked);
      }),
  });
}

Deno.test({
  name: "the fish script completes with descriptions",
  ignore: !has("fish"),
  fn: () =>
    withFolder(async (folder) => {
      const env = await fakeCzctl(folder);
      const script = `${completionScript("fish")}\ncomplete -C 'czctl teleport deploy w'`;
      const done = await new Deno.Command("fish", {
        args: ["--no-config", "-c", script],
        env,
        clearEnv: true,
        cwd: folder,
      }).output();
      const out = new TextDecoder().decode(done.stdout);
      assert.match(out, /^web\tor deploy$/m, new TextDecoder().decode(done.stderr));
      assert.equal(
        await Deno.readTextFile(join(folder, "czctl.asked")),
        "__complete\nteleport\ndeploy\nw\n",
      );
    }),
});

Deno.test({
  name: "the zsh script defines the completion for czctl",
  ignore: !has("zsh"),
  fn: () =>
    withFolder(async (folder) => {
      const env = await fakeCzctl(folder);
      const script = `autoload -Uz compinit && compinit -u -d ${folder}/dump\n` +
        `${completionScript("zsh")}\nprint -- $_comps[czctl]`;
      const done = await new Deno.Command("zsh", {
        args: ["-f", "-c", script],
        env,
        clearEnv: true,
        cwd: folder,
      }).output();
      assert.equal(
        new TextDecoder().decode(done.stdout).trim(),
        "_czctl",
        new TextDecoder().decode(done.stderr),
      );
    }),
});
