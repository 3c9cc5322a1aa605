import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { baseBinary, type BaseOptions, disarm, stripProgram } from "../../scripts/base_binary.ts";
import { BuildError } from "../../scripts/build_error.ts";
import { unzipSingle } from "../../scripts/unzip.ts";
import { withFolder } from "../temp_folder.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (content: string) => new TextEncoder().encode(content);
const sha256 = (content: Uint8Array) => createHash("sha256").update(content).digest("hex");
const ICU = "ICU_TIMEZONE_FILES_DIR\0..\0ICU_DATA\0..NODE_ICU_DATA)";
const CRON = "DENO_UNSTABLE_CRON_SOCKDENO_CRON";
const ARMED = bytes(`\x7fELF..SSLKEYLOGFILE..SSLKEYLOGFILE..${ICU}${CRON}`);

function options(folder: string, over: Partial<BaseOptions> = {}): BaseOptions {
  return {
    version: "2.7.11",
    target: "x86_64-unknown-linux-gnu",
    cacheFolder: join(folder, "cache"),
    denortBin: undefined,
    sha256: undefined,
    denoDir: undefined,
    note() {},
    ...over,
  };
}

function isBuildError(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof BuildError, String(error));
    assert.match(error.message, message);
    return true;
  };
}

Deno.test("disarm() replaces every name and nothing else", () => {
  const before = ARMED.slice();
  const result = disarm(ARMED, "here");
  const icu = "ICU_TIMEZONE_FILES=DIR\0..\0ICU=DATA\0..NODE_ICU_DATA)";
  const cron = "DENO_UNSTABLE_CRON=SOCKDENO_CRON";
  assert.equal(text(result), `\x7fELF..SSLKEYLOG=ILE..SSLKEYLOG=ILE..${icu}${cron}`);
  assert.deepEqual(ARMED, before);
  assert.equal(disarm(result, "here"), result);
  const partly = bytes(`\x7fELF..SSLKEYLOG=ILE..SSLKEYLOG=ILE..${ICU}${CRON}`);
  assert.deepEqual(disarm(partly, "here"), result);
});

Deno.test("disarm() refuses a base without one of the other names", () => {
  assert.throws(
    () => disarm(bytes("SSLKEYLOGFILE SSLKEYLOGFILE ICU_TIMEZONE_FILES_DIR"), "here"),
    isBuildError(/from here: it holds ICU_DATA 0 times, expected 1/),
  );
});

for (
  const [content, found] of [
    ["nothing", 0],
    ["SSLKEYLOGFILE once", 1],
    ["SSLKEYLOGFILE SSLKEYLOGFILE SSLKEYLOGFILE", 3],
    ["SSLKEYLOG=ILE only one", 0],
  ] as const
) {
  Deno.test(`disarm() refuses "${content}"`, () => {
    assert.throws(
      () => disarm(bytes(content), "here"),
      isBuildError(new RegExp(`from here: it holds SSLKEYLOGFILE ${found} times, expected 2`)),
    );
  });
}

Deno.test("stripProgram() cuts what was appended, by its length in the last 8 bytes", () => {
  const compiled = new Uint8Array(100 + 28);
  compiled.fill(7, 0, 100);
  new DataView(compiled.buffer).setBigUint64(120, 28n, true);
  assert.deepEqual(stripProgram(compiled), compiled.subarray(0, 100));
  new DataView(compiled.buffer).setBigUint64(120, 128n, true);
  assert.equal(stripProgram(compiled), undefined);
  new DataView(compiled.buffer).setBigUint64(120, 0n, true);
  assert.equal(stripProgram(compiled), undefined);
  assert.equal(stripProgram(new Uint8Array(5)), undefined);
});

Deno.test("baseBinary() refuses a DENORT_BIN that does not exist", async () => {
  await withFolder(async (folder) => {
    await assert.rejects(
      baseBinary(options(folder, { denortBin: join(folder, "none") })),
      isBuildError(/DENORT_BIN: ".*\/none" does not exist/),
    );
  });
});

Deno.test("baseBinary() refuses a DENORT_BIN with another hash and says both", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "denort");
    await Deno.writeFile(path, ARMED);
    await assert.rejects(
      baseBinary(options(folder, { denortBin: path })),
      isBuildError(
        new RegExp(`SHA-256 of ".*denort" is ${sha256(ARMED)}, expected f12d5d38.*--base-sha256`),
      ),
    );
  });
});

Deno.test("baseBinary() takes an unknown DENORT_BIN by its given hash, and disarms it", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "denort");
    await Deno.writeFile(path, ARMED);
    const base = await baseBinary(options(folder, { denortBin: path, sha256: sha256(ARMED) }));
    assert.equal(text(await Deno.readFile(base)), text(disarm(ARMED, "")));
    assert.equal((await Deno.stat(base)).mode! & 0o777, 0o755);
    assert.deepEqual(await Deno.readFile(path), ARMED);
    await assert.rejects(
      baseBinary(options(folder, { denortBin: path, sha256: "0".repeat(64) })),
      isBuildError(/expected 0{64} \(--base-sha256\)/),
    );
  });
});

Deno.test("baseBinary() refuses a base that cannot be disarmed, known hash or not", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "denort");
    await Deno.writeTextFile(path, "no such name");
    await assert.rejects(
      baseBinary(options(folder, { denortBin: path, sha256: sha256(bytes("no such name")) })),
      isBuildError(/Cannot disarm/),
    );
  });
});

Deno.test("baseBinary() refuses a target whose hash it does not know", async () => {
  await withFolder(async (folder) => {
    await assert.rejects(
      baseBinary(options(folder, { target: "aarch64-apple-darwin" })),
      isBuildError(/aarch64-apple-darwin with Deno 2\.7\.11.*--base-sha256/),
    );
  });
});

Deno.test("baseBinary() refuses a wrong file in Deno's cache instead of going on", async () => {
  await withFolder(async (folder) => {
    const release = join(folder, "dl", "release", "v2.7.11");
    await Deno.mkdir(release, { recursive: true });
    const zip = join(release, "denort-x86_64-unknown-linux-gnu.zip");
    await Deno.writeFile(zip, zipOf("denort", ARMED));
    await assert.rejects(
      baseBinary(options(folder, { denoDir: folder })),
      isBuildError(/Wrong base binary from Deno's cache: its SHA-256 is/),
    );
    const base = await baseBinary(options(folder, { denoDir: folder, sha256: sha256(ARMED) }));
    assert.equal(text(await Deno.readFile(base)), text(disarm(ARMED, "")));
    await Deno.writeTextFile(zip, "no zip");
    await assert.rejects(
      baseBinary(options(folder, { denoDir: folder, sha256: sha256(ARMED) })),
      isBuildError(/Cannot unpack ".*\.zip": it is not a ZIP file/),
    );
  });
});

Deno.test("unzipSingle() unpacks stored and deflated files and refuses damaged ones", () => {
  const content = bytes("hello ".repeat(100));
  assert.deepEqual(new Uint8Array(unzipSingle(zipOf("x", content), "z")), content);
  assert.deepEqual(new Uint8Array(unzipSingle(zipOf("x", content, 0), "z")), content);
  assert.throws(() => unzipSingle(zipOf("x", content, 9), "z"), isBuildError(/method 9/));
  const damaged = zipOf("x", content);
  damaged[31] = 0xff;
  damaged[32] = 0xff;
  assert.throws(() => unzipSingle(damaged, "z"), isBuildError(/Cannot unpack "z"/));
  assert.throws(() => unzipSingle(new Uint8Array(3), "z"), isBuildError(/not a ZIP/));
});

Deno.test("deno task compile with a wrong base: one clear error, exit code 1", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "denort");
    await Deno.writeFile(path, ARMED);
    const output = join(folder, "czctl");
    for (
      const [base, message] of [[path, /^error: Wrong base binary in DENORT_BIN: /], [
        `${path}-none`,
        /^error: Cannot use the base binary in DENORT_BIN: /,
      ]] as const
    ) {
      const done = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "scripts/compile.ts", "--output", output],
        cwd: ROOT,
        env: { DENORT_BIN: base, NO_COLOR: "1" },
      }).output();
      assert.equal(done.code, 1);
      const said = text(done.stderr);
      assert.match(said, message);
      assert.equal(said.trim().split("\n").length, 1, said);
    }
    await assert.rejects(Deno.stat(output), Deno.errors.NotFound);
  });
});

/** A ZIP archive with one file; 8 is deflate, 0 stored. */
function zipOf(name: string, content: Uint8Array, method = 8): Uint8Array {
  const packed = method === 8 ? new Uint8Array(deflateRawSync(content)) : content;
  const path = bytes(name);
  const zip = new Uint8Array(30 + path.length + packed.length + 46 + path.length + 22);
  const view = new DataView(zip.buffer);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(26, path.length, true);
  zip.set(path, 30);
  zip.set(packed, 30 + path.length);
  const entry = 30 + path.length + packed.length;
  view.setUint32(entry, 0x02014b50, true);
  view.setUint16(entry + 10, method, true);
  view.setUint32(entry + 20, packed.length, true);
  view.setUint32(entry + 24, content.length, true);
  view.setUint16(entry + 28, path.length, true);
  zip.set(path, entry + 46);
  const end = entry + 46 + path.length;
  view.setUint32(end, 0x06054b50, true);
  view.setUint16(end + 8, 1, true);
  view.setUint16(end + 10, 1, true);
  view.setUint32(end + 12, 46 + path.length, true);
  view.setUint32(end + 16, entry, true);
  return zip;
}
