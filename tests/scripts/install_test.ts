import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { withFolder } from "../temp_folder.ts";

const INSTALL = new URL("../../scripts/install", import.meta.url).pathname;
const PROGRAM = "#!/bin/sh\necho czctl 1.2.3\n";
const SUM = createHash("sha256").update(PROGRAM).digest("hex");

async function install(prefix: string, source: string) {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: [INSTALL, source],
    env: { PATH: "/usr/bin:/bin", HOME: prefix, PREFIX: prefix },
    clearEnv: true,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

async function left(prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(join(prefix, "bin"))) names.push(entry.name);
  return names;
}

/** A release served on loopback. */
async function withRelease(
  files: Record<string, string>,
  act: (url: string) => Promise<void>,
): Promise<void> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const content = files[new URL(request.url).pathname.slice(1)];
    return new Response(content ?? "none", { status: content === undefined ? 404 : 200 });
  });
  try {
    await act(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

Deno.test("scripts/install installs a file, over an older one", async () => {
  await withFolder(async (prefix) => {
    const source = join(prefix, "built");
    await Deno.writeTextFile(source, PROGRAM);
    for (let round = 0; round < 2; round++) {
      const { code, out, err } = await install(prefix, source);
      assert.equal(code, 0, err);
      assert.equal(out, `czctl 1.2.3\nAdd ${prefix}/bin to your PATH\n`);
    }
    assert.deepEqual(await left(prefix), ["czctl"]);
    assert.equal((await Deno.stat(join(prefix, "bin", "czctl"))).mode! & 0o777, 0o755);
  });
});

const linux = Deno.build.target.startsWith("x86_64-unknown-linux");

Deno.test({
  name: "scripts/install installs a release whose hash is right",
  ignore: !linux,
  fn: () =>
    withFolder((prefix) =>
      withRelease({
        "SHA256SUMS": `0000  other\n${SUM}  czctl-linux-x86_64\n`,
        "czctl-linux-x86_64": PROGRAM,
      }, async (url) => {
        const { code, err } = await install(prefix, url);
        assert.equal(code, 0, err);
        assert.deepEqual(await left(prefix), ["czctl"]);
      })
    ),
});

const bad: [string, Record<string, string>, RegExp][] = [
  ["with another hash", {
    "SHA256SUMS": `${"0".repeat(64)}  czctl-linux-x86_64\n`,
    "czctl-linux-x86_64": PROGRAM,
  }, /has the SHA-256 [0-9a-f]{64}, expected 0{64}/],
  ["without a hash", {
    "SHA256SUMS": `${SUM}  other\n`,
    "czctl-linux-x86_64": PROGRAM,
  }, /does not name czctl-linux-x86_64/],
  ["without SHA256SUMS", { "czctl-linux-x86_64": PROGRAM }, /cannot download .*SHA256SUMS/],
  ["without the program", {
    "SHA256SUMS": `${SUM}  czctl-linux-x86_64\n`,
  }, /cannot download .*czctl-linux-x86_64/],
];

for (const [what, files, message] of bad) {
  Deno.test({
    name: `scripts/install refuses a release ${what} and leaves nothing`,
    ignore: !linux,
    fn: () =>
      withFolder((prefix) =>
        withRelease(files, async (url) => {
          const { code, err } = await install(prefix, url);
          assert.equal(code, 1);
          assert.match(err, message);
          assert.deepEqual(await left(prefix), []);
        })
      ),
  });
}

Deno.test("scripts/install refuses a missing file and one that does not run", async () => {
  await withFolder(async (prefix) => {
    assert.match((await install(prefix, join(prefix, "none"))).err, /no such file/);
    const source = join(prefix, "broken");
    await Deno.writeTextFile(source, "#!/bin/sh\nexit 3\n");
    assert.match((await install(prefix, source)).err, /does not run on this machine/);
    assert.deepEqual(await left(prefix), []);
  });
});
