import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "yaml";
import { checkedBase } from "../../scripts/compile.ts";
import { binary, czctl, ROOT } from "./binary.ts";
import { withFolder } from "../temp_folder.ts";

const COMMANDS = [
  "start",
  "stop",
  "teleport",
  "session",
  "session list",
  "session close",
  "environment",
  "env",
  "configuration",
  "run",
  "status",
  "doctor",
  "logs",
  "inspect",
  "version",
  "completions",
];

Deno.test("czctl says in words that its output cannot be written", async () => {
  for (const args of ["version", "version -o json", "completions bash", "--help"]) {
    const { code, stderr } = await new Deno.Command("sh", {
      args: ["-c", `exec "$0" ${args} > /dev/full`, await binary()],
      stderr: "piped",
    }).output();
    const said = new TextDecoder().decode(stderr);
    assert.equal(code, 1, said);
    assert.match(said, /^error: Cannot write the standard output: .*\n {2}[^\n]*\n$/);
  }
});

Deno.test("czctl version prints version, commit, Deno version and target", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const { code, out, err } = await czctl(["version"]);
  assert.deepEqual([code, err], [0, ""]);
  const [first, second, rest] = out.split("\n");
  assert.match(first!, /^czctl \d+\.\d+\.\d+ \(([0-9a-f]{7,40}(-dirty)?|unknown)\)$/);
  assert.ok(first!.includes(version));
  assert.equal(second, `Deno ${Deno.version.deno}, ${Deno.build.target}`);
  assert.equal(rest, "");
  for (const flag of ["--version", "-V"]) assert.equal((await czctl([flag])).out, out);
  const json = parse((await czctl(["version", "-o", "json"])).out);
  assert.deepEqual(Object.keys(json), ["version", "commit", "deno", "target"]);
});

Deno.test("czctl --help names every command and the exit codes", async () => {
  const { code, out, err } = await czctl(["--help"]);
  assert.deepEqual([code, err], [0, ""]);
  for (const command of COMMANDS.filter((name) => !/ |^env$|^configuration$/.test(name))) {
    assert.match(out, new RegExp(`^  ${command} `, "m"));
  }
  for (const exit of ["0 done", "2 wrong usage", "130 interrupted"]) assert.ok(out.includes(exit));
  assert.equal((await czctl([])).out, out);
  assert.equal((await czctl(["help"])).out, out);
});

for (const command of COMMANDS) {
  Deno.test(`czctl ${command} --help explains it with an example`, async () => {
    const { code, out, err } = await czctl([...command.split(" "), "--help"]);
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, /^Usage: czctl /);
    assert.match(out, /^Examples?:\n {2}\$ /m);
  });
}

Deno.test("czctl with a wrong command line: exit code 2, one error, nothing on stdout", async () => {
  for (const args of [["nonsense"], ["teleport", "--nonsense"], ["session", "close", "a", "b"]]) {
    const { code, out, err } = await czctl(args);
    assert.equal(code, 2);
    assert.equal(out, "");
    assert.match(err, /^error: .*\n {2}See czctl .*--help\n$/);
  }
});

Deno.test("czctl ends quietly when nobody reads its output", async () => {
  const done = await new Deno.Command("bash", {
    args: ["-c", '"$0" --help | true; echo "${PIPESTATUS[0]}"', await binary()],
    stderr: "piped",
  }).output();
  assert.equal(new TextDecoder().decode(done.stderr), "");
  assert.equal(new TextDecoder().decode(done.stdout), "0\n");
});

Deno.test("the compiled program has no permission that is not needed", async () => {
  const { out } = await czctl(["version"], { DENO_TLS_CA_STORE: "nonsense", NODE_OPTIONS: "--x" });
  assert.match(out, /^czctl /);
  const bytes = await Deno.readFile(await binary());
  // The environment variable that would let a set-uid copy write any file.
  assert.equal(indexOf(bytes, "SSLKEYLOGFILE"), -1);
});

Deno.test("czctl version loads only a small part of the program", async () => {
  const folder = join(ROOT, "dist", "bundle");
  await binary();
  const loaded = new Set<string>();
  const load = async (name: string) => {
    if (loaded.has(name)) return;
    loaded.add(name);
    const text = await Deno.readTextFile(join(folder, name));
    for (const found of text.matchAll(/^(?:import|export)[^;"]*?"\.\/([^"]+\.js)"/gm)) {
      await load(found[1]!);
    }
  };
  // What main.ts, the command line and the action of "version" load, and what those import.
  await load("main.js");
  const main = await Deno.readTextFile(join(folder, "main.js"));
  const cli = /import\("\.\/(main-[^"]+\.js)"\)/.exec(main);
  assert.ok(cli, "main.js does not load the command line");
  await load(cli[1]!);
  for (const name of [...loaded]) {
    const text = await Deno.readTextFile(join(folder, name));
    const action = /showVersion[^;]*import\("\.\/([^"]+\.js)"\)/.exec(text);
    if (action) await load(action[1]!);
  }
  let bytes = 0;
  for (const name of loaded) {
    const text = await Deno.readTextFile(join(folder, name));
    bytes += text.length;
    assert.doesNotMatch(text, /node_modules\/.*(kubernetes|undici|yaml|ws|commander)@/, name);
  }
  assert.ok(loaded.size >= 3, `only ${[...loaded].join(", ")}`);
  assert.ok(bytes < 60_000, `${bytes} bytes in ${[...loaded].join(", ")}`);
});

Deno.test("czctl version starts within twice the time of an empty program", async () => {
  const program = await binary();
  await withFolder(async (folder) => {
    const empty = join(folder, "empty");
    await Deno.writeTextFile(`${empty}.js`, 'console.log("hello")');
    const base = await checkedBase();
    const compiled = await new Deno.Command(Deno.execPath(), {
      args: ["compile", "-q", "--no-code-cache", "--no-config", "-o", empty, `${empty}.js`],
      env: { DENORT_BIN: base },
    }).output();
    assert.ok(compiled.success, new TextDecoder().decode(compiled.stderr));
    const time = async (path: string, args: string[]) => {
      const started = performance.now();
      const { success } = await new Deno.Command(path, { args, stdout: "null" }).output();
      assert.ok(success);
      return performance.now() - started;
    };
    // The best of several, in turn: a busy machine slows both down alike.
    const best = { empty: Infinity, czctl: Infinity };
    for (let round = 0; round < 12; round++) {
      best.empty = Math.min(best.empty, await time(empty, []));
      best.czctl = Math.min(best.czctl, await time(program, ["version"]));
    }
    assert.ok(
      best.czctl <= 2 * best.empty,
      `${best.czctl.toFixed(0)} ms, an empty program ${best.empty.toFixed(0)} ms`,
    );
  });
});

function indexOf(bytes: Uint8Array, text: string): number {
  const wanted = new TextEncoder().encode(text);
  for (let at = bytes.indexOf(wanted[0]!); at !== -1; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, index) => bytes[at + index] === byte)) return at;
  }
  return -1;
}
