/** One suite of edits over real files, files whose rename fails, links, and odd contents. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { systemClock } from "../../src/platform/clock.ts";
import { type Files, realFiles } from "../../src/platform/files.ts";
import { type BlockLine, editBlock } from "../../src/hosts/block.ts";
import { concat } from "../../src/hosts/bytes.ts";
import { saveOriginal } from "../../src/hosts/original.ts";
import { HostsTransaction, type TransactionOptions } from "../../src/hosts/transaction.ts";
import { type Fault, faultyFiles, systemError } from "./support/faulty_files.ts";
import { Place } from "./support/places.ts";

const ONE: BlockLine[] = [{ address: "127.1.31.1", names: ["web.demo", "web.demo.svc"] }];
const TWO: BlockLine[] = [...ONE, { address: "127.1.31.2", names: ["leaf.demo"] }];
const APPENDED = new TextEncoder().encode("10.0.0.9 appended\n");

function failing(code: string, step: RegExp): Files {
  return faultyFiles(realFiles, {
    before(name) {
      if (step.test(name)) throw systemError(code);
    },
  });
}

interface World {
  readonly name: string;
  readonly files: Files;
  readonly options?: TransactionOptions;
  /** Whether the file keeps its inode, so that a bind mount or a link stays what it is. */
  readonly inPlace: boolean;
  readonly prepare?: (place: Place) => Promise<void>;
}

const WORLDS: World[] = [
  { name: "real files", files: realFiles, inPlace: false },
  { name: "SELinux", files: realFiles, options: { keepInode: true }, inPlace: true },
  ...["EBUSY", "EXDEV", "EPERM", "EACCES", "EROFS"].map((code) => ({
    name: `rename failing with ${code}`,
    files: failing(code, /^rename .*hosts$/),
    inPlace: true,
  })),
  ...["EROFS", "EACCES", "ENOSPC"].map((code) => ({
    name: `a folder that takes no file (${code})`,
    files: failing(code, /^open create .*hosts\.czctl/),
    inPlace: true,
  })),
  {
    name: "a symbolic link",
    files: realFiles,
    inPlace: true,
    prepare: async ({ folder, place }) => {
      await Deno.mkdir(join(folder, "elsewhere"));
      await Deno.rename(place.hosts, join(folder, "elsewhere", "hosts"));
      await Deno.symlink("../elsewhere/hosts", place.hosts);
    },
  },
  {
    name: "a hard link",
    files: realFiles,
    inPlace: true,
    prepare: ({ folder, place }) => Deno.link(place.hosts, join(folder, "second name")),
  },
];

const text = (value: string) => Uint8Array.from(value, (c) => c.charCodeAt(0));
const CONTENTS: [string, Uint8Array][] = [
  ["an ordinary file", text("127.0.0.1 localhost\n# mine\n\n10.0.0.1 db\n")],
  ["CRLF", text("127.0.0.1 localhost\r\n10.0.0.1 db\r\n")],
  ["no final newline", text("127.0.0.1 localhost\n10.0.0.1 db")],
  ["bytes that are no UTF-8, and NUL", text("\xef\xbb\xbf# \xe4\xff\x00\x80\n10.0.0.1 x\n\xc3")],
  ["0 bytes", text("")],
  ["5 MB", text("10.0.0.1 a-name-of-some-length.example.com # and a comment\n".repeat(90_000))],
];

for (const world of WORLDS) {
  Deno.test(`HostsTransaction edits and restores exactly with ${world.name}`, async (t) => {
    for (const [what, original] of CONTENTS) {
      await t.step(what, () => roundTrip(world, original));
    }
  });
}

async function roundTrip(world: World, original: Uint8Array): Promise<void> {
  await using place = await Place.create(original, 0o640);
  await world.prepare?.(place);
  const { hosts } = place.place;
  const first = await Deno.stat(hosts);
  const transaction = new HostsTransaction(world.files, place.place, systemClock, world.options);
  const apply = (lines: readonly BlockLine[]) =>
    transaction.run((file) => editBlock(file, 1000, lines));

  assert.equal((await apply(TWO)).changed, true);
  assert.deepEqual(await place.bytes(), editBlock(original, 1000, TWO));
  assert.equal((await Deno.stat(hosts)).ino === first.ino, world.inPlace);
  assert.equal((await apply(TWO)).changed, false);
  await apply(ONE);
  assert.deepEqual(await place.bytes(), editBlock(original, 1000, ONE));
  await apply([]);
  assert.deepEqual(await place.bytes(), original);

  await apply(ONE);
  await Deno.writeFile(hosts, APPENDED, { append: true });
  await apply(TWO);
  await apply([]);
  const unfinished = original.length > 0 && original.at(-1) !== 10;
  assert.deepEqual(
    await place.bytes(),
    concat(original, unfinished ? Uint8Array.of(10) : new Uint8Array(), APPENDED),
  );

  const last = await Deno.stat(hosts);
  assert.equal(last.mode! & 0o7777, 0o640);
  assert.deepEqual([last.uid, last.gid], [first.uid, first.gid]);
  assert.deepEqual(await place.leftovers(), []);
  await transaction.close();
  await assert.rejects(Deno.lstat(join(place.folder, "lock")), Deno.errors.NotFound);
}

Deno.test({
  name: "HostsTransaction keeps the owner of a file that is another user's",
  ignore: Deno.uid() !== 0,
  fn: async () => {
    await using place = await Place.create("x\n", 0o604);
    await Deno.chown(place.place.hosts, 12, 34);
    const transaction = new HostsTransaction(realFiles, place.place, systemClock);
    await transaction.run((file) => editBlock(file, 1000, ONE));
    const info = await Deno.stat(place.place.hosts);
    assert.deepEqual([info.uid, info.gid, info.mode! & 0o7777], [12, 34, 0o604]);
  },
});

/** Fails once at the first step that fits, after half a write where it is one. */
function failingOnce(code: string, step: RegExp): Fault & { failed: boolean } {
  return {
    failed: false,
    before(name) {
      if (this.failed || !step.test(name)) return;
      this.failed = true;
      throw systemError(code);
    },
    partOf: (_name, length) => Math.floor(length / 2),
  };
}

for (
  const [step, keepInode] of [
    [/^write .*hosts$/, true],
    [/^rest of write .*hosts$/, true],
    [/^truncate .*hosts$/, true],
    [/^sync .*hosts$/, true],
    [/journal/, true],
    [/^rest of write .*czctl$/, false],
    [/^chmod .*czctl$/, false],
    [/^sync .*czctl$/, false],
    [/^rename /, false],
  ] as const
) {
  Deno.test(`HostsTransaction rolls back when ${step} fails`, async () => {
    const original = text("10.0.0.1 x");
    const start = editBlock(original, 1000, TWO)!;
    for (const lines of [ONE, [...TWO, ...ONE]]) {
      await using place = await Place.create(start);
      const fault = failingOnce("EIO", step);
      const transaction = new HostsTransaction(
        faultyFiles(realFiles, fault),
        place.place,
        systemClock,
        { keepInode },
      );
      const run = () => transaction.run((file) => editBlock(file, 1000, lines));
      const truncates = String(step).includes("truncate");
      if (truncates && lines !== ONE) continue;
      await assert.rejects(run, /^CzctlError: Cannot /);
      assert.ok(fault.failed);
      assert.deepEqual(await place.bytes(), start);
      assert.deepEqual(await place.leftovers(), []);
      await run();
      assert.deepEqual(await place.bytes(), editBlock(start, 1000, lines));
    }
  });
}

for (
  const [way, step] of [
    ["append", /^open create .*czctl$/],
    ["append", /^rename .*hosts$/],
    ["replace", /^open create .*czctl$/],
  ] as const
) {
  Deno.test(`HostsTransaction keeps what somebody writes meanwhile (${way}, ${step})`, async () => {
    const original = text("10.0.0.1 x\n");
    await using place = await Place.create(original);
    const { hosts } = place.place;
    let done = false;
    const files = faultyFiles(realFiles, {
      before(name) {
        if (done || !step.test(name)) return;
        done = true;
        if (way === "append") return Deno.writeFileSync(hosts, APPENDED, { append: true });
        Deno.writeFileSync(`${hosts}.other`, concat(original, APPENDED));
        Deno.renameSync(`${hosts}.other`, hosts);
      },
    });
    const transaction = new HostsTransaction(files, place.place, systemClock);
    await transaction.run((file) => editBlock(file, 1000, ONE));
    assert.ok(done);
    assert.ok(editBlock(await place.bytes(), 1000, ONE) === undefined, "the block is in");
    await transaction.run((file) => editBlock(file, 1000, []));
    assert.deepEqual(await place.bytes(), concat(original, APPENDED));
  });
}

Deno.test("HostsTransaction leaves the file alone when the edit refuses", async () => {
  await using place = await Place.create("# czctl begin 1000\n");
  const transaction = new HostsTransaction(realFiles, place.place, systemClock);
  await assert.rejects(transaction.run((file) => editBlock(file, 1000, ONE)), /no end line/);
  assert.equal(await place.text(), "# czctl begin 1000\n");
});

Deno.test("HostsTransaction refuses what is no hosts file, with the mend", async () => {
  await using place = await Place.create("");
  const { hosts } = place.place;
  const transaction = new HostsTransaction(realFiles, place.place, systemClock);
  const refusal = () => transaction.run((file) => editBlock(file, 1000, ONE));
  await Deno.remove(hosts);
  await assert.rejects(refusal, {
    message: /does not exist/,
    hint: `Create it with: sudo touch ${hosts}`,
  });
  await Deno.symlink("nowhere", hosts);
  await assert.rejects(refusal, { message: /does not exist/ });
  await Deno.remove(hosts);
  await Deno.mkdir(hosts);
  await assert.rejects(refusal, { message: /Cannot (read|edit)/ });
});

Deno.test("HostsTransaction has nothing to take out of a file that is gone", async () => {
  await using place = await Place.create("");
  const transaction = new HostsTransaction(realFiles, place.place, systemClock);
  await Deno.remove(place.place.hosts);
  const { changed, after } = await transaction.run((file) => editBlock(file, 1000, [], ONE));
  assert.deepEqual([changed, after.length], [false, 0]);
  await assert.rejects(Deno.lstat(place.place.hosts), Deno.errors.NotFound);
});

Deno.test("saveOriginal says that there is no hosts file, and how to make one", async () => {
  await using place = await Place.create("");
  const { hosts } = place.place;
  await Deno.remove(hosts);
  await assert.rejects(saveOriginal(join(place.folder, "hosts.original"), hosts), {
    message: `Cannot read ${hosts}: it does not exist`,
    hint: `Create it with: sudo touch ${hosts}`,
  });
});

Deno.test("HostsTransaction waits for a held lock, and not for ever", async () => {
  await using place = await Place.create("x\n");
  const options = { lockWaitMs: 150 };
  const transaction = new HostsTransaction(realFiles, place.place, systemClock, options);
  const lockPath = join(place.folder, "lock", "lock");
  await transaction.recover();
  const holder = (await realFiles.tryLock(lockPath))!;
  const started = performance.now();
  await assert.rejects(
    transaction.run((file) => editBlock(file, 1000, ONE)),
    { message: "Cannot lock the hosts file: another czctl has been editing it for 0.15 s" },
  );
  assert.ok(performance.now() - started >= 150);
  const waiting = transaction.run((file) => editBlock(file, 1000, ONE));
  holder.release();
  assert.equal((await waiting).changed, true);
  await transaction.close();
});

Deno.test("HostsTransaction refuses a lock folder that others can look into", async () => {
  await using place = await Place.create("x\n");
  const folder = join(place.folder, "lock");
  const transaction = new HostsTransaction(realFiles, place.place, systemClock);
  await Deno.mkdir(folder, { mode: 0o755 });
  await Deno.chmod(folder, 0o755);
  await assert.rejects(transaction.recover(), { message: /it is not private/ });
  await Deno.remove(folder);
  await Deno.mkdir(join(place.folder, "real"), { mode: 0o700 });
  await Deno.symlink("real", folder);
  await assert.rejects(transaction.recover(), { message: /it is not private/ });
});

Deno.test("HostsTransaction keeps the lock good when its file is removed meanwhile", async () => {
  await using place = await Place.create("");
  const editors = Array.from({ length: 8 }, (_, uid) => ({
    uid,
    transaction: new HostsTransaction(realFiles, place.place, systemClock),
  }));
  await Promise.all(editors.map(async ({ uid, transaction }) => {
    for (let round = 0; round < 10; round++) {
      await transaction.run((file) => editBlock(file, uid, ONE));
      await transaction.close();
      await transaction.run((file) => editBlock(file, uid, []));
      await transaction.close();
    }
  }));
  assert.equal(await place.text(), "");
});

Deno.test("HostsTransaction leaves a file alone that was rewritten after a crash", async () => {
  await using place = await Place.create("10.0.0.1 x\n");
  const dying = faultyFiles(realFiles, {
    before(step) {
      // As a crash does it: nothing of what would follow is done either.
      if (/^(write|truncate|sync|remove) .*(etc|journal)/.test(step) && !/new$/.test(step)) {
        throw systemError("EIO");
      }
    },
  });
  const notes: string[] = [];
  const options = { keepInode: true, note: (note: string) => notes.push(note) };
  const first = new HostsTransaction(dying, place.place, systemClock, options);
  await assert.rejects(first.run((file) => editBlock(file, 1000, ONE)));
  assert.deepEqual(await place.leftovers(), ["journal/journal"]);
  await place.write("10.0.0.2 something else\n");
  const second = new HostsTransaction(realFiles, place.place, systemClock, options);
  await second.recover();
  assert.equal(await place.text(), "10.0.0.2 something else\n");
  assert.match(notes.join(), /was rewritten after a crash; the record of it is kept in/);
  assert.deepEqual(await place.leftovers(), ["journal/journal.unused"]);
});
