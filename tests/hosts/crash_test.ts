/**
 * `kill -9` before every step of an edit, and in the middle of every write: the
 * next run finds the file as before or as after, never between.
 */
import assert from "node:assert/strict";
import { systemClock } from "../../src/platform/clock.ts";
import { realFiles } from "../../src/platform/files.ts";
import { type BlockLine, editBlock } from "../../src/hosts/block.ts";
import { bytesOf, textOf } from "../../src/hosts/bytes.ts";
import { HostsTransaction } from "../../src/hosts/transaction.ts";
import { Place } from "./support/places.ts";
import { runEdit } from "./support/run_edit.ts";

const USER = "127.0.0.1\tlocalhost\r\n10.0.0.7 \xe4\xf6 # caf\xe9\n10.0.0.1 x";
const ONE: BlockLine[] = [{ address: "127.1.31.1", names: ["web.demo", "web.demo.svc"] }];
const TWO: BlockLine[] = [
  ...ONE,
  { address: "127.1.31.2", names: ["leaf.demo", "leaf.demo.svc", "leaf"] },
];

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function withBlock(text: string, lines: readonly BlockLine[]): string {
  return textOf(editBlock(latin1(text), 1000, lines) ?? latin1(text));
}

interface Scenario {
  readonly name: string;
  readonly start: string;
  readonly lines: readonly BlockLine[];
  readonly keepInode: boolean;
}

const behind = "\n10.0.0.8 behind\n::1 six\n";
const scenarios: Scenario[] = [];
for (const keepInode of [false, true]) {
  const way = keepInode ? "in place" : "by rename";
  scenarios.push(
    { name: `add ${way}`, start: USER, lines: ONE, keepInode },
    { name: `grow ${way}`, start: withBlock(USER, ONE), lines: TWO, keepInode },
    { name: `shrink ${way}`, start: withBlock(USER, TWO), lines: ONE, keepInode },
    { name: `remove ${way}`, start: withBlock(USER, TWO), lines: [], keepInode },
  );
}
scenarios.push(
  {
    name: "grow before others' lines",
    start: withBlock(USER, ONE) + behind,
    lines: TWO,
    keepInode: true,
  },
  {
    name: "shrink before others' lines",
    start: withBlock(USER, TWO) + behind,
    lines: ONE,
    keepInode: true,
  },
  {
    name: "remove before others' lines",
    start: withBlock(USER, TWO) + behind,
    lines: [],
    keepInode: true,
  },
);

for (const { name, start, lines, keepInode } of scenarios) {
  Deno.test(`HostsTransaction survives kill -9 at every step: ${name}`, async () => {
    const after = withBlock(start, lines);
    const steps = await stepsOf({ start, lines, keepInode });
    assert.ok(steps.length > 5, `only ${steps}`);
    const results = new Set<string>();
    for (let killAt = 1; killAt <= steps.length; killAt++) {
      await using place = await Place.create(latin1(start), 0o664);
      const job = { folder: place.folder, uid: 1000, lines, keepInode, killAt };
      assert.equal(await runEdit(job), undefined, "it was to be killed");
      const transaction = new HostsTransaction(realFiles, place.place, systemClock);
      await transaction.recover();
      const found = await place.text();
      const at = `killed at ${killAt}: ${steps[killAt - 1]}`;
      assert.ok(found === start || found === after, `${at}\n${found}`);
      results.add(found === start ? "before" : "after");
      assert.deepEqual(await place.leftovers(), [], at);
      assert.equal((await Deno.stat(place.place.hosts)).mode! & 0o7777, 0o664, at);
      await transaction.run((file) => editBlock(file, 1000, lines));
      assert.equal(await place.text(), after, at);
      await transaction.run((file) => editBlock(file, 1000, []));
      assert.equal(await place.text(), withBlock(start, []), at);
      await transaction.close();
    }
    // Both ends were seen, so the steps do surround the change.
    assert.deepEqual([...results].sort(), ["after", "before"]);
  });
}

Deno.test("HostsTransaction survives kill -9 at every step of the recovery itself", async () => {
  const start = withBlock(USER, ONE) + behind;
  const steps = await stepsOf({ start, lines: TWO, keepInode: true });
  const torn = steps.findIndex((step) => step === "rest of write etc/hosts") + 1;
  assert.ok(torn > 0);
  for (const appended of ["", "10.0.0.9 later\n"]) {
    for (let killAt = 1, killed = true; killed; killAt++) {
      await using place = await Place.create(latin1(start));
      const job = { folder: place.folder, uid: 1000, keepInode: true };
      assert.equal(await runEdit({ ...job, lines: TWO, killAt: torn }), undefined);
      const full = bytesOf(appended);
      if (full.length > 0) await Deno.writeFile(place.place.hosts, full, { append: true });
      killed = await runEdit({ ...job, lines: null, killAt }) === undefined;
      const transaction = new HostsTransaction(realFiles, place.place, systemClock);
      await transaction.recover();
      const found = await place.text();
      const ends = [start, withBlock(start, TWO)].map((text) => text + appended);
      assert.ok(ends.includes(found), `killed at ${killAt}\n${found}`);
      await transaction.run((file) => editBlock(file, 1000, []));
      // The newline that had to be added stays: something stands behind it.
      assert.equal(await place.text(), USER + "\n" + behind + appended, `killed at ${killAt}`);
      assert.deepEqual(await place.leftovers(), []);
    }
  }
});

async function stepsOf(
  job: { start: string; lines: readonly BlockLine[]; keepInode: boolean },
): Promise<readonly string[]> {
  await using place = await Place.create(latin1(job.start));
  const outcome = await runEdit({ ...job, folder: place.folder, uid: 1000 });
  assert.equal(outcome?.changed, true, outcome?.error?.message);
  return outcome.steps;
}
