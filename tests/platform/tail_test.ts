import assert from "node:assert/strict";
import { join } from "node:path";
import { tail, tailOnceThere } from "../../src/platform/tail.ts";
import { withFolder } from "../temp_folder.ts";

function withFile(act: (path: string) => Promise<void>): Promise<void> {
  return withFolder((folder) => act(join(folder, "log")));
}

async function all(path: string, lines: number): Promise<string[]> {
  const found: string[] = [];
  const signal = new AbortController().signal;
  for await (const line of (await tail(path, { lines, follow: false, signal }))!) found.push(line);
  return found;
}

Deno.test("tail() gives the last lines, the unfinished one included", async () => {
  await withFile(async (path) => {
    await Deno.writeTextFile(path, "1\n2\n3\n");
    assert.deepEqual(await all(path, 2), ["2\n", "3\n"]);
    assert.deepEqual(await all(path, 9), ["1\n", "2\n", "3\n"]);
    assert.deepEqual(await all(path, 0), []);
    await Deno.writeTextFile(path, "1\n2\n3");
    assert.deepEqual(await all(path, 1), ["2\n", "3\n"]);
    await Deno.writeTextFile(path, "");
    assert.deepEqual(await all(path, 5), []);
  });
});

Deno.test("tail() finds the last lines of a long file", async () => {
  await withFile(async (path) => {
    const lines = Array.from({ length: 20_000 }, (_, n) => `line ${n} ${"ü".repeat(n % 40)}\n`);
    await Deno.writeTextFile(path, lines.join(""));
    assert.deepEqual(await all(path, 5000), lines.slice(-5000));
  });
});

Deno.test("tail() knows no missing file", async () => {
  const signal = new AbortController().signal;
  assert.equal(await tail("/nonexistent/log", { lines: 1, follow: true, signal }), undefined);
});

Deno.test("tailOnceThere() waits for the file, then gives all of it and follows", async () => {
  await withFile(async (path) => {
    const control = new AbortController();
    const lines = tailOnceThere(path, { signal: control.signal });
    const first = lines.next();
    await Deno.writeTextFile(`${path}.new`, "1\n2\n");
    await Deno.rename(`${path}.new`, path);
    assert.equal((await first).value, "1\n");
    assert.equal((await lines.next()).value, "2\n");
    await Deno.writeTextFile(path, "3\n", { append: true });
    assert.equal((await lines.next()).value, "3\n");
    const last = lines.next();
    control.abort();
    assert.equal((await last).done, true);
    assert.equal((await tailOnceThere("/nonexistent/log", control).next()).done, true);
  });
});

Deno.test("tail() follows what is appended, over rotation and truncation", async () => {
  await withFile(async (path) => {
    await Deno.writeTextFile(path, "old\n");
    const control = new AbortController();
    const found = (await tail(path, { lines: 1, follow: true, signal: control.signal }))!;
    const lines = found[Symbol.asyncIterator]();
    const next = async () => (await lines.next()).value;
    assert.equal(await next(), "old\n");
    const append = (text: string) => Deno.writeTextFile(path, text, { append: true });
    await append("ne");
    await append("w\n");
    assert.equal(await next(), "new\n");
    await Deno.rename(path, `${path}.1`);
    await Deno.writeTextFile(path, "rotated\n");
    assert.equal(await next(), "rotated\n");
    await Deno.writeTextFile(path, "cut\n");
    assert.equal(await next(), "cut\n");
    const last = lines.next();
    control.abort();
    assert.equal((await last).done, true);
  });
});
