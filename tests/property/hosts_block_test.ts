/**
 * The pure edit of the hosts file over random files and edit sequences: nothing
 * outside the blocks is ever lost or changed, and the last block leaves nothing.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type BlockLine, editBlock } from "../../src/hosts/block.ts";
import { bytesOf, concat, sameBytes } from "../../src/hosts/bytes.ts";

const piece = fc.oneof(
  fc.constantFrom(
    "127.0.0.1 localhost\n",
    "127.0.0.1\tlocalhost\r\n",
    "\n",
    "\r\n",
    "   ",
    "# comment about czctl begin\n",
    "#czctlx begin 7\n",
    "::1 ip6-localhost ip6-loopback",
    "# Added by Docker Desktop\n10.0.0.1 host.docker.internal\n# End of section\n",
    "# fwd: begin\n127.1.27.1 other\n# fwd: end\n",
    "10.0.0.5 web\r",
    "\uFEFF127.0.0.1 bom\n",
  ).map(bytesOf),
  fc.uint8Array({ maxLength: 24 }),
  fc.constantFrom(Uint8Array.of(0xff, 0xfe, 0x00), Uint8Array.of(0xe4, 0xf6, 0x0a)),
);
const content = fc.array(piece, { maxLength: 12 }).map((parts) => concat(...parts))
  .filter((bytes) =>
    !/#[ \t]*czctl[ \t]+(begin|end)/i.test(new TextDecoder("latin1").decode(bytes))
  );

const blockLines: fc.Arbitrary<BlockLine[]> = fc.array(
  fc.record({
    address: fc.tuple(fc.nat(255), fc.nat(255)).map(([a, b]) => `127.1.${a}.${b}`),
    names: fc.array(fc.constantFrom("a", "web.demo", "web.demo.svc", "db"), {
      minLength: 1,
      maxLength: 4,
    }),
  }),
  { minLength: 1, maxLength: 5 },
);

type Step =
  | { readonly kind: "apply"; readonly uid: number; readonly lines: BlockLine[] }
  | { readonly kind: "remove"; readonly uid: number }
  /** The user writes in front of everything. */
  | { readonly kind: "prepend"; readonly bytes: Uint8Array };

const uid = fc.constantFrom(0, 1000, 1001);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("apply" as const), uid, lines: blockLines }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("remove" as const), uid }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("10.9.9.9 mine\n", "# note\r\n", "\n").map((text) => ({
      kind: "prepend" as const,
      bytes: bytesOf(text),
    })),
  },
);

Deno.test("editBlock leaves every byte outside the blocks, over random files and edits", () => {
  fc.assert(
    fc.property(content, fc.array(step, { maxLength: 12 }), (original, steps) => {
      let file: Uint8Array = original;
      let users: Uint8Array = original;
      for (const one of steps) {
        if (one.kind === "prepend") {
          file = concat(one.bytes, file);
          users = concat(one.bytes, users);
          continue;
        }
        const lines = one.kind === "apply" ? one.lines : [];
        const edited = editBlock(file, one.uid, lines);
        file = edited ?? file;
        assert.equal(editBlock(file, one.uid, lines), undefined, "the same edit twice");
      }
      for (const one of [1001, 0, 1000]) file = editBlock(file, one, []) ?? file;
      assert.ok(sameBytes(file, users), "what is left is what the user wrote");
    }),
    { numRuns: 10_000 },
  );
});

Deno.test("editBlock keeps what is written into a block", () => {
  const line = fc.constantFrom("10.0.0.9 mine\n", "# a note\r\n", "::1 six\n", "\xe4\n");
  fc.assert(
    fc.property(content, blockLines, fc.array(line, { maxLength: 4 }), fc.nat(5), (
      original,
      lines,
      written,
      at,
    ) => {
      const block = editBlock(original, 1000, lines)!;
      const rows = new TextDecoder("latin1").decode(block.subarray(original.length)).split("\n");
      const first = rows.findIndex((row) => row.startsWith("# czctl begin")) + 1;
      rows.splice(first + (at % (lines.length + 1)), 0, ...written.map((row) => row.slice(0, -1)));
      const bytes = Uint8Array.from(rows.join("\n"), (character) => character.charCodeAt(0));
      const file = concat(original, bytes);
      const unfinished = original.length > 0 && original.at(-1) !== 0x0a;
      const joint = unfinished && written.length > 0 ? "\n" : "";
      const kept = Uint8Array.from(joint + written.join(""), (c) => c.charCodeAt(0));
      assert.deepEqual(
        editBlock(editBlock(file, 1000, lines) ?? file, 1000, []),
        concat(original, kept),
      );
      assert.deepEqual(editBlock(file, 1000, []), concat(original, kept));
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("editBlock keeps what is appended behind a block", () => {
  const lines = [{ address: "127.1.31.1", names: ["web.demo"] }];
  fc.assert(
    fc.property(content, content, blockLines, (original, appended, later) => {
      const first = editBlock(original, 1000, lines)!;
      const second = concat(first, appended);
      const third = editBlock(second, 1000, later) ?? second;
      const last = editBlock(third, 1000, [])!;
      // A newline that had to be added stays when something was written behind it.
      const unfinished = original.length > 0 && original.at(-1) !== 0x0a;
      const joint = unfinished && appended.length > 0 ? bytesOf("\n") : new Uint8Array();
      assert.deepEqual(last, concat(original, joint, appended));
    }),
    { numRuns: 2_000 },
  );
});
