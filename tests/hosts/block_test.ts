import assert from "node:assert/strict";
import { blockOf, editBlock } from "../../src/hosts/block.ts";
import { bytesOf, textOf } from "../../src/hosts/bytes.ts";
import { HostsMarkerError } from "../../src/hosts/markers.ts";
import { withoutBlocks } from "../../src/hosts/original.ts";
import { strayLines } from "../../src/hosts/remains.ts";

const WEB = [{ address: "127.1.31.1", names: ["web.demo", "web.demo.svc"] }];
const BEGIN = "# czctl begin 1000 - added by czctl, removed by: czctl session close\n";
const LINE = "127.1.31.1       web.demo web.demo.svc\n";
const END = "# czctl end 1000\n";

function edit(text: string, lines = WEB, known: typeof WEB = []): string {
  const edited = editBlock(bytesOf(text), 1000, lines, known);
  return edited === undefined ? "unchanged" : textOf(edited);
}

function refusal(text: string, known: typeof WEB = []): HostsMarkerError {
  try {
    editBlock(bytesOf(text), 1000, WEB, known);
  } catch (error) {
    assert.ok(error instanceof HostsMarkerError);
    return error;
  }
  assert.fail("it was not refused");
}

Deno.test("editBlock writes the block as the design shows it", () => {
  assert.equal(
    edit("127.0.0.1        localhost\n"),
    "127.0.0.1        localhost\n" + BEGIN + LINE + END,
  );
  assert.equal(edit(""), BEGIN + LINE + END);
  assert.equal(edit(BEGIN + LINE + END), "unchanged");
  assert.equal(edit("x\n", []), "unchanged");
});

Deno.test("editBlock remembers an added newline in the block itself", () => {
  const added = edit("10.0.0.1 x");
  assert.match(added, /^10\.0\.0\.1 x\n# czctl begin 1000 .* \(and the newline before\)\n127/);
  assert.equal(edit(added, []), "10.0.0.1 x");
  assert.equal(edit(added + "10.0.0.2 y\n", []), "10.0.0.1 x\n10.0.0.2 y\n");
});

Deno.test("editBlock hands the added newline on to the block behind", () => {
  const both = editBlock(bytesOf(edit("10.0.0.1 x")), 1001, WEB)!;
  const second = editBlock(both, 1000, [])!;
  assert.match(textOf(second), /^10\.0\.0\.1 x\n# czctl begin 1001 .*newline before\)\n/);
  assert.equal(editBlock(second, 1001, WEB), undefined);
  assert.equal(textOf(editBlock(second, 1001, [])!), "10.0.0.1 x");
});

Deno.test("editBlock replaces a block where it stands", () => {
  const edited = "a\n" + BEGIN + "127.1.9.9 other\n\n#127.1.31.1 web.demo\n" + END + "b";
  assert.equal(edit(edited), "a\n" + BEGIN + LINE + END + "b");
  assert.equal(edit(edited, []), "a\nb");
  const crlf = ("a\n" + BEGIN + LINE + END).replaceAll("\n", "\r\n");
  assert.equal(edit(crlf, []), "a\r\n");
});

Deno.test("editBlock keeps lines somebody wrote into the block, behind it", () => {
  const edited = "a\n" + BEGIN + LINE + "10.0.0.9 mine\r\n# note\n" + END + "b";
  assert.equal(edit(edited), "a\n" + BEGIN + LINE + END + "10.0.0.9 mine\r\n# note\nb");
  assert.equal(edit(edited, []), "a\n10.0.0.9 mine\r\n# note\nb");
  const added = edit("x").replace(LINE, `${LINE}10.0.0.9 mine\n`);
  assert.equal(edit(added, []), "x\n10.0.0.9 mine\n");
});

Deno.test("editBlock refuses markers it cannot be sure of, with lines and mend", () => {
  const cases: [string, number[]][] = [
    ["a\n" + BEGIN + LINE, [2]],
    ["a\n" + LINE + END, [3]],
    [BEGIN + LINE + END + BEGIN + LINE + END, [1, 3, 4, 6]],
    [BEGIN + BEGIN + LINE + END, [1, 2, 4]],
    [END + BEGIN, [1, 2]],
    [BEGIN + "# czctl end 1001\n" + END, [1, 3]],
    [BEGIN + "# czctl begin 1001\n# czctl end 1001\n" + END, [1, 4]],
    ["# czctl begin\n", [1]],
    ["x\n# CZCTL begin 1000\n", [2]],
    ["# czctl begin 01000\n", [1]],
    ["# czctl end 99999999999\n", [1]],
    ["  # czctl end 1000\n", [1]],
  ];
  for (const [text, lines] of cases) {
    const error = refusal(text);
    assert.deepEqual(error.lines, lines, text);
    assert.match(error.message, /^Cannot edit the hosts file: .*line/);
    assert.match(error.hint ?? "", /\/etc\/hosts/);
  }
});

Deno.test("the mend of a damaged block names its lines, not its markers alone", () => {
  const three = LINE + "#127.1.31.2 off.demo\r\n" + LINE;
  const cases: [string, string][] = [
    ["a\n" + BEGIN + three + "10.0.0.1 mine\n" + LINE, "Delete lines 2 to 5 of"],
    ["a\n" + three + END + LINE, "Delete lines 2 to 5 of"],
    ["a\n" + BEGIN + "10.0.0.1 mine\n", "Delete line 2 of"],
    [BEGIN + LINE + "a\n" + BEGIN + LINE + END, "Delete lines 1 and 2 and 4 to 6 of"],
    [LINE + END + LINE + END, "Delete lines 1 to 4 of"],
    [END + "a\n" + BEGIN + "a\n" + BEGIN, "Delete lines 1, 3 and 5 of"],
    // Another user's marker is not ours to judge.
    [BEGIN + LINE + "# czctl end 1001\n", "Delete lines 1 and 2 of"],
    ["# czctl begin 01000\n" + three + END, "Look at lines 1 to 5 of"],
    [BEGIN + LINE + "# czctl end\na\n", "Look at lines 1 to 3 of"],
  ];
  for (const [text, mend] of cases) {
    assert.equal(refusal(text).hint?.slice(0, mend.length), mend, text);
  }
});

Deno.test("strayLines finds the lines of ours that are in nobody's block", () => {
  const stray = (text: string) => strayLines(bytesOf(text)).map(({ first, last }) => [first, last]);
  const other = "# czctl begin 1001\n" + LINE + "# czctl end 1001\n";
  assert.deepEqual(stray("127.0.1.1 me\n127.10.0.1 x\n" + BEGIN + LINE + END + other), []);
  assert.deepEqual(stray("a\n" + LINE + LINE + other + "\t127.1.9.9\tx # y"), [[2, 3], [7, 7]]);
  assert.deepEqual(stray("#127.1.9.9 x\n127.1.9.9 \n127.1.9.9 # x\n# 127.1.9.9\n"), []);
  // These the mend of the block names already.
  assert.deepEqual(stray(BEGIN + LINE + LINE + "a\n" + LINE), [[5, 5]]);
  assert.deepEqual(stray(LINE + "# czctl end 1001\n"), []);
});

Deno.test("editBlock is not held up by what is wrong with another user's markers", () => {
  assert.equal(edit("# czctl begin 1001\nx\n"), "# czctl begin 1001\nx\n" + BEGIN + LINE + END);
});

Deno.test("editBlock mends a half removed block only with lines it knows", () => {
  assert.equal(edit("a\n" + BEGIN + LINE + "b\n", WEB, WEB), "a\n" + BEGIN + LINE + END + "b\n");
  assert.equal(edit("a\n" + LINE + END + "b\n", WEB, WEB), "a\n" + BEGIN + LINE + END + "b\n");
  assert.equal(edit("a\n" + LINE + END, [], WEB), "a\n");
  // The one marker that is left still tells of the added newline.
  const added = edit("a");
  const [, first, line, last] = added.split("\n");
  assert.equal(edit(`a\n${first}\n${line}\n`, WEB, WEB), added);
  assert.equal(edit(`a\n${line}\n${last}\n`, WEB, WEB), added);
  // A line that is not ours is not taken for one.
  assert.equal(edit("a\n" + BEGIN + "10.0.0.1 x\n", [], WEB), "a\n10.0.0.1 x\n");
  assert.deepEqual(refusal(BEGIN + BEGIN, WEB).lines, [1, 2]);
});

Deno.test("blockOf finds the block and nothing else", () => {
  const file = bytesOf("a\n" + BEGIN + LINE + END);
  assert.equal(blockOf(file, 1000)?.start, 2);
  assert.equal(blockOf(file, 1001), undefined);
});

Deno.test("withoutBlocks gives the file as it was, whoever has a block in it", () => {
  const both = editBlock(bytesOf(edit("10.0.0.1 x")), 1001, WEB)!;
  assert.equal(textOf(withoutBlocks(both)), "10.0.0.1 x");
});
