import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type ClaimOptions,
  EnvFile,
  type EnvFileRecord,
  recoverEnvFile,
} from "../../src/envfile/file.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { run } from "./shells.ts";
import { withFolder } from "../temp_folder.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const listing = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();

async function refused(path: string, options: ClaimOptions, reason: RegExp, hint?: RegExp) {
  await assert.rejects(EnvFile.claim(path, options), (error) => {
    assert.ok(error instanceof CzctlError, `${error}`);
    assert.equal(error.code, "failed");
    assert.ok(error.message.startsWith(`Cannot write "${path}": `), error.message);
    assert.match(error.message, reason);
    if (hint) assert.match(error.hint ?? "", hint);
    return true;
  });
}

Deno.test("EnvFile.claim resolves the path where the command was typed, and writes nothing", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "sub"));
    const file = await EnvFile.claim("../env.sh", { cwd: join(folder, "sub") });
    assert.equal(file.path, join(folder, "env.sh"));
    assert.deepEqual(listing(folder), ["sub"]);
    assert.deepEqual(await file.remove(), { removed: false });
  });
});

Deno.test("EnvFile.claim refuses what it must not or cannot write", async () => {
  await withFolder(async (cwd) => {
    await Deno.mkdir(join(cwd, "folder"));
    await Deno.writeTextFile(join(cwd, "mine"), "mine");
    await Deno.symlink("mine", join(cwd, "link"));
    await Deno.symlink("nowhere", join(cwd, "dangling"));
    assert.equal((await run(["mkfifo", join(cwd, "pipe")])).code, 0);
    await refused(
      "no/such/env.sh",
      { cwd },
      /the folder ".*\/no\/such" does not exist/,
      /^mkdir -p /,
    );
    await refused("mine/env.sh", { cwd }, /folder ".*\/mine" does not exist|not a folder/);
    await refused("mine", { cwd }, /exists and czctl did not write it/, /--force/);
    for (const force of [true, false]) {
      await refused("folder", { cwd, force }, /it is a folder/);
      await refused("folder/", { cwd, force }, /it is a folder/);
      await refused("new/", { cwd, force }, /it is a folder/);
      await refused("", { cwd, force }, /it is a folder/);
      await refused("link", { cwd, force }, /it is a symbolic link/);
      await refused("dangling", { cwd, force }, /it is a symbolic link/);
      await refused("pipe", { cwd, force }, /not a regular file/);
      await refused("x".repeat(300), { cwd, force }, /name is too long/);
    }
    assert.deepEqual(listing(cwd), ["dangling", "folder", "link", "mine", "pipe"]);
    assert.equal(await Deno.readTextFile(join(cwd, "mine")), "mine");
  });
});

Deno.test("EnvFile.claim refuses a folder it may not write to, at once", async () => {
  await withFolder(async (folder) => {
    // Root may write to any folder on disk, but not make files in /sys.
    if (Deno.uid() !== 0) await Deno.chmod(folder, 0o500);
    const cwd = Deno.uid() === 0 ? "/sys" : folder;
    await refused("env.sh", { cwd }, /permission denied|read-only/);
  });
});

Deno.test("EnvFile.claim --force replaces a user's file only when there is something to write", async () => {
  await withFolder(async (cwd) => {
    const path = join(cwd, "mine");
    await Deno.writeTextFile(path, "mine", { mode: 0o644 });
    const file = await EnvFile.claim("mine", { cwd, force: true });
    assert.equal(await Deno.readTextFile(path), "mine");
    await file.write(bytes("A=1\n"));
    assert.equal(await Deno.readTextFile(path), "A=1\n");
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    assert.deepEqual(await file.remove(), { removed: true });
    assert.deepEqual(listing(cwd), []);
  });
});

Deno.test("EnvFile.write never replaces a file that appeared after the claim", async () => {
  await withFolder(async (cwd) => {
    const file = await EnvFile.claim("env.sh", { cwd });
    await Deno.writeTextFile(join(cwd, "env.sh"), "mine");
    await assert.rejects(
      file.write(bytes("A=1\n")),
      /Cannot write "env.sh": the file exists and czctl did not write it/,
    );
    assert.deepEqual(await file.remove(), { removed: false });
    assert.equal(await Deno.readTextFile(join(cwd, "env.sh")), "mine");
    assert.deepEqual(listing(cwd), ["env.sh"]);
  });
});

Deno.test("EnvFile.write is a new file each time, and none when nothing changed", async () => {
  await withFolder(async (cwd) => {
    const path = join(cwd, "env.sh");
    const file = await EnvFile.claim("env.sh", { cwd });
    assert.equal(await file.write(bytes("A=1\n")), "written");
    const reader = await Deno.open(path);
    const { ino } = await Deno.stat(path);
    assert.equal(await file.write(bytes("A=1\n")), "unchanged");
    assert.equal((await Deno.stat(path)).ino, ino);
    assert.equal(await file.write(bytes("A=2\n")), "written");
    // Who was reading goes on with what he had, whole.
    assert.equal(await new Response(reader.readable).text(), "A=1\n");
    assert.equal(await Deno.readTextFile(path), "A=2\n");
    assert.equal(file.record.hashes.length, 1);
    assert.deepEqual(await file.remove(), { removed: true });
  });
});

Deno.test("EnvFile.write stops, for good, for a file that is not czctl's any more", async () => {
  const changes: Record<string, (path: string) => Promise<void>> = {
    "it was deleted or renamed": (path) => Deno.remove(path),
    "it was changed by someone else": (path) => Deno.writeTextFile(path, "mine"),
    "something else is in its place": async (path) => {
      await Deno.remove(path);
      await Deno.symlink("/dev/null", path);
    },
  };
  for (const [reason, change] of Object.entries(changes)) {
    await withFolder(async (cwd) => {
      const path = join(cwd, "env.sh");
      const file = await EnvFile.claim("env.sh", { cwd });
      await file.write(bytes("A=1\n"));
      assert.equal(file.stopped, undefined);
      await change(path);
      const before = listing(cwd);
      assert.equal(await file.write(bytes("A=2\n")), "stopped");
      assert.equal(file.stopped, reason);
      assert.equal(await file.write(bytes("A=3\n")), "stopped");
      assert.equal((await file.remove()).removed, false);
      assert.deepEqual(listing(cwd), before);
    });
  }
});

Deno.test("EnvFile.claim with a record takes over what an earlier process wrote", async () => {
  await withFolder(async (cwd) => {
    const first = await EnvFile.claim("env.sh", { cwd });
    await first.write(bytes("A=1\n"));
    const record: EnvFileRecord = JSON.parse(JSON.stringify(first.record));
    const second = await EnvFile.claim("env.sh", { cwd, record });
    await second.write(bytes("A=2\n"));
    await Deno.writeTextFile(join(cwd, "env.sh"), "mine");
    await refused("env.sh", { cwd, record: second.record }, /czctl did not write it/);
  });
});

Deno.test("recoverEnvFile removes what is czctl's, says what is not, and knows nothing of the rest", async () => {
  await withFolder(async (cwd) => {
    const path = join(cwd, "env.sh");
    const file = await EnvFile.claim("env.sh", { cwd });
    await file.write(bytes("A=1\n"));
    await Deno.writeTextFile(file.record.temporary, "half");
    await Deno.writeTextFile(path, "A=1\n# mine\n");
    const { removed, reason } = await recoverEnvFile(file.record);
    assert.equal(removed, false);
    assert.match(reason!, /left where it is: it is no longer what czctl wrote/);
    assert.deepEqual(listing(cwd), ["env.sh"]);
    // Also one of the same length, and one that is far too long to be it.
    for (const text of ["A=2\n", "x".repeat(1 << 20)]) {
      await Deno.writeTextFile(path, text);
      assert.equal((await recoverEnvFile(file.record)).removed, false);
    }
    await Deno.writeTextFile(path, "A=1\n");
    assert.deepEqual(await recoverEnvFile(file.record), { removed: true });
    assert.deepEqual(await recoverEnvFile(file.record), { removed: false });
  });
});

const WRITER = fileURLToPath(new URL("file_writer.ts", import.meta.url));

Deno.test("kill -9 at any moment: the record on disk is enough to clean up", async () => {
  for (let round = 0; round < 8; round++) {
    await withFolder(async (cwd) => {
      const record = join(cwd, "record.json");
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", WRITER, cwd, record],
        stdout: "piped",
      }).spawn();
      const output = child.stdout.getReader();
      await output.read();
      // It now rewrites as fast as it can; each round ends it somewhere else.
      for (let i = 0; i < round * 3; i++) await output.read();
      child.kill("SIGKILL");
      await child.status;
      await output.cancel();
      const result = await recoverEnvFile(JSON.parse(await Deno.readTextFile(record)));
      assert.equal(result.reason, undefined);
      assert.deepEqual(listing(cwd).filter((name) => !name.startsWith("record")), []);
    });
  }
});

Deno.test("a full disk: a clear error, the old contents whole, nothing half written", async () => {
  await withFolder(async (folder) => {
    const script = `mount -t tmpfs -o size=256k none "$1" && exec "$2" run -A "$3" "$1" --fill`;
    const { code, stdout, stderr } = await run(
      [
        "unshare",
        Deno.uid() === 0 ? "-m" : "-rm",
        "sh",
        "-c",
        script,
        "sh",
        folder,
        Deno.execPath(),
        WRITER,
      ],
      folder,
      { DENO_DIR: Deno.env.get("DENO_DIR") ?? "" },
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(new TextDecoder().decode(stdout)), {
      error: 'Cannot write "env.sh": no space left on the device',
      files: ["env.sh"],
      content: "A=1\n",
      again: "written",
      removed: { removed: true },
    });
  });
});
